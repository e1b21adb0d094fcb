//! How it starts, refuses to start, and stops.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tower_keep_tests::{Flavor, Server, wait_until};

use crate::program::{App, run};

const PATIENT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_busy_port_is_said_clearly() {
    let app = App::start(&[]).await;
    let (_, port) = app.address().rsplit_once(':').unwrap();
    let (code, said) = run(&[("PORT", port)]).await;
    assert_eq!(code, Some(1), "{said}");
    let address = app.address();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("PORT"), "what to do is said: {said}");
    assert_eq!(app.get("/").await.status, 200, "the first one goes on");
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_and_no_secret() {
    let bad = [
        ("PORT", "http"),
        ("DATABASE_URL", "postgres://user:hunter6@127.0.0.1/app"),
        ("REDIS_URL", "redis://user:hunter2@127.0.0.1:99999/0"),
        ("REDIS_PASSWORD", "hunter3"),
        ("REDIS_TIMEOUT_MS", "0"),
        ("REDIS_TLS", "perhaps"),
        ("RATE_LIMIT_MAX", "-1"),
        ("RATE_LIMIT_WINDOW", "1e3"),
        ("RATE_LIMIT_TTL", "99999999999999999999"),
        ("SESSION_SECRET", "hunter4"),
        ("SESSION_TTL", "0"),
        ("SESSION_STORE", "disk"),
        ("SESSION_COOKIE_SECURE", "perhaps"),
        ("CACHE_ENCRYPTION_KEYS", "k1:hunter5"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("TRUSTED_PROXY_HEADER", "x-real-ip"),
    ];
    let (code, said) = run(&bad).await;
    assert_eq!(code, Some(1), "{said}");
    for (name, _) in bad.iter().filter(|(name, _)| *name != "REDIS_PASSWORD") {
        assert!(said.contains(&format!("{name}: ")), "{name} is not named: {said}");
    }
    assert!(said.contains("nonsense") && said.contains("from 1 to 31536000"), "{said}");
    assert!(!said.contains("hunter"), "a password is shown: {said}");
}

#[tokio::test]
async fn on_redis_it_wants_a_secret_and_in_memory_it_says_that_it_made_one_up() {
    let (code, said) = run(&[("REDIS_HOST", "127.0.0.1"), ("SESSION_SECRET", "")]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SESSION_SECRET"), "{said}");
    for (variables, warns) in [(&[("SESSION_SECRET", "")][..], true), (&[], false)] {
        let app = App::start(variables).await;
        assert_eq!(app.log().contains("SESSION_SECRET is not set"), warns, "{}", app.log());
    }
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let mut server = Server::builder(Flavor::Redis).password("hunter2").start().await;
    let app = App::connected(&server.url()).await;
    server.kill();
    assert!(wait_until(PATIENT, || app.is("degraded")).await, "{}", app.log());
    let health = app.get("/api/health").await.json().to_string();
    assert!(!health.contains("hunter2") && !app.log().contains("hunter2"), "{}", app.log());

    server.restart().await;
    let wrong = server.url().replace("hunter2", "hunter3");
    let app = App::on(&wrong).await;
    assert_eq!(app.health().await, ("degraded".into(), "redis".into()));
    let health = app.get("/api/health").await.json().to_string();
    assert!(!health.contains("hunter") && !app.log().contains("hunter"), "{}", app.log());
}

#[tokio::test]
async fn sigterm_ends_it_with_0() {
    let app = App::start(&[]).await;
    // The client keeps its connection open meanwhile.
    assert_eq!(app.statuses(1).await, [200]);
    app.terminate();
    let (code, said) = app.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped"), "{said}");
}

#[tokio::test]
async fn sigterm_ends_it_with_redis_up_or_down() {
    let mut server = Server::start(Flavor::Redis).await;
    let (up, down) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    up.stop().await;
    server.kill();
    down.stop().await;
}

/// Whether something that was sent on this connection is not read yet, as the kernel says.
#[cfg(target_os = "linux")]
fn unread(socket: &TcpStream) -> bool {
    let hex = |address: SocketAddr| format!(":{:04X}", address.port());
    let (ours, theirs) = (hex(socket.local_addr().unwrap()), hex(socket.peer_addr().unwrap()));
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut at_program = columns.filter(|row| row[1].ends_with(&theirs) && row[2].ends_with(&ours));
    let queues = at_program.next().expect("no such connection")[4];
    !queues.ends_with(":00000000")
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sigterm_lets_a_request_under_way_finish() {
    let app = App::start(&[]).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let read = wait_until(PATIENT, || std::future::ready(!unread(&socket)));
    assert!(read.await, "the program does not read");
    app.terminate();
    let told = wait_until(PATIENT, || std::future::ready(app.log().contains("stopping")));
    assert!(told.await, "{}", app.log());
    let refused = wait_until(PATIENT, async || TcpStream::connect(app.address()).await.is_err());
    assert!(refused.await, "somebody new is served");
    socket.write_all(b"\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENT, socket.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("</html>\n"), "{answer}");
    assert_eq!(app.ended().await.0, Some(0));
}
