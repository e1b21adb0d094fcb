//! Under axum's `Router::layer`.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use tokio::net::TcpListener;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_keep_core::{Principal, PrincipalLayer};
use tower_keep_rate_limit::Rule;

use super::{HOUR, PATIENT, Served, Speaks, ask, body::Live, client, limits_as_told, per_tenant};

async fn serve(app: Router) -> Served {
    Served::start(async |listener: TcpListener| {
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    })
    .await
}

async fn panics() -> &'static str {
    panic!("as asked")
}

#[tokio::test]
async fn with_tower_http_all_around() {
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/panic", get(panics))
        .layer(stack!(per_tenant(3).build().unwrap()));
    let served = serve(app).await;
    limits_as_told(&served, &client(Speaks::Http1)).await;
}

/// Passes on, and says that it was there.
async fn middleware(request: Request, next: Next) -> Response {
    assert!(Principal::of(request.extensions()).is_some());
    let mut response = next.run(request).await;
    response.headers_mut().append("x-middleware", "here".parse().unwrap());
    response
}

#[tokio::test]
async fn over_and_under_middleware_functions() {
    let outside = from_fn(async |request: Request, next: Next| next.run(request).await);
    let app = Router::new().route("/", get(async || "hello")).layer(
        tower::ServiceBuilder::new()
            .layer(outside)
            .layer(PrincipalLayer::fixed("acme").build().unwrap())
            .layer(from_fn(middleware))
            .layer(per_tenant(1).build().unwrap())
            .layer(from_fn(middleware)),
    );
    let served = serve(app).await;
    for (status, reached) in [(200, 2), (429, 1)] {
        let reply = ask(&client(Speaks::Http1), served.get("/")).await;
        assert_eq!(reply.status, status);
        // The one inside never sees what was denied.
        assert_eq!(reply.headers.get_all("x-middleware").iter().count(), reached);
    }
}

#[tokio::test]
async fn the_endpoint_and_the_address_are_axums() {
    let by_both = Rule::per(tower_keep_rate_limit::Scope::tenant().address().endpoint(), 2, HOUR);
    let layer = per_tenant(100).rule(by_both.named("both")).build().unwrap();
    let app = Router::new()
        .route(
            "/items/{id}",
            get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
        )
        .route("/other", get(async || "other"))
        .layer(layer);
    let served = serve(app).await;
    for (path, status) in [("/items/1", 200), ("/items/2", 200), ("/items/3", 429), ("/other", 200)]
    {
        // A new client each time: the port differs, the address does not.
        let reply = ask(&client(Speaks::Http1), served.get(path)).await;
        assert_eq!(reply.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes() {
    let (sender, live) = Live::new();
    let live = std::sync::Mutex::new(Some(live));
    let live = std::sync::Arc::new(live);
    let handler = async move || Response::new(Body::new(live.lock().unwrap().take().unwrap()));
    let app = Router::new().route("/", get(handler)).layer(stack!(per_tenant(3).build().unwrap()));
    let served = serve(app).await;
    super::hyper_service::reads_as_it_comes(&served, &client(Speaks::Http1), sender).await;
}
