//! Admits requests within limits: several limits per request, decided all-or-nothing in one
//! step, in this process or in Redis.
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_keep_core::PrincipalLayer;
//! use tower_keep_rate_limit::{RateLimitLayer, Rule};
//! # use http::{Request, Response};
//! # use http_body_util::Empty;
//! # use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let handler = tower::service_fn(|_: Request<Empty<bytes::Bytes>>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
//! # });
//! let service = ServiceBuilder::new()
//!     .layer(PrincipalLayer::fixed("acme").build()?)
//!     .layer(
//!         RateLimitLayer::builder()
//!             .memory()
//!             .rule(Rule::per_tenant(2, Duration::from_secs(60)))
//!             .build()?,
//!     )
//!     .service(handler);
//!
//! for expected in [200, 200, 429] {
//!     let response = service.clone().oneshot(Request::new(Empty::new())).await?;
//!     assert_eq!(response.status(), expected);
//! }
//! # Ok(()) }
//! ```
//!
//! # Behaviour
//!
//! 1. A [`Rule`] says whom it counts together ([`Scope`]: the tenant, and any of user, endpoint,
//!    client address, and a [part](Rule::by) made of the request), how much it admits per window and
//!    by which [`Algorithm`], and which requests it is for: by [method](Rule::methods),
//!    [path](Rule::paths) or [anything](Rule::when). Unless told otherwise a window is fixed and
//!    opens with the group's first request.
//! 2. Up to 8 rules apply to a request, of any algorithms. All are decided in one atomic step: the
//!    request is admitted and counted by all, or denied and counted by none. A denial extends
//!    nothing.
//! 3. Tenant and user are those of the request's
//!    [`Principal`](tower_keep_core::Principal). Without a principal the tenant is `~none`;
//!    without a user the client address stands for it. The endpoint is the
//!    [`RouteTemplate`](tower_keep_core::RouteTemplate) (or axum's `MatchedPath`), or a gRPC method
//!    that [is known](RateLimitLayerBuilder::grpc_methods), never a path of the caller's own;
//!    without one it is `~unmatched`.
//! 4. Answers carry `RateLimit-Policy` (the rules that matched) and `RateLimit` (the tightest) of
//!    draft-ietf-httpapi-ratelimit-headers-10, and on demand the `X-RateLimit-*` fields. A rule may
//!    be [hidden](Rule::hidden) from them.
//! 5. A denied request is answered with 429, `Retry-After` (whole seconds, at least 1; waiting
//!    that long is enough) and a problem document (RFC 9457) that names the violated rules; over
//!    gRPC with a trailers-only `RESOURCE_EXHAUSTED`. What costs more than its limit, or has a limit
//!    of 0, is denied always, without asking the store and without `Retry-After`.
//! 6. A request [costs](Rule::cost) 1, or what a closure says. What is known only when its answer
//!    ends is [reserved and settled](Rule::late): bytes, tokens.
//! 7. A rule may be [watched only](Mode::Shadow), or off. [Plans](RateLimitLayerBuilder::plans) give
//!    tenants limits of their own. [Rules](RateLimitLayer::reload_rules) and the lists of callers who
//!    are [exempt](RateLimitLayerBuilder::allow) or [refused](RateLimitLayerBuilder::deny) can be
//!    exchanged while requests run; counters stay.
//! 8. [`RateLimits`] looks at a caller's limits, resets them, and blocks callers for a while.
//! 9. Layers that share a store count together where they have a rule of the same name and scope.
//!    [`RuleNames`] refuses a name whose windows or algorithms differ; `Keep::rate_limit()` brings it
//!    along.
//! 10. `OPTIONS` requests, gRPC's health and reflection services, and what
//!     [`skip`](RateLimitLayerBuilder::skip) names are never counted.
//! 11. The layer answers, it never errs: its error is the inner service's.
//!
//! On Redis a request costs one command, and none once its caller is known to be denied, where the
//! store remembers that (`RedisStore::remember_denials`).
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | store | none; [`memory`](RateLimitLayerBuilder::memory), `redis` or [`store`](RateLimitLayerBuilder::store) must be called |
//! | rules | none; `Keep::rate_limit()` of the `tower-keep` crate brings one from the environment |
//! | algorithm, mode, cost | fixed window, enforced, 1 |
//! | life of a counter's key | 900 s, or as long as it counts if that is longer |
//! | trusted proxies | none: the client is the socket's other end |
//! | neither user nor address known | such requests count together, with one warning |
//! | fields | `RateLimit-Policy`, `RateLimit`; no `X-RateLimit-*` |
//! | memory store | up to 1,000,000 counters |
//! | denials remembered | by `Keep::rate_limit()` on Redis, while the bus is live; up to 100,000 |
//!
//! # When the store fails
//!
//! Each rule has its own way, [`OnStoreError`]. By default requests are counted in this process
//! until the store is back. That count starts empty, and each process has its own, so that in each
//! window of an outage the number of processes times the limit may be admitted. `Open` lets requests pass, `Closed` answers 503
//! (`UNAVAILABLE`), never 429. If several rules match, one that is `Closed` and enforced decides.
//! Blocks hold meanwhile in the process that made them. A late cost that cannot be settled stays as
//! it was reserved, and is counted in `tower_keep_settlements_lost_total`.
//!
//! The memory store fails only when it is full of counters that are at their limit: a newcomer then
//! passes uncounted, or is answered with 503 where a rule is `Closed`.
//!
//! In a cluster, while a tenant's slot moves to another node, several rules together are waited for
//! until all their counters have moved, for half of the deadline. New counters do not come together
//! before the whole slot has moved: that is a failed store. One rule is still counted there, but
//! blocks are not seen.

mod access;
mod algorithm;
mod caller;
mod creation;
mod decision;
#[cfg(feature = "redis")]
mod denials;
mod endpoint;
mod fields;
mod future;
mod inspect;
mod late;
mod layer;
mod limiter;
mod memory;
mod names;
mod outcome;
mod plans;
mod policy;
mod question;
#[cfg(feature = "redis")]
mod redis;
mod rule;
mod rules;
mod service;
mod setup;
mod skip;
mod store;
mod subject;

/// What a [`Verdict`] keeps its standings in.
pub use arrayvec::ArrayVec;

#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use self::{
    access::AccessList,
    algorithm::Algorithm,
    caller::Caller,
    creation::CreationLimit,
    decision::{RateLimitDecision, RuleStanding},
    future::RateLimitFuture,
    inspect::{CallerStanding, RateLimits},
    layer::{RateLimitLayer, RateLimitLayerBuilder},
    limiter::OnUnidentified,
    memory::MemoryStore,
    names::RuleNames,
    outcome::RateLimitOutcome,
    plans::{Plans, Quota},
    rule::{MAX_LIMIT, MAX_WINDOW, Mode, OnStoreError, Rule, Scope},
    service::RateLimit,
    store::{Limit, LimitStore, MAX_LIMITS, NEVER, Settlement, Standing, Verdict},
};
