//! The vocabulary that every tower-keep layer shares: who asks, what a store answers, how a
//! refusal looks, how keys are spelled.
//!
//! 1. [`Principal`] says for which tenant and user a request acts; [`PrincipalLayer`] finds it
//!    out once, at the door. [`TenantId`] and [`UserId`] are validated when made.
//! 2. [`TrustedProxies`] finds the client's address behind the proxies that are trusted;
//!    [`PeerAddr`] and [`RouteTemplate`] are extensions that any server may set.
//! 3. [`Rejection`] is a refusal, rendered as HTTP problem document or as gRPC reply.
//!    [`ResponseBody`] is the body of every answer that went through a layer.
//! 4. [`Answer`] is what a store method returns: there at once, or to be awaited. [`StoreError`]
//!    says by [`ErrorClass`] what is known about a command that failed.
//! 5. [`key`] is the one place that spells Redis keys, [`time`] the one that reads the clock.
//! 6. [`Outcome`] and [`Observation`] count what became of each request.
//! 7. [`LateCost`] is where a service tells what a request turned out to cost.
//! 8. [`take_ready`] is tower's clone-and-replace rule.
//!
//! Applications use these through the `tower-keep` crate, which re-exports them.
//!
//! # Features
//!
//! `axum` (off): reads axum's `MatchedPath` and `ConnectInfo<SocketAddr>` where a request has no
//! [`RouteTemplate`] or [`PeerAddr`].

pub mod key;
pub mod time;

mod address;
mod answer;
mod body;
mod error;
mod id;
mod late_cost;
mod outcome;
mod principal;
mod ready;
mod rejection;
mod route;

pub use self::{
    address::{ClientAddr, ForwardingHeader, PeerAddr, TrustedProxies},
    answer::Answer,
    body::{BodyError, ResponseBody, WatchBody},
    error::{BoxError, ConfigError, ConfigProblem, ErrorClass, StoreError},
    id::{InvalidId, TenantId, UserId},
    late_cost::{CostUnit, LateCost, SettleCost},
    outcome::{Instruments, Observation, Outcome},
    principal::{
        InvalidPrincipal, KnownTenants, Principal, PrincipalExtractor, PrincipalFuture,
        PrincipalLayer, PrincipalLayerBuilder, SetPrincipal,
    },
    ready::take_ready,
    rejection::{Dialect, GrpcCode, Rejection},
    route::RouteTemplate,
};
