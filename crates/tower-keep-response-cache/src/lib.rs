//! A shared HTTP cache by RFC 9111, as a tower layer: it answers requests from responses that were
//! stored, in memory or on Redis, and stores what may be stored.
//!
//! 1. **What is stored** says the response: `Cache-Control`, `Expires` and, where
//!    [`targets`](ResponseCacheLayerBuilder::targets) names one, a field for caches such as this
//!    (RFC 9213), on any line, in any case and order. Nothing is guessed unless
//!    [`heuristic`](ResponseCacheLayerBuilder::heuristic) or
//!    [`default_ttl`](ResponseCacheLayerBuilder::default_ttl) says so, errors are stored only where
//!    they say for how long, and never a response that is `private`, sets a cookie, breaks off, has
//!    trailers, is longer than [`max_body`](ResponseCacheLayerBuilder::max_body), or was made from a
//!    session that the handler looked at.
//! 2. **Whose it is** says the [principal](tower_keep_core::Principal): entries are the tenant's.
//!    A request with credentials that no principal vouches for is left alone. With
//!    [`per_user`](ResponseCacheLayerBuilder::per_user) each verified user has entries of their
//!    own, private ones too.
//! 3. **What tells entries apart**: host, path and query as they were asked for, also where
//!    axum's `nest`, or a router that leaves an [`AskedUri`](tower_keep_core::AskedUri), has taken
//!    the beginning of the path away ([`QueryRules`] may sort, keep or drop parameters), and all
//!    that `Vary` names. Up to 64 variants of a target are kept. Fields that services believe and
//!    no cache looks at, such as `X-Forwarded-Host`, do not reach the service ([`Unkeyed`]).
//! 4. **Answers** from the store carry `Age`; a client that has it gets 304, one that asks for
//!    ranges gets those, HEAD is answered from GET, and stored parts are joined.
//! 5. **Stale** responses are asked about with their validators, and used without asking only where
//!    the response, the request or the builder allows it: while they are asked for
//!    (`stale-while-revalidate`) or in place of an error (`stale-if-error`, RFC 5861).
//! 6. **Changes**: a successful request with an unsafe method makes invalid what is stored of its
//!    target, of what its answer names in `Location` and `Content-Location` on the same origin, and
//!    of the groups in `Cache-Group-Invalidation` (RFC 9875), before it is answered.
//!    [`CachedResponses`] purges by tag, path, prefix, URL, group or altogether.
//! 7. **Many who miss the same** wait for one of them, who fetches for all; whoever comes while the
//!    body does reads along. What turned out not to be for everybody is then fetched by each at the
//!    same time. With [`fill_lease`](ResponseCacheLayerBuilder::fill_lease) one process fetches for
//!    all processes.
//! 8. **Bodies** pass to the client as they come, and are recorded meanwhile: a client that is slow
//!    or goes away changes nothing about what is stored.
//! 9. **Every answer says** in `Cache-Status` (RFC 9211) what the cache did and why. gRPC and
//!    requests to change the protocol pass untouched. A handler decides beside its fields with
//!    [`CacheControlOverride`].
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//! use tower_keep_core::RequestBody;
//! use tower_keep_response_cache::ResponseCacheLayer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = ResponseCacheLayer::builder().memory().build()?;
//! let service = cache.layer(service_fn(async |_: Request<RequestBody<Full<Bytes>>>| {
//!     let answer = Response::builder().header("cache-control", "public, max-age=60");
//!     answer.body(Full::<Bytes>::from("slowly made"))
//! }));
//! let ask = || Request::get("https://example.com/prices").body(Full::default());
//! service.clone().oneshot(ask()?).await?;
//! let answer = service.oneshot(ask()?).await?;
//! assert_eq!(answer.headers()["cache-status"], "tower-keep; hit; ttl=60");
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | in memory | 64 MiB of responses |
//! | longest body | 1 MiB |
//! | longest lifetime | a year |
//! | guessed lifetimes, targeted fields, stale beyond what is said | off |
//! | cookies without a principal | the request is left alone |
//! | waiting for another's answer | 5 s |
//! | body whose client may be gone | 30 s |
//!
//! # When the store fails
//!
//! The request goes to the service, and its answer is not stored; that takes at most the deadline of
//! one command, and next to nothing once the connection is known to be down. What a change made
//! invalid and the store could not be told may be served until it is stale, at most; a warning says
//! so.

mod asked;
mod bypass;
mod change;
mod draft;
mod fetch;
mod fill;
mod freshness;
mod future;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod hit_for_miss;
mod layer;
mod look;
mod options;
mod outcome;
mod overrides;
mod page;
pub(crate) mod policy;
mod purge;
mod purge_service;
mod renew;
mod reply;
mod service;
mod settings;
mod store;
mod stored;
mod story;
mod turn;

pub use tower_keep_cache::CacheBuilder;

pub use self::{
    bypass::BypassReason,
    future::ResponseCacheFuture,
    layer::{ResponseCacheLayer, ResponseCacheLayerBuilder},
    options::SetCookie,
    outcome::ResponseCacheOutcome,
    overrides::CacheControlOverride,
    policy::{key::QueryRules, unkeyed::Unkeyed},
    purge::{CachedResponses, PurgeError, Selection},
    purge_service::{PurgeFuture, PurgeService},
    service::ResponseCache,
    settings::Cookies,
    store::ResponseStore,
};
