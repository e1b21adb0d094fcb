//! The routes, and the layers around them.

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_keep::{ConfigError, Keep, PrincipalLayer};

use crate::{health, tenants::FirstTenants};

/// How many tenants this demo serves: anybody may name one, so that without a bound a caller
/// could evade every limit, and fill the store, by naming ever new ones.
const MAX_TENANTS: usize = 100;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole application on `keep`.
pub(crate) fn router(keep: &Keep) -> Result<Router, ConfigError> {
    let principal = PrincipalLayer::from_header("x-tenant-id")
        .default_tenant("public")
        .known_tenants(FirstTenants::new(MAX_TENANTS, "public"))
        .build()?;
    let rate_limit = keep.rate_limit().legacy_headers(true).build()?;
    let limited = Router::new()
        .route("/api/test/ratelimit", get(|| async { "within the limit\n" }))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(ServiceBuilder::new().layer(principal).layer(rate_limit));
    let around_all = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT));
    // These two take no tenant and are never limited.
    Ok(Router::new()
        .route("/", get(|| async { Html(include_str!("index.html")) }))
        .route("/api/health", get(health::health))
        .with_state(keep.clone())
        .merge(limited)
        .layer(around_all))
}
