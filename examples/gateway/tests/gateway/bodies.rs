//! Bodies pass as they come, in both directions at once.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::mpsc;

use crate::{program::Gateway, wire::soon};

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n";

#[tokio::test]
async fn no_piece_waits_for_the_next() {
    let mut gateway =
        Gateway::start(&[("GATEWAY_LAYERS", "session,rate-limit,response-cache")]).await;
    let mut it = gateway.passes(&format!("{POST}\r\n3\r\none\r\n")).await;
    it.upstream.expect("3\r\none\r\n").await;
    it.upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
    assert_eq!(it.client.head().await.one("transfer-encoding"), "chunked");
    it.client.expect("3\r\nuno\r\n").await;
    it.client.send("3\r\ntwo\r\n").await;
    it.upstream.expect("3\r\ntwo\r\n").await;
    it.upstream.send("3\r\ndos\r\n").await;
    it.client.expect("3\r\ndos\r\n").await;
    it.client.send("0\r\n\r\n").await;
    it.upstream.expect("0\r\n\r\n").await;
    it.upstream.send("0\r\n\r\n").await;
    it.client.expect("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_of_any_method_arrives() {
    let mut gateway = Gateway::start(&[]).await;
    for method in ["GET", "DELETE", "OPTIONS", "QUERY"] {
        let head = POST.replace("POST", method);
        let mut it = gateway.passes(&format!("{head}\r\n2\r\nhi\r\n0\r\n\r\n")).await;
        assert_eq!(it.asked.one("transfer-encoding"), "chunked");
        it.upstream.expect("2\r\nhi\r\n0\r\n\r\n").await;
        let sized = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
        let mut it = gateway.passes(&sized).await;
        assert_eq!(it.asked.one("content-length"), "2");
        it.upstream.expect("hi").await;
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut gateway =
        Gateway::start(&[("GATEWAY_LAYERS", "session,rate-limit,response-cache")]).await;
    let request = format!(
        "{POST}te: trailers\r\nconnection: te\r\ntrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n"
    );
    let mut it = gateway.passes(&request).await;
    assert_eq!((it.asked.one("te"), it.asked.one("connection")), ("trailers", "te"));
    it.upstream.expect("2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n").await;
    it.upstream
        .send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nho\r\n0\r\nx-sum: 2\r\n\r\n",
        )
        .await;
    it.client.head().await;
    it.client.expect("2\r\nho\r\n0\r\nx-sum: 2\r\n\r\n").await;
}

#[tokio::test]
async fn big_bodies_pass_without_being_held() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 64;
    let mut gateway = Gateway::start(&[]).await;
    let length = PIECE * PIECES;
    let mut it = gateway
        .passes(&format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    assert_eq!(it.asked.one("content-length"), length.to_string());
    let piece = "x".repeat(PIECE);
    for _ in 0..PIECES {
        tokio::join!(it.client.send(&piece), it.upstream.expect(&piece));
    }
    it.upstream.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
    assert_eq!(it.client.head().await.one("content-length"), length.to_string());
    for _ in 0..PIECES {
        tokio::join!(it.upstream.send(&piece), it.client.expect(&piece));
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_what_they_say_of_it() {
    let mut gateway = Gateway::start(&[]).await;
    let mut it = gateway.passes("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    it.upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    assert_eq!(it.client.head().await.one("content-length"), "1000");
    it.client.send("GET / HTTP/1.1\r\nhost: a\r\nif-none-match: \"a\"\r\n\r\n").await;
    gateway.upstream.keep(it.upstream);
    let (mut upstream, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.one("if-none-match"), "\"a\"");
    upstream.send("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n").await;
    assert_eq!(it.client.head().await.status(), 304);
}

#[tokio::test]
async fn who_asks_before_sending_is_told_to_go_on() {
    let mut gateway = Gateway::start(&[]).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let mut it = gateway.passes(request).await;
    assert_eq!(it.asked.one("expect"), "100-continue");
    assert_eq!(it.client.head().await.status(), 100);
    it.client.send("hi").await;
    it.upstream.expect("hi").await;
    it.upstream.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n").await;
    it.upstream.answer("ok").await;
    assert_eq!(it.client.message().await.1, "ok");
}

type Pieces = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

fn pieces() -> (Pieces, BoxBody<Bytes, std::io::Error>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, BodyExt::boxed(StreamBody::new(stream)))
}

#[tokio::test]
async fn http_2_comes_in_and_http_1_goes_out() {
    let mut gateway = Gateway::start(&[("GATEWAY_LAYERS", "rate-limit")]).await;
    let client: Client<HttpConnector, BoxBody<Bytes, std::io::Error>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let (sender, body) = pieces();
    let request = Request::post(format!("{}/x?y", gateway.program.url()))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .header("x-forwarded-for", "203.0.113.1")
        .body(body)
        .unwrap();
    let answer = tokio::spawn(client.request(request));
    let (mut upstream, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.start(), "POST /x?y HTTP/1.1");
    assert_eq!(asked.one("host"), gateway.address());
    assert_eq!(asked.one("cookie"), "a=1; b=2");
    assert_eq!(asked.one("via"), "2 tower-keep");
    assert_eq!(asked.one("te"), "trailers");
    assert_eq!(asked.one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(asked.one("transfer-encoding"), "chunked");
    sender.send(Ok(Frame::data(Bytes::from_static(b"one")))).await.unwrap();
    upstream.expect("3\r\none\r\n").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
    drop(sender);
    upstream.expect("0\r\nx-sum: 1\r\n\r\n").await;
    upstream
        .send("HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nuno\r\n")
        .await;
    let mut answer = soon(answer).await.unwrap().unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert!(answer.headers().get("x-hop").is_none());
    let first = soon(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "uno");
    upstream.send("0\r\nx-sum: 2\r\n\r\n").await;
    let rest = soon(answer.into_body().collect()).await.unwrap();
    assert_eq!(rest.trailers().unwrap()["x-sum"], "2");
}

#[tokio::test]
async fn no_body_is_said_to_be_none() {
    let mut gateway = Gateway::start(&[]).await;
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(gateway.program.url()).body(Full::default()).unwrap();
    let answer = tokio::spawn(client.request(request));
    let (mut upstream, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.one("content-length"), "0");
    asked.has_none(&["transfer-encoding"]);
    upstream.answer("ok").await;
    assert_eq!(soon(answer).await.unwrap().unwrap().status(), 200);
}

/// Many requests on one connection of HTTP/2 are as many to the upstream.
#[tokio::test]
async fn requests_of_one_connection_do_not_wait_for_each_other() {
    let mut gateway = Gateway::start(&[]).await;
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let url = gateway.program.url().to_owned();
    let ask = |path: &str| {
        let uri = format!("{url}/{path}");
        tokio::spawn(client.request(Request::get(uri).body(Full::default()).unwrap()))
    };
    let first = ask("first");
    let (mut slow, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.start(), "GET /first HTTP/1.1");
    let second = ask("second");
    let (mut quick, asked) = gateway.upstream.asked().await;
    assert_eq!(asked.start(), "GET /second HTTP/1.1");
    quick.answer("quick").await;
    let body = soon(second).await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "quick");
    slow.answer("slow").await;
    assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
}
