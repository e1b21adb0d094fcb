//! Nothing in a request chooses who is asked, and nobody gets two requests out of one.

use crate::{program::Gateway, wire::Upstream};

/// What is answered without asking anybody.
#[tokio::test]
async fn what_is_no_request_for_the_upstream_is_refused() {
    let mut gateway = Gateway::start(&[]).await;
    for (request, status) in [
        ("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nhost: a\r\ncookie: secret\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET http://user@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ] {
        let (head, body) = gateway.answers(request).await;
        assert_eq!(head.status(), status, "{request}");
        assert_eq!(head.one("content-type"), "application/problem+json");
        assert_eq!(head.one("cache-control"), "no-store");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status);
    }
}

/// hyper refuses these itself.
#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let mut gateway = Gateway::start(&[]).await;
    for fields in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "content-length: 3, 3",
        "content-length : 3",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding : chunked",
        "transfer-encoding:\x0bchunked",
        "x: 1\r\n transfer-encoding: chunked",
        "x: 1\rtransfer-encoding: chunked",
    ] {
        let mut client = gateway.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!([400, 501].contains(&head.status()), "{fields:?}: {head:?}");
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut client = gateway.connect().await;
    client.send(old).await;
    assert_eq!(client.head().await.status(), 400);
    assert!(gateway.upstream.is_left_alone().await);
}

/// The upstream is told one length only, and what follows is not taken for a request.
#[tokio::test]
async fn of_two_lengths_chunks_are_the_one_and_the_connection_ends() {
    let mut gateway = Gateway::start(&[]).await;
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        let mut it = gateway.passes(&request).await;
        it.asked.has_none(&["content-length"]);
        assert_eq!(it.asked.one("transfer-encoding"), "chunked");
        it.upstream.expect("2\r\nhi\r\n0\r\n\r\n").await;
        it.upstream.answer("ok").await;
        let (head, body) = it.client.message().await;
        assert_eq!((head.status(), body.as_str()), (200, "ok"));
        assert_eq!(it.client.rest().await, "", "nothing after that is answered");
        assert!(gateway.upstream.is_left_alone().await);
    }
}

#[tokio::test]
async fn a_target_with_a_host_names_the_host_not_the_upstream() {
    let mut gateway = Gateway::start(&[]).await;
    let mut other = Upstream::start().await;
    let target = other.url();
    let host = target.trim_start_matches("http://");
    let it = gateway.passes(&format!("GET {target}/x?y HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    assert_eq!(it.asked.start(), "GET /x?y HTTP/1.1");
    assert_eq!(it.asked.one("host"), host);
    let it = gateway.passes(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    assert_eq!(it.asked.one("host"), host);
    let it = gateway.passes(&format!("GET //{host}/ HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    assert_eq!(it.asked.start(), format!("GET //{host}/ HTTP/1.1"));
    assert!(other.is_left_alone().await);
}
