//! What becomes of a message's head on its way.

use crate::program::Gateway;

const GET: &str = "GET /a/../b//?q=%20 HTTP/1.1\r\nhost: example.com:81\r\n";

#[tokio::test]
async fn a_request_is_passed_on_as_it_is() {
    let mut gateway = Gateway::start(&[]).await;
    let request = format!("{GET}x-mine: 1\r\nX-Mine: 2\r\nexpect-ct: é\r\n\r\n");
    let mut it = gateway.passes(&request).await;
    assert_eq!(it.asked.start(), "GET /a/../b//?q=%20 HTTP/1.1");
    assert_eq!(it.asked.one("host"), "example.com:81");
    assert_eq!(it.asked.all("x-mine"), ["1", "2"]);
    assert_eq!(it.asked.one("expect-ct"), "é");
    assert_eq!(it.asked.one("via"), "1.1 tower-keep");
    it.asked.has_none(&["connection", "transfer-encoding", "content-length"]);
    it.upstream
        .send("HTTP/1.1 299 Quite So\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 2\r\n\r\nhi")
        .await;
    let (head, body) = it.client.message().await;
    assert_eq!((head.start(), body.as_str()), ("HTTP/1.1 299 Quite So", "hi"));
    assert_eq!(head.all("set-cookie"), ["a", "b"]);
    head.has_none(&["connection", "via", "x-forwarded-for"]);
}

#[tokio::test]
async fn redirects_are_passed_not_followed() {
    let mut gateway = Gateway::start(&[]).await;
    let mut it = gateway.passes("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let location = "http://169.254.169.254/latest";
    it.upstream
        .send(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))
        .await;
    let head = it.client.head().await;
    assert_eq!((head.status(), head.one("location")), (302, location));
    assert!(gateway.upstream.is_left_alone().await);
}

#[tokio::test]
async fn what_is_for_one_hop_goes_no_further() {
    let mut gateway = Gateway::start(&[]).await;
    let request = format!(
        "{GET}connection: keep-alive, X-Hop, x-forwarded-for, via, host\r\nx-hop: 1\r\n\
         keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nproxy-authorization: Basic eA==\r\n\
         proxy: http://evil\r\nte: gzip, trailers;q=0.5\r\nupgrade: h2c\r\nhttp2-settings: AAAA\r\n\
         x-end: 1\r\n\r\n"
    );
    let mut it = gateway.passes(&request).await;
    it.asked.has_none(&[
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy",
        "te",
        "upgrade",
    ]);
    assert_eq!(it.asked.one("x-end"), "1");
    assert_eq!(it.asked.one("host"), "example.com:81");
    assert_eq!(it.asked.one("x-forwarded-for"), "127.0.0.1", "ours cannot be named away");
    it.upstream
        .send(
            "HTTP/1.1 200 OK\r\nconnection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
             proxy-authenticate: Basic\r\nupgrade: h2c\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
    let head = it.client.head().await;
    head.has_none(&["connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade"]);
    assert_eq!(head.one("x-end"), "1");
    // The upstream's connection ends with that, the client's does not.
    it.client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut upstream, _) = gateway.upstream.asked().await;
    upstream.answer("again").await;
    assert_eq!(it.client.message().await.1, "again");
}

#[tokio::test]
async fn old_clients_get_old_answers() {
    let mut gateway = Gateway::start(&[]).await;
    let mut it =
        gateway.passes("GET / HTTP/1.0\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
    assert_eq!(it.asked.start(), "GET / HTTP/1.1");
    assert_eq!(it.asked.one("host"), gateway.upstream.url().trim_start_matches("http://"));
    assert_eq!(it.asked.one("via"), "1.0 tower-keep");
    it.asked.has_none(&["upgrade", "connection"]);
    it.upstream
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    let head = it.client.head().await;
    assert_eq!(head.start(), "HTTP/1.0 200 OK");
    head.has_none(&["transfer-encoding"]);
    assert_eq!(it.client.rest().await, "hi");
}

#[tokio::test]
async fn the_upstream_may_be_told_its_own_host() {
    let mut gateway =
        Gateway::start(&[("GATEWAY_UPSTREAM_HOST", "upstream"), ("GATEWAY_VIA", "edge-1")]).await;
    let it = gateway.passes(&format!("{GET}via: 1.0 inner\r\n\r\n")).await;
    assert_eq!(it.asked.one("host"), gateway.upstream.url().trim_start_matches("http://"));
    assert_eq!(it.asked.one("x-forwarded-host"), "example.com:81");
    assert_eq!(it.asked.all("via"), ["1.0 inner", "1.1 edge-1"]);
}

#[tokio::test]
async fn max_forwards_is_counted_down() {
    let mut gateway = Gateway::start(&[]).await;
    let options = "OPTIONS * HTTP/1.1\r\nhost: a\r\nmax-forwards: ";
    let it = gateway.passes(&format!("{options}2\r\n\r\n")).await;
    assert_eq!(it.asked.start(), "OPTIONS * HTTP/1.1");
    assert_eq!(it.asked.one("max-forwards"), "1");
    let mut client = gateway.connect().await;
    client.send(format!("{options}0\r\n\r\n")).await;
    assert_eq!(client.head().await.status(), 204);
    assert!(gateway.upstream.is_left_alone().await);
}
