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
//! - `axum` (off): takes the endpoint from axum's `MatchedPath` and the peer's address from
//!   `ConnectInfo<SocketAddr>`.

mod config;
mod env;
mod health;
mod keep;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
pub use self::redis::*;
pub use self::{
    config::{Config, RateLimitConfig},
    health::{Health, Status, StoreKind},
    keep::Keep,
};
pub use tower_keep_core::{
    BodyError, BoxError, ClientAddr, ConfigError, ConfigProblem, CostUnit, ErrorClass,
    ForwardingHeader, InvalidId, InvalidPrincipal, KnownTenants, LateCost, PeerAddr, Principal,
    PrincipalExtractor, PrincipalLayer, PrincipalLayerBuilder, ResponseBody, RouteTemplate,
    StoreError, TenantId, TrustedProxies, UserId,
};
pub use tower_keep_rate_limit::{
    AccessList, Algorithm, Caller, CallerStanding, Mode, OnStoreError, OnUnidentified, Plans,
    Quota, RateLimitDecision, RateLimitLayer, RateLimitLayerBuilder, RateLimitOutcome, RateLimits,
    Rule, RuleStanding, Scope,
};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
