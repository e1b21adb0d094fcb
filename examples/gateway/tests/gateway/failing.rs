//! What a client is told when the upstream does not answer, and what the upstream notices when the
//! client is gone.

use tower_keep_tests::free_port;

use crate::{
    program::{Exchange, Gateway, before},
    wire::{Upstream, Wire},
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

pub(crate) async fn problem(client: &mut Wire, status: u16) {
    let (head, body) = client.message().await;
    assert_eq!(head.status(), status);
    assert_eq!(head.one("content-type"), "application/problem+json");
    assert_eq!(head.one("cache-control"), "no-store");
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(!body.contains("127.0.0.1"), "where the upstream is, is nobody's business: {body}");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502_until_it_is_up() {
    let port = free_port().unwrap();
    let program = before(&format!("http://127.0.0.1:{port}"), &[]).await;
    let address = program.url().trim_start_matches("http://").to_owned();
    let mut client = Wire::new(tokio::net::TcpStream::connect(address).await.unwrap());
    for _ in 0..3 {
        client.send(GET).await;
        problem(&mut client, 502).await;
    }
    let mut upstream = Upstream::on(port).await;
    client.send(GET).await;
    let (mut upstream, _) = upstream.asked().await;
    upstream.answer("up").await;
    assert_eq!(client.message().await.1, "up");
    let log = program.log();
    assert_eq!(log.matches("the upstream does not answer").count(), 1, "{log}");
    assert_eq!(log.matches("the upstream answers again").count(), 1, "{log}");
}

#[tokio::test]
async fn grpc_is_told_in_its_own_words() {
    let port = free_port().unwrap();
    let program = before(&format!("http://127.0.0.1:{port}"), &[]).await;
    let address = program.url().trim_start_matches("http://").to_owned();
    let mut client = Wire::new(tokio::net::TcpStream::connect(address).await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!((head.status(), head.one("grpc-status")), (200, "14"));
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_504() {
    let mut gateway = Gateway::start(&[("GATEWAY_HEAD_TIMEOUT_MS", "1000")]).await;
    let mut it = gateway.passes(GET).await;
    problem(&mut it.client, 504).await;
    assert_eq!(it.upstream.rest().await, "", "it is not asked any longer");
    // Once the head is there, the body may take its time.
    it.client.send(GET).await;
    let (mut upstream, _) = gateway.upstream.asked().await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    assert_eq!(it.client.head().await.status(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    upstream.send("hi").await;
    it.client.expect("hi").await;
}

/// The time for an answer begins when the request is complete, and a client that does not complete
/// it is told so.
#[tokio::test]
async fn an_upload_takes_as_long_as_it_moves() {
    let mut gateway = Gateway::start(&[("GATEWAY_HEAD_TIMEOUT_MS", "2000")]).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    let mut it = gateway.passes(post).await;
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        it.client.send("x").await;
        it.upstream.expect("x").await;
    }
    it.upstream.answer("ok").await;
    assert_eq!(it.client.message().await.1, "ok");
    gateway.upstream.keep(it.upstream);

    let mut it = gateway.passes(post).await;
    it.client.send("x").await;
    it.upstream.expect("x").await;
    problem(&mut it.client, 408).await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_talks_nonsense_is_502() {
    let mut gateway = Gateway::start(&[]).await;
    for nonsense in [
        "",
        "HTTP/1.1 200 OK\r\nconte",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let mut it = gateway.passes(GET).await;
        it.upstream.send(nonsense).await;
        it.upstream.finish().await;
        problem(&mut it.client, 502).await;
    }
}

/// A client must never take a part for the whole.
#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let mut gateway = Gateway::start(&[]).await;
    for (framing, part) in
        [("content-length: 9", "abc"), ("transfer-encoding: chunked", "3\r\nabc\r\n")]
    {
        let mut it = gateway.passes(GET).await;
        it.upstream.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}")).await;
        assert_eq!(it.client.head().await.status(), 200);
        it.client.expect(part).await;
        drop(it.upstream);
        assert_eq!(it.client.rest().await, "");
    }
    // A coding that there is none of is taken for none.
    let mut it = gateway.passes(GET).await;
    it.upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense\r\n\r\nhi").await;
    it.upstream.finish().await;
    assert_eq!(it.client.head().await.one("transfer-encoding"), "chunked");
    it.client.expect("2\r\nhi\r\n0\r\n\r\n").await;
    // Two lengths in one answer are one.
    let mut it = gateway.passes(GET).await;
    it.upstream
        .send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    it.client.head().await.has_none(&["content-length"]);
    it.client.expect("2\r\nhi\r\n0\r\n\r\n").await;
}

/// A request that comes by a connection which was used before.
async fn by_a_kept_connection(gateway: &mut Gateway, request: &str) -> Exchange {
    loop {
        let mut it = gateway.passes(request).await;
        if it.upstream.was_kept() {
            return it;
        }
        it.upstream.answer("not yet").await;
        it.client.message().await;
        gateway.upstream.keep(it.upstream);
    }
}

/// An upstream may close a connection for want of work just when it is used again.
#[tokio::test]
async fn a_kept_connection_that_closes_is_not_the_clients_trouble() {
    let mut gateway = Gateway::start(&[]).await;
    let put = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    let mut it = by_a_kept_connection(&mut gateway, put).await;
    drop(it.upstream);
    let (mut upstream, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.start(), "PUT / HTTP/1.1");
    upstream.answer("two").await;
    assert_eq!(it.client.message().await.1, "two");
    gateway.upstream.keep(upstream);
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_not() {
    let mut gateway = Gateway::start(&[]).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    let upload = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    for request in [post, upload] {
        let mut it = by_a_kept_connection(&mut gateway, request).await;
        drop(it.upstream);
        problem(&mut it.client, 502).await;
        assert!(gateway.upstream.is_left_alone().await);
    }
    // Nor is anything tried for ever.
    let mut it = by_a_kept_connection(&mut gateway, GET).await;
    drop(it.upstream);
    let (upstream, _) = gateway.upstream.asked().await;
    drop(upstream);
    problem(&mut it.client, 502).await;
    assert!(gateway.upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_client_that_goes_is_not_waited_for() {
    let mut gateway =
        Gateway::start(&[("GATEWAY_LAYERS", "session,rate-limit,response-cache")]).await;
    // Before the head of the answer.
    let mut it = gateway.passes(GET).await;
    drop(it.client);
    assert_eq!(it.upstream.rest().await, "");
    // Within its body.
    let mut it = gateway.passes(GET).await;
    it.upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    it.client.head().await;
    it.client.expect("1\r\nx\r\n").await;
    drop(it.client);
    it.upstream.rest().await;
    // Within that of the request: the upstream must not take it for complete.
    let mut it = gateway
        .passes("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        .await;
    it.upstream.expect("1\r\nx\r\n").await;
    drop(it.client);
    assert_eq!(it.upstream.rest().await, "", "no last chunk");
}
