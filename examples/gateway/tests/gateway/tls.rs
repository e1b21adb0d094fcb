//! Upstreams that are asked over TLS.

use std::path::Path;

use tokio::net::TcpStream;
use tower_keep_tests::{Certificates, Program, TlsFront};

use crate::{
    failing::problem,
    program::{Exchange, Gateway, before, run},
    wire::{Upstream, Wire},
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A gateway that trusts this authority alone.
async fn trusting(authority: &Path, upstream: &str, variables: &[(&str, &str)]) -> Program {
    let trusts = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    before(upstream, &[&trusts, variables].concat()).await
}

/// A gateway before an upstream behind TLS.
async fn start(variables: &[(&str, &str)]) -> (Gateway, TlsFront) {
    let certificates = Certificates::generate();
    let upstream = Upstream::start().await;
    let front = TlsFront::start(upstream.port(), &certificates, false).await;
    let url = format!("https://localhost:{}", front.port());
    let program = trusting(&certificates.ca_file(), &url, variables).await;
    (Gateway { program, upstream }, front)
}

/// What the log says of an upstream that is not to be trusted, or does not come up.
async fn failure(program: &Program, status: u16) -> String {
    let address = program.url().trim_start_matches("http://");
    let mut client = Wire::new(TcpStream::connect(address).await.unwrap());
    client.send(GET).await;
    problem(&mut client, status).await;
    program.log()
}

#[tokio::test]
async fn it_is_asked_by_its_name_over_connections_that_are_kept() {
    let (mut gateway, front) = start(&[("GATEWAY_UPSTREAM_HOST", "upstream")]).await;
    let Exchange { mut client, mut upstream, asked } = gateway.passes(GET).await;
    assert_eq!(asked.start(), "GET / HTTP/1.1");
    assert_eq!(asked.one("host"), format!("localhost:{}", front.port()));
    assert_eq!((asked.one("x-forwarded-host"), asked.one("x-forwarded-proto")), ("a", "http"));
    upstream.answer("one").await;
    assert_eq!(client.message().await.1, "one");
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await;
    assert!(upstream.head().await.start().starts_with("POST"));
    upstream.expect("hello").await;
    upstream.answer(&"two".repeat(100_000)).await;
    assert_eq!(client.message().await.1, "two".repeat(100_000));
    assert_eq!(front.named(), ["localhost"]);
}

#[tokio::test]
async fn an_address_is_verified_as_one() {
    let certificates = Certificates::naming(&["127.0.0.1"]);
    let mut upstream = Upstream::start().await;
    let front = TlsFront::start(upstream.port(), &certificates, false).await;
    let url = format!("https://127.0.0.1:{}", front.port());
    let program = trusting(&certificates.ca_file(), &url, &[]).await;
    let address = program.url().trim_start_matches("http://");
    let mut client = Wire::new(TcpStream::connect(address).await.unwrap());
    client.send(GET).await;
    upstream.asked().await.0.answer("ok").await;
    assert_eq!(client.message().await.1, "ok");
    assert!(front.named().is_empty());
}

/// The front would rather speak HTTP/2, which cannot be upgraded so.
#[tokio::test]
async fn websockets_pass() {
    let (mut gateway, _front) = start(&[]).await;
    let mut it = gateway
        .passes(
            "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        )
        .await;
    assert_eq!((it.asked.start(), it.asked.one("upgrade")), ("GET /chat HTTP/1.1", "websocket"));
    let grant = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";
    it.upstream.send(grant).await;
    assert_eq!(it.client.head().await.status(), 101);
    it.client.expect("hello").await;
    it.client.send("bye").await;
    it.upstream.expect("bye").await;
    it.client.finish().await;
    assert_eq!(it.upstream.rest().await, "");
    it.upstream.send("farewell").await;
    drop(it.upstream);
    assert_eq!(it.client.rest().await, "farewell");
}

#[tokio::test]
async fn whom_nobody_vouches_for_is_not_asked() {
    let (ours, others) = (Certificates::generate(), Certificates::generate());
    let elsewhere = Certificates::naming(&["elsewhere.example"]);
    for (shown, trusted, because) in [
        (&ours, &others, "invalid peer certificate"),
        (&elsewhere, &elsewhere, "not valid for name"),
    ] {
        let mut upstream = Upstream::start().await;
        let front = TlsFront::start(upstream.port(), shown, false).await;
        let url = format!("https://localhost:{}", front.port());
        let program = trusting(&trusted.ca_file(), &url, &[]).await;
        let log = failure(&program, 502).await;
        assert!(log.contains("the upstream does not answer: it cannot be reached"), "{log}");
        assert!(log.contains(because), "{log}");
        assert!(upstream.is_left_alone().await);
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_no_upstream() {
    let certificates = Certificates::generate();
    let mut upstream = Upstream::start().await;
    let url = upstream.url().replace("http://", "https://");
    let limit = ("GATEWAY_CONNECT_TIMEOUT_MS", "1000");
    let program = trusting(&certificates.ca_file(), &url, &[limit]).await;
    let garbled = async {
        let mut wire = upstream.accept().await;
        wire.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        wire
    };
    let (log, _wire) = tokio::join!(failure(&program, 502), garbled);
    assert!(log.contains("it cannot be reached"), "{log}");

    let program = trusting(&certificates.ca_file(), &url, &[limit]).await;
    let log = failure(&program, 504).await;
    assert!(log.contains("it takes too long to connect"), "{log}");
}

#[tokio::test]
async fn nobody_to_trust_is_said_at_start() {
    let nothing = ("SSL_CERT_FILE", "/nowhere/ca.pem");
    let (code, said) = run(&[("GATEWAY_UPSTREAM", "https://127.0.0.1:1"), nothing]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SSL_CERT_FILE") && said.contains("/nowhere/ca.pem"), "{said}");
    // Who has no need of them does not look.
    before("http://127.0.0.1:1", &[nothing]).await.stop().await;
}
