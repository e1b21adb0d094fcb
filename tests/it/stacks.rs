//! The layers under the servers they are made for: axum's `Router::layer`, hyper's
//! `TowerToHyperService` and tonic's `Server::layer`, with tower-http's layers outside, between
//! and inside. Each stack is served on loopback and asked by a real client.

/// Our layers, and tower-http's around, between and within them.
macro_rules! stack {
    ($limit:expr) => {
        tower::ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(TraceLayer::new_for_http())
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, PATIENT))
            .layer(crate::stacks::tenant_by_header())
            .layer(TraceLayer::new_for_http())
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, PATIENT))
            .layer($limit)
            .layer(TraceLayer::new_for_http())
            .layer(CatchPanicLayer::new())
            .layer(TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, PATIENT))
    };
}

mod axum_router;
mod body;
mod bounds;
mod hyper_service;
mod sessions;
mod tonic_server;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_keep_core::PrincipalLayer;
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule};

/// So long that only a hung test takes it.
const PATIENT: Duration = Duration::from_secs(30);
/// Longer than any test: no window ends by itself.
const HOUR: Duration = Duration::from_secs(3600);

fn tenant_by_header() -> PrincipalLayer {
    PrincipalLayer::from_header("x-tenant-id").default_tenant("public").build().unwrap()
}

fn per_tenant(limit: u64) -> RateLimitLayerBuilder {
    RateLimitLayer::builder().memory().rule(Rule::per_tenant(limit, HOUR))
}

/// A server on loopback; gone when it is dropped.
struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    /// Lets `serve` answer on a port of its own.
    async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(serve(listener)) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> http::request::Builder {
        Request::get(self.url(path))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client(speaks: Speaks) -> HttpClient {
    Client::builder(TokioExecutor::new()).http2_only(speaks == Speaks::Http2).build_http()
}

/// An answer, read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    async fn read(response: http::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: head.status, headers: head.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(client: &HttpClient, request: http::request::Builder) -> Reply {
    let request = request.body(Full::default()).unwrap();
    let response = tokio::time::timeout(PATIENT, client.request(request)).await;
    Reply::read(response.expect("no answer").unwrap()).await
}

/// What every stack does, whatever serves it: a handler behind a limit of 3 that says `hello` at
/// `/` and panics at `/panic`.
async fn limits_as_told(served: &Served, client: &HttpClient) {
    for remaining in ["2", "1"] {
        let reply = ask(client, served.get("/")).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"hello"[..]));
        assert_eq!(reply.header("ratelimit-policy"), r#""tenant";q=3;w=3600"#);
        assert!(reply.header("ratelimit").starts_with(&format!(r#""tenant";r={remaining};t="#)));
        assert_eq!(reply.header("vary"), "x-tenant-id");
        assert!(!reply.header("x-request-id").is_empty());
    }
    // A panic inside is caught inside: it is an answer like any other, and was counted.
    let reply = ask(client, served.get("/panic")).await;
    assert_eq!(reply.status, 500);
    assert!(reply.header("ratelimit").starts_with(r#""tenant";r=0;"#));

    let reply = ask(client, served.get("/").header("x-request-id", "mine")).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("x-request-id"), "mine");
    assert_eq!(reply.header("vary"), "x-tenant-id");
    assert!((1..=3600).contains(&reply.header("retry-after").parse::<u64>().unwrap()));
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(problem["violated-policies"], serde_json::json!(["tenant"]));

    let head = Request::head(served.url("/"));
    let reply = ask(client, head).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (429, 0));

    let reply = ask(client, served.get("/").header("x-tenant-id", "other")).await;
    assert_eq!(reply.status, 200, "another tenant has a limit of its own");
    let reply = ask(client, served.get("/").header("x-tenant-id", "")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), "application/problem+json");
}
