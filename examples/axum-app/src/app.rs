//! The routes, and the layers around them.

use std::time::Duration;

use axum::{Router, middleware::from_fn, response::Html, routing::get};
use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_keep::{ConfigError, Keep, PrincipalLayer};

use crate::{
    assistant,
    auth::{self, Auth},
    cache_test,
    clinic::{self, Kept},
    database::Database,
    health, products, purge,
    settings::Model,
    tenants::FirstTenants,
};

/// How many tenants this demo serves: anybody may name one, so that without a bound a caller
/// could evade every limit, and fill the store, by naming ever new ones.
const MAX_TENANTS: usize = 100;
/// Whose requests are those that name no tenant.
const DEFAULT_TENANT: &str = "public";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// These have users and data from the beginning.
const SEEDED_TENANTS: [&str; 2] = [DEFAULT_TENANT, "globex"];

/// Nothing below these is for caches: they are left alone, for no command to the store.
const UNCACHED: [&str; 3] = ["/api/auth/", "/api/cache/", "/api/test/"];

/// The whole application on `keep`.
pub(crate) fn router(
    keep: &Keep,
    auth: Auth,
    database: &Database,
    model: &Model,
) -> Result<Router, ConfigError> {
    let principal = PrincipalLayer::from_header("x-tenant-id")
        .default_tenant(DEFAULT_TENANT)
        .known_tenants(FirstTenants::new(MAX_TENANTS, &SEEDED_TENANTS))
        .build()?;
    let session = keep.session().build()?;
    let rate_limit = keep.rate_limit().legacy_headers(true).build()?;
    let uncached = |path: &str| UNCACHED.iter().any(|start| path.starts_with(start));
    let cache = keep
        .response_cache()
        .skip(move |head| uncached(head.uri.path()))
        .purge_prefixes(["/api/products/"])
        .build()?;
    let purge = purge::router(cache.responses(), auth.clone());
    let around_limited = ServiceBuilder::new().layer(principal).layer(session).layer(rate_limit);
    // These keep what they need by themselves, and tell themselves what became of a request.
    let kept = Kept::of(keep)?;
    let beside_cache = clinic::router(keep, kept.clone(), auth.clone(), database)
        .merge(cache_test::router(keep, auth.clone())?);
    // A model takes its time: it has a timeout of its own.
    let assistant = assistant::router(keep, auth.clone(), model)?;
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT);
    let limited = auth::router(keep, auth)?
        .merge(products::router(database.pool.clone(), kept))
        .merge(purge)
        .route("/api/test/ratelimit", get(|| async { "within the limit\n" }))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(cache)
        .merge(beside_cache)
        .layer(timeout)
        .merge(assistant)
        .layer(around_limited)
        .layer(from_fn(auth::csrf::guard));
    let around_all = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CatchPanicLayer::new());
    // These two take no tenant and are never limited.
    Ok(Router::new()
        .route("/", get(|| async { Html(include_str!("index.html")) }))
        .route("/api/health", get(health::health))
        .with_state(keep.clone())
        .merge(limited)
        .layer(around_all))
}
