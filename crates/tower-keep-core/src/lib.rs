//! The vocabulary that every tower-keep layer shares: who asks, what a store answers, how a
//! refusal looks, how keys are spelled.
//!
//! 1. [`Principal`] says for which tenant and user a request acts; [`PrincipalLayer`] finds it
//!    out once, at the door. [`TenantId`] and [`UserId`] are validated when made.
//! 2. [`TrustedProxies`] finds the client's address behind the proxies that are trusted;
//!    [`PeerAddr`], [`RouteTemplate`] and [`AskedUri`] are extensions that any server may set.
//! 3. [`Rejection`] is a refusal, rendered as HTTP problem document or as gRPC reply.
//!    [`ResponseBody`] is the body of every answer that went through a layer, and can be recorded
//!    on its way ([`Recording`]); [`RequestBody`] is that of requests which a layer may make itself.
//! 4. [`Answer`] is what a store method returns: there at once, or to be awaited. [`StoreError`]
//!    says by [`ErrorClass`] what is known about a command that failed.
//! 5. [`key`] is the one place that spells Redis keys, [`time`] the one that reads the clock.
//! 6. [`Outcome`] and [`Observation`] count what became of each request.
//! 7. What layers say to each other without knowing each other: [`LateCost`] is where a service
//!    tells what a request turned out to cost, [`VerifyUser`] whom a session names, [`Admission`]
//!    whether something may be created, [`Revocation`] which sessions have ended, [`Invalidation`]
//!    what of the caches is no longer so.
//! 8. [`cache_status`] tells in an answer what a cache did. [`Vault`] seals what a store keeps.
//! 9. [`take_ready`] is tower's clone-and-replace rule, [`Head`] a request's head looked at where
//!    it is.
//!
//! Applications use these through the `tower-keep` crate, which re-exports them.
//!
//! # Features
//!
//! `axum` (off): reads axum's `MatchedPath`, `OriginalUri` and `ConnectInfo<SocketAddr>` where a
//! request has no [`RouteTemplate`], [`AskedUri`] or [`PeerAddr`].

pub mod cache_status;
pub mod key;
pub mod time;

mod address;
mod admission;
mod aead;
mod answer;
mod asked_uri;
mod body;
mod digits;
mod error;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod id;
mod invalidation;
mod late_cost;
mod outcome;
mod principal;
mod ready;
mod rejection;
mod revocation;
mod route;
mod vault;

pub use self::{
    address::{ClientAddr, ForwardingHeader, PeerAddr, TrustedProxies},
    admission::{Admission, Admitted},
    aead::SealingKey,
    answer::Answer,
    asked_uri::AskedUri,
    body::{
        BodyError, Budget, Follow, Recorded, Recording, RequestBody, ResponseBody, Seen, WatchBody,
    },
    digits::decimal,
    error::{BoxError, ConfigError, ConfigProblem, ErrorClass, StoreError},
    head::Head,
    id::{InvalidId, TenantId, UserId},
    invalidation::{Invalidated, Invalidation},
    late_cost::{CostUnit, LateCost, SettleCost},
    outcome::{Instruments, Observation, Outcome},
    principal::{
        InvalidPrincipal, KnownTenants, Principal, PrincipalExtractor, PrincipalFuture,
        PrincipalLayer, PrincipalLayerBuilder, SetPrincipal, VerifyUser,
    },
    ready::take_ready,
    rejection::{Dialect, GrpcCode, Rejection},
    revocation::{Revocation, Revoked},
    route::RouteTemplate,
    vault::Vault,
};
