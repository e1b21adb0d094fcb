//! Under a real server, with clients that stay and clients that go away.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Interval, interval},
};
use tower::{Layer as _, service_fn};
use tower_keep_core::CostUnit;
use tower_keep_rate_limit::RateLimitLayer;
use tower_keep_tests::wait_until;

use super::{ALGORITHMS, ESTIMATE, LIMIT, rule, used};
use crate::rate_limit::{clock, on};

const PATIENT: Duration = Duration::from_secs(20);

/// Four bytes at a time, for ever.
struct Endless(Interval);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.0.poll_tick(context));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
    }
}

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

async fn handler(request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    Ok(Response::new(match request.uri().path() {
        "/short" => Full::from("twenty-five bytes of text").boxed_unsync(),
        "/empty" => Empty::new().boxed_unsync(),
        _ => Endless(interval(Duration::from_millis(5))).boxed_unsync(),
    }))
}

/// Serves [`handler`] behind this layer; tells the port.
async fn serve(layer: &RateLimitLayer) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = layer.layer(service_fn(handler));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(socket), service).await);
            });
        }
    });
    port
}

fn layer() -> RateLimitLayer {
    let rule = rule(ALGORITHMS[0], CostUnit::BYTES);
    on(&clock()).rule(rule).expose_decision(true).build().unwrap()
}

async fn send(port: u16, method: &str, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn what_a_client_reads_to_its_end_is_charged_its_bytes() {
    for (method, path, bytes) in [
        ("GET", "/short", 25),
        ("GET", "/empty", 0),
        ("HEAD", "/short", 0),
        ("HEAD", "/empty", 0),
        // Hyper drops the body unread.
        ("HEAD", "/endless", 0),
    ] {
        let layer = layer();
        let port = serve(&layer).await;
        let mut answer = String::new();
        send(port, method, path).await.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let counted = wait_until(PATIENT, || async { used(&layer).await == bytes }).await;
        assert!(counted, "{method} {path}: {} and not {bytes}", used(&layer).await);
    }
}

/// The client goes away in the middle of the body, having read less or more than the estimate.
#[tokio::test]
async fn a_client_that_goes_away_pays_for_what_was_sent_or_the_estimate() {
    for parts in [1, 30] {
        let layer = layer();
        let port = serve(&layer).await;
        let mut socket = send(port, "GET", "/endless").await;
        let (mut read, mut seen) = (Vec::new(), 0);
        while seen < parts {
            assert!(socket.read_buf(&mut read).await.unwrap() > 0);
            seen = read.windows(4).filter(|bytes| bytes == b"more").count();
        }
        assert_eq!(used(&layer).await, ESTIMATE, "the estimate stands until the end");
        drop(socket);
        let sent = 4 * seen as u64;
        if sent > ESTIMATE {
            let charged = wait_until(PATIENT, || async { used(&layer).await > ESTIMATE }).await;
            assert!(charged, "the body was not dropped");
        }
        let charged = used(&layer).await;
        let most = LIMIT / 2;
        assert!(charged >= sent.max(ESTIMATE) && charged < most, "{charged} for {sent}");
    }
}

/// A client of HTTP/2 resets the stream, and keeps the connection.
#[tokio::test]
async fn a_stream_that_is_reset_is_a_body_that_is_dropped() {
    use hyper_util::client::legacy::Client;

    let layer = layer();
    let port = serve(&layer).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let get = |path: &str| {
        let uri = format!("http://127.0.0.1:{port}{path}");
        client.request(Request::get(uri).body(Empty::<Bytes>::new()).unwrap())
    };
    let mut body = get("/endless").await.unwrap().into_body();
    let mut read = 0;
    while read < 100 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(used(&layer).await, ESTIMATE);
    drop(body);
    assert!(wait_until(PATIENT, || async { used(&layer).await >= read }).await);
    let before = used(&layer).await;
    let short = get("/short").await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(short.to_bytes().len(), 25);
    assert!(wait_until(PATIENT, || async { used(&layer).await == before + 25 }).await);
}
