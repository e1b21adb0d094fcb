//! How the gateway is, and how it ends.

use tokio::net::TcpStream;

use crate::{
    program::Gateway,
    wire::{Wire, soon},
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn its_own_path_is_answered_past_all_layers() {
    let mut gateway = Gateway::start(&[
        ("GATEWAY_HEALTH_PATH", "/healthz"),
        ("GATEWAY_LAYERS", "rate-limit"),
        ("RATE_LIMIT_MAX", "1"),
    ])
    .await;
    for _ in 0..3 {
        let (head, body) = gateway.answers("GET /healthz?x HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!((head.status(), head.one("cache-control")), (200, "no-store"));
        let health: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&health["status"], &health["store"]), (&"ok".into(), &"memory".into()));
    }
    let (head, _) =
        gateway.answers("POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!((head.status(), head.one("allow")), (405, "GET, HEAD"));
    assert_eq!(
        gateway.passes("GET /healthz/ HTTP/1.1\r\nhost: a\r\n\r\n").await.asked.start(),
        "GET /healthz/ HTTP/1.1"
    );

    let mut gateway = Gateway::start(&[]).await;
    let it = gateway.passes("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(it.asked.start(), "GET /healthz HTTP/1.1");
}

#[tokio::test]
async fn it_stops_in_good_order() {
    let mut gateway = Gateway::start(&[]).await;
    let mut idle = gateway.passes(GET).await;
    idle.upstream.answer("done").await;
    idle.client.message().await;
    let mut busy = gateway.connect().await;
    busy.send(GET).await;
    gateway.upstream.keep(idle.upstream);
    let (mut upstream, _) = gateway.upstream.asked().await;
    gateway.program.terminate();
    assert_eq!(idle.client.rest().await, "", "who asks nothing is let go");
    // Nobody new is let in once the old are told.
    let address = gateway.address().to_owned();
    let refused = tower_keep_tests::wait_until(tower_keep_tests::Program::PATIENT, || async {
        TcpStream::connect(&address).await.is_err()
    });
    assert!(refused.await);
    upstream.answer("finished").await;
    assert_eq!(busy.message().await.1, "finished");
    let (code, log) = gateway.program.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("not finished in time"), "{log}");
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let mut gateway = Gateway::start(&[("GATEWAY_STOP_TIMEOUT_MS", "100")]).await;
    let mut it = gateway.passes(GET).await;
    gateway.program.terminate();
    assert_eq!(it.client.rest().await, "");
    assert_eq!(it.upstream.rest().await, "");
    let (code, log) = gateway.program.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("not finished in time"), "{log}");
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_head_is_let_go() {
    let mut gateway = Gateway::start(&[("GATEWAY_CLIENT_TIMEOUT_MS", "1000")]).await;
    let mut slow = Wire::new(TcpStream::connect(gateway.address()).await.unwrap());
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    soon(slow.rest()).await;
    let mut it = gateway.passes(GET).await;
    it.upstream.answer("ok").await;
    assert_eq!(it.client.message().await.1, "ok");
}
