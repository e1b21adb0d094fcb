//! Servers that are killed, restarted, paused and resumed.

use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::time::timeout;

use crate::{Flavor, Server};

#[tokio::test]
async fn a_killed_server_is_gone_until_it_is_restarted() {
    for flavor in Flavor::ALL {
        let mut server = Server::builder(flavor).password("s").start().await;
        let (port, first) = (server.port(), server.pid());
        let mut open = server.connect().await.unwrap();
        open.command(&["SET", "k", "v"]).await.unwrap();

        server.kill();
        server.kill();
        assert_eq!(server.pid(), None);
        assert!(open.command(&["GET", "k"]).await.is_err(), "open connections break");
        assert!(server.connect().await.is_err(), "new ones are refused");

        server.restart().await;
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), first);
        assert!(server.command(&["GET", "k"]).await.unwrap().is_nil(), "nothing was kept");
    }
}

#[tokio::test]
async fn a_restart_keeps_what_the_server_was_told_to_keep() {
    let mut server = Server::builder(Flavor::Redis)
        .arg("--appendonly", "yes")
        .arg("--appendfsync", "always")
        .start()
        .await;
    server.command(&["SET", "k", "v"]).await.unwrap();
    server.restart().await;
    assert_eq!(server.command(&["GET", "k"]).await.unwrap().text(), "v");
}

#[tokio::test]
async fn a_paused_server_is_silent_and_then_answers() {
    for flavor in Flavor::ALL {
        let mut server = Server::start(flavor).await;
        let mut open = server.connect().await.unwrap();
        for _ in 0..3 {
            server.pause();
            let mut ping = Box::pin(open.command(&["PING"]));
            assert!(timeout(Duration::from_millis(50), &mut ping).await.is_err(), "it is stopped");
            server.resume();
            assert_eq!(ping.await.unwrap().text(), "PONG", "the same connection goes on");
        }
    }
}

#[tokio::test]
async fn a_paused_server_can_be_killed_restarted_and_dropped() {
    let mut server = Server::start(Flavor::Redis).await;
    server.pause();
    server.kill();
    server.restart().await;
    server.pause();
    server.restart().await;
    server.pause();
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
#[should_panic(expected = "has ended by itself")]
async fn a_server_that_ended_by_itself_is_not_signalled() {
    let mut server = Server::start(Flavor::Redis).await;
    // No reply: the server is gone.
    assert!(server.command(&["SHUTDOWN", "NOSAVE"]).await.is_err());
    let pid = i32::try_from(server.pid().unwrap()).ok().and_then(Pid::from_raw).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    server.pause();
}
