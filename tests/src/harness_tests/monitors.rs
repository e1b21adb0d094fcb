//! Counting commands.

use crate::{Flavor, Server};

#[tokio::test]
async fn commands_are_counted_exactly() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mut client = server.connect().await.unwrap();
        client.command(&["SET", "before", "1"]).await.unwrap();
        let mut monitor = server.monitor().await;
        assert_eq!(monitor.count().await, 0);
        for round in 1..=50 {
            client.command(&["INCR", "n"]).await.unwrap();
            assert_eq!(monitor.count().await, round, "seen at once");
        }
        let lines = monitor.drain().await;
        assert_eq!(lines.len(), 50);
        assert!(lines.iter().all(|line| line.to_string() == "INCR n"));
        assert_eq!(lines[0].source(), client.local_addr().unwrap().to_string());
        assert_eq!(monitor.count().await, 0);
    }
}

#[tokio::test]
async fn what_scripts_call_is_not_counted() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mut client = server.connect().await.unwrap();
        let mut monitor = server.monitor().await;
        let script = "redis.call('SET', KEYS[1], '[0 lua]') return redis.call('GET', KEYS[1])";
        client.command(&["EVAL", script, "1", "k"]).await.unwrap().ok().unwrap();
        client.command(&["SET", "k", "[0 lua] \"x\""]).await.unwrap();
        assert_eq!(monitor.names().await, ["EVAL", "SET"]);
        assert_eq!(monitor.lines().await[1].args()[2], b"[0 lua] \"x\"");
    }
}

#[tokio::test]
async fn the_harness_itself_is_not_counted() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).password("s").start().await;
        let mut monitor = server.monitor().await;
        let mut second = server.monitor().await;
        server.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
        let mut client = server.connect().await.unwrap();
        assert_eq!(monitor.count().await, 0, "the AUTH of `connect`");
        client.command(&["GET", "k"]).await.unwrap();
        let mut ignored = server.connect().await.unwrap();
        ignored.command(&["PTTL", "k"]).await.unwrap();
        monitor.ignore(&ignored);
        assert_eq!(monitor.names().await, ["GET"]);
        assert_eq!(second.names().await, ["GET"], "monitors do not see each other");
    }
}

/// Else a client that gets the port of an earlier connection of the harness would go uncounted.
#[tokio::test]
async fn the_harness_has_source_ports_of_its_own() {
    let server = Server::start(Flavor::Redis).await;
    let client = server.connect().await.unwrap().local_addr().unwrap().port();
    for _ in 0..2_000 {
        let own = server.connect_unseen().await.unwrap().local_addr().unwrap().port();
        assert!((4_000..12_000).contains(&own) && own < client, "{own} {client}");
    }
}

#[tokio::test]
async fn what_the_server_does_not_show() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mut client = server.connect().await.unwrap();
        let mut monitor = server.monitor().await;
        client.command(&["CONFIG", "GET", "port"]).await.unwrap().ok().unwrap();
        client.command(&["NONSENSE"]).await.unwrap();
        client.command(&["GET"]).await.unwrap();
        assert_eq!(monitor.drain().await, [], "administration and refusals");
        client.command(&["MULTI"]).await.unwrap();
        client.command(&["GET", "k"]).await.unwrap();
        assert_eq!(monitor.names().await, ["MULTI"], "queued, not run");
        client.command(&["EXEC"]).await.unwrap();
        assert_eq!(monitor.drain().await.len(), 3);
        client.command(&["LPUSH", "k", "v"]).await.unwrap().ok().unwrap();
        client.command(&["GET", "k"]).await.unwrap().ok().unwrap_err();
        assert_eq!(monitor.names().await, ["LPUSH", "GET"], "an error while running is shown");
    }
}

#[tokio::test]
#[should_panic(expected = "the monitor has lost its server")]
async fn a_monitor_does_not_outlive_its_server() {
    let mut server = Server::start(Flavor::Redis).await;
    let mut monitor = server.monitor().await;
    server.restart().await;
    monitor.count().await;
}
