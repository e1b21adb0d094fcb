//! Under tonic's `Server::layer`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::HealthReporter,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_keep_core::{Answer, StoreError, key::BlockKey};
use tower_keep_rate_limit::{
    Limit, LimitStore, MemoryStore, OnStoreError, RateLimitLayer, Rule, Verdict,
};

use super::{HOUR, PATIENT, Served, Speaks, client, per_tenant};

/// Serves tonic's health service behind the stack with this limit.
async fn serve(limit: RateLimitLayer) -> (Served, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let served = Served::start(async |listener: TcpListener| {
        let server = Server::builder().layer(stack!(limit)).add_service(health);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    })
    .await;
    (served, reporter)
}

async fn connect(served: &Served) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(served.url("")).unwrap().timeout(PATIENT);
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn everything() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

#[tokio::test]
async fn one_call_over_the_limit_is_resource_exhausted() {
    let (served, _reporter) = serve(per_tenant(3).skip_nothing_by_default().build().unwrap()).await;
    let mut health = connect(&served).await;
    for remaining in [2, 1, 0] {
        let answer = health.check(everything()).await.unwrap();
        let told = answer.metadata().get("ratelimit").unwrap().to_str().unwrap();
        assert!(told.starts_with(&format!(r#""tenant";r={remaining};t="#)), "{told}");
        assert_eq!(
            answer.into_inner().status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving
        );
    }
    for _ in 0..2 {
        let status = health.check(everything()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "the request exceeds a quota");
        let seconds: u64 =
            status.metadata().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds));
        let pushback = (seconds * 1000).to_string();
        let told = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        assert_eq!(told.to_str().unwrap(), pushback);
    }
    let mut request = tonic::Request::new(everything());
    request.metadata_mut().insert("x-tenant-id", "other".parse().unwrap());
    assert!(health.check(request).await.is_ok(), "another tenant has a limit of its own");
    let mut request = tonic::Request::new(everything());
    request.metadata_mut().insert("x-tenant-id", "".parse().unwrap());
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn by_default_health_is_never_limited() {
    let nobody = RateLimitLayer::builder().memory().rule(Rule::per_tenant(0, HOUR));
    let (served, _reporter) = serve(nobody.build().unwrap()).await;
    let mut health = connect(&served).await;
    for _ in 0..20 {
        let answer = health.check(everything()).await.unwrap();
        assert!(answer.metadata().get("ratelimit").is_none());
    }
    let mut watch = health.watch(everything()).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
}

/// A denial as it is on the wire.
#[tokio::test]
async fn a_denial_is_200_with_the_status_in_a_head_that_ends_the_stream() {
    let (served, _reporter) = serve(per_tenant(1).skip_nothing_by_default().build().unwrap()).await;
    let client = client(Speaks::Http2);
    let check = async || {
        let request = Request::post(served.url("/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // One message: not compressed, no bytes.
            .body(Full::from(Bytes::from_static(&[0; 5])))
            .unwrap();
        client.request(request).await.unwrap()
    };
    let admitted = check().await;
    assert_eq!(admitted.status(), 200);
    assert!(!admitted.headers().contains_key("grpc-status"), "it comes in the trailers");
    let admitted = admitted.into_body().collect().await.unwrap();
    assert_eq!(admitted.trailers().unwrap()["grpc-status"], "0");

    let denied = check().await;
    assert_eq!(denied.status(), 200);
    assert_eq!(denied.headers()["content-type"], "application/grpc");
    assert_eq!(denied.headers()["grpc-status"], "8");
    assert!(denied.body().is_end_stream(), "END_STREAM is on the head");
    let body = denied.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none());
    assert!(body.to_bytes().is_empty());
}

/// A memory store that can be made to fail.
#[derive(Default)]
struct Flaky {
    store: MemoryStore,
    fails: AtomicBool,
}

impl LimitStore for Flaky {
    fn check(
        &self,
        limits: &[Limit<'_>],
        blocks: &[BlockKey<'_>],
    ) -> Answer<Result<Verdict, StoreError>> {
        if self.fails.load(Ordering::Relaxed) {
            return Answer::pending(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Err(StoreError::unknown("told to fail"))
            });
        }
        self.store.check(limits, blocks)
    }
}

#[tokio::test]
async fn a_closed_store_is_unavailable_until_it_is_back() {
    let store = Arc::new(Flaky::default());
    let rule = Rule::per_tenant(2, HOUR).on_store_error(OnStoreError::Closed);
    let builder = RateLimitLayer::builder().store(store.clone()).rule(rule);
    let (served, _reporter) = serve(builder.skip_nothing_by_default().build().unwrap()).await;
    let mut health = connect(&served).await;
    assert!(health.check(everything()).await.is_ok());
    store.fails.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let status = health.check(everything()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    }
    store.fails.store(false, Ordering::Relaxed);
    assert!(health.check(everything()).await.is_ok(), "the outage consumed nothing");
    assert_eq!(health.check(everything()).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_counts_once() {
    let (served, reporter) = serve(per_tenant(2).skip_nothing_by_default().build().unwrap()).await;
    let mut health = connect(&served).await;
    let mut watch = health.watch(everything()).await.unwrap().into_inner();
    for status in [ServingStatus::NotServing, ServingStatus::Serving, ServingStatus::NotServing] {
        assert!(watch.message().await.unwrap().is_some());
        reporter.set_service_status("", status).await;
    }
    assert!(watch.message().await.unwrap().is_some());
    let last = health.check(everything()).await.unwrap();
    let told = last.metadata().get("ratelimit").unwrap().to_str().unwrap();
    assert!(told.starts_with(r#""tenant";r=0;"#), "{told}");
    let refused = health.watch(everything()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
}
