//! Sessions, rate limits and caches for any tower service, kept in Redis or in this process.
//!
//! One [`Keep`] owns one shared Redis client, or the embedded memory store, and hands out layers
//! that drop into hyper, axum and tonic:
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_keep::{Keep, PrincipalLayer, Rule};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keep = Keep::from_env()?; // REDIS_URL decides; nothing set = memory
//! let stack = ServiceBuilder::new() // outermost first
//!     .layer(PrincipalLayer::from_header("x-tenant-id").default_tenant("public").build()?)
//!     .layer(keep.rate_limit().rule(Rule::per_user(100, Duration::from_secs(900))).build()?);
//! let app: axum::Router =
//!     axum::Router::new().route("/", axum::routing::get(|| async { "hello" })).layer(stack);
//! # let _ = app;
//! # Ok(()) }
//! ```
//!
//! 1. [`Keep::from_env`] reads the environment once, reports every mistake in it at once, and
//!    says in one log line what it uses and why. [`Config`] lists the variables.
//! 2. Starting never needs Redis to be up. [`Keep::require_connection`] waits for it.
//! 3. Every layer also works alone, without a `Keep`: see
//!    [`RateLimitLayer::builder`](RateLimitLayer::builder).
//! 4. Layers answer, they never err; what happens while Redis is away is each layer's stated
//!    policy, and takes no longer than the command timeout (75 ms), under 1 ms once the outage
//!    is known.
//!
//! # Features
//!
//! - `redis` (on): keeps state in Redis. Without it everything is kept in memory.
//! - `axum` (off): takes the endpoint from axum's `MatchedPath`, the peer's address from
//!   `ConnectInfo<SocketAddr>`, and what a cached answer is kept for from `OriginalUri`.

mod config;
mod env;
mod health;
mod keep;
#[cfg(feature = "redis")]
mod redis;

/// What an [`AiCacheLayer`] is told and tells.
pub mod ai {
    pub use tower_keep_ai_cache::{Api, BypassReason, Flaw, TtlClass};
}

#[cfg(feature = "redis")]
pub use self::redis::*;
pub use self::{
    config::{CacheConfig, ClassTtls, Config, RateLimitConfig, SessionConfig},
    health::{Health, Status, StoreKind},
    keep::Keep,
};
pub use tower_keep_ai_cache::{
    AiCache, AiCacheLayer, AiCacheLayerBuilder, AiCacheOutcome, AiCacheStatus, AiStore,
    CachedAnswers,
};
pub use tower_keep_core::{
    Admission, Admitted, AskedUri, BodyError, BoxError, ClientAddr, ConfigError, ConfigProblem,
    CostUnit, Dialect, ErrorClass, ForwardingHeader, GrpcCode, InvalidId, InvalidPrincipal,
    KnownTenants, LateCost, PeerAddr, Principal, PrincipalExtractor, PrincipalLayer,
    PrincipalLayerBuilder, Rejection, RequestBody, ResponseBody, RouteTemplate, StoreError,
    TenantId, TrustedProxies, UserId, Vault, cache_status,
};
pub use tower_keep_query_cache::{
    Cacheable, CacheableQuery, Fetched, InvalidParameters, Invalidate, LoadError, QueryCache,
    QueryCacheBuilder, QueryCacheLayer, QueryCacheService, QueryKey, QueryStore, Sought, Source,
    TtlClass,
};
pub use tower_keep_rate_limit::{
    AccessList, Algorithm, Caller, CallerStanding, CreationLimit, Mode, OnStoreError,
    OnUnidentified, Plans, Quota, RateLimitDecision, RateLimitLayer, RateLimitLayerBuilder,
    RateLimitOutcome, RateLimits, Rule, RuleStanding, Scope,
};
pub use tower_keep_response_cache::{
    BypassReason, CacheBuilder, CacheControlOverride, CachedResponses, Cookies, PurgeError,
    PurgeService, QueryRules, ResponseCache, ResponseCacheLayer, ResponseCacheLayerBuilder,
    ResponseCacheOutcome, ResponseStore, Selection, SetCookie, Unkeyed,
};
pub use tower_keep_session::{
    Carrier, CookieOptions, CsrfToken, Flash, PublicId, SameSite, SaveOn, Session, SessionData,
    SessionError, SessionInfo, SessionLayer, SessionLayerBuilder, SessionOutcome, SessionValue,
    Sessions, Touch,
};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
