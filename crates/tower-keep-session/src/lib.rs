//! Sessions that survive restarts, rotate and can be revoked, in this process or in Redis.
//!
//! ```
//! use http::{Request, Response, header};
//! use tower::{Layer, ServiceExt};
//! use tower_keep_session::{Session, SessionError, SessionLayer};
//! # use http_body_util::Empty;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = SessionLayer::builder()
//!     .memory()
//!     .secrets(["a secret of at least thirty-two bytes"])
//!     .build()?;
//!
//! // Counts a client's visits.
//! let service = layer.layer(tower::service_fn(async |request: Request<()>| {
//!     let session = Session::of(request.extensions()).expect("the layer gives one");
//!     let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1).await?;
//!     let answer = Response::builder().header("x-visits", visits);
//!     Ok::<_, SessionError>(answer.body(Empty::<bytes::Bytes>::new()).expect("it is valid"))
//! }));
//!
//! let first = service.clone().oneshot(Request::new(())).await?;
//! let cookie = first.headers()[header::SET_COOKIE].to_str()?.split(';').next().unwrap_or_default();
//! let again = Request::builder().header(header::COOKIE, cookie).body(())?;
//! assert_eq!(service.oneshot(again).await?.headers()["x-visits"], "2");
//! # Ok(()) }
//! ```
//!
//! # Behaviour
//!
//! 1. A [`Session`] is in every request's extensions (and an extractor for axum, with the feature
//!    `axum`). Until it is read the store is asked nothing; until something is written nothing is
//!    made, and the answer has no cookie.
//! 2. The client has a token: a random id of 128 bits, sealed with the user and the time
//!    (XChaCha20-Poly1305, keys from [`secrets`](SessionLayerBuilder::secrets)). It finds the
//!    session without a look-up, and cannot be read or made up. What is forged, cut, of another
//!    tenant or too long is no session, and costs no command. An id is never taken from a client.
//! 3. It comes in a cookie (`__Host-`, `Secure`, `HttpOnly`, `SameSite=Lax` unless
//!    [told](CookieOptions) otherwise) or as `Authorization: Bearer`, which goes before the cookie
//!    where it is one of ours. Who came with a bearer token, or speaks gRPC, is told a new one in the
//!    header `x-session-token`. An answer has at most one of both, and then
//!    `Cache-Control: no-store` unless the handler has said `no-store` or `private` itself; one that
//!    the handler means for others too (`public`, `s-maxage`, `max-age` above 0) keeps what it says
//!    where the token can wait for the next answer, which it can until half the session's idle time
//!    has passed. An answer for which the session was looked at
//!    has `Vary`.
//! 4. One command reads a session, one writes it: [`set`](Session::set) and
//!    [`remove`](Session::remove) need no reading before, and are merged by name with what others
//!    write at the same time. In a session that was read, what changes nothing costs nothing.
//!    [`update`](Session::update) and [`take`](Session::take) are right however many do it at once.
//! 5. What was written is saved before the answer begins, and seen through although the client has
//!    gone. After that the session is sealed: see [`unseal`](Session::unseal) for streams.
//! 6. [`login`](Session::login), [`rotate`](Session::rotate) and [`logout`](Session::logout) are
//!    carried out whole, also when the handler answers with a server error; other changes are then
//!    dropped, unless [`SaveOn`] says otherwise. What a visitor had is carried over to their user.
//! 7. A session that has ended stays so: a slow request that writes to it later writes nothing. A
//!    logout also ends a session that another request has given a new id meanwhile, which takes two
//!    commands more.
//!    What is set in a request that has *seen* its session gone is a new visitor's, with a cookie of
//!    its own; but for a minute after a login or rotation has given the client another session, it
//!    is dropped, so that a request that was overtaken takes away no new cookie. Only
//!    [`csrf_token`](Session::csrf_token) makes a session then too. What remains: an answer that
//!    gives the client its token anew, as one does each [`touch_every`](SessionLayerBuilder::touch_every),
//!    and arrives after that of a login which it had begun before, replaces the new cookie.
//! 8. A session ends when it was not used for its idle time, and after an absolute limit. That it is
//!    used is told to the store once in a while ([`touch_every`](SessionLayerBuilder::touch_every)),
//!    as the token says without a look.
//! 9. [`Sessions`] lists a user's sessions and ends them, one, all, or all others, for every process
//!    at once; [`revoked`](Session::revoked) waits for that. A user has up to
//!    [`max_sessions`](SessionLayerBuilder::max_sessions).
//! 10. The request's [`Principal`](tower_keep_core::Principal) is told the session, so that a limiter
//!     outside the handler has its user. Without a principal the tenant is `~none`.
//! 11. Layers around each other share one session: the outermost one's.
//! 12. The layer answers, it never errs: its error is the inner service's.
//!
//! # In the store
//!
//! A user's sessions are one hash, `session:{tenant}:{user}`, with a field for each: its public id.
//! So `redis-cli DEL session:acme:42` logs the user out everywhere. A visitor's is
//! `session:{tenant}:~h{hash}`; for a minute after it has become a user's, a mark is left there. No id that is worth anything can be read there, and with a
//! [`vault`](SessionLayerBuilder::vault) no value either. Every key expires with its last session.
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | store, secrets | none: they must be named; `Keep::session()` of the `tower-keep` crate brings them |
//! | idle time | a day, for visitors too; 30 days where it is to be remembered |
//! | absolute limit | 7 days, or the idle time if that is longer |
//! | touched | when it is read or written, every 300 s at most |
//! | cookie | `__Host-session; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=…` |
//! | size | 16 KiB of names and values |
//! | sessions of a user | 20 |
//! | sessions of one address | not bounded; by `Keep::session()` 100 a minute |
//! | memory store | up to 100,000 sessions |
//!
//! # When the store fails
//!
//! Nothing is known then, and the layer does not pretend: a handler that reads gets
//! [`SessionError::Store`], which is 503 (`UNAVAILABLE`) where it is an answer, and an answer after
//! which the session could not be saved is replaced by the same, with `Retry-After`. The client keeps
//! its token, and is who it was when the store is back. Requests that do not ask for their session
//! notice nothing. [`OnStoreFailure::Anonymous`] takes everybody for a visitor meanwhile.
//!
//! A rotation whose answer is lost is looked for, and told if it was done. Where nobody can look
//! either the answer is 503, and it is undone as soon as the store is back, so that the old token is
//! good again; a login as the same user is such a rotation. A login that moves a
//! session makes the new one, then ends the old one. Where the second fails the
//! answer is 503, and both are ended as soon as the store is back.

mod admin;
#[cfg(feature = "redis")]
mod announce;
mod answer;
mod apply;
mod busy;
mod carried;
mod carrier;
mod codec;
mod commit;
mod cookie;
mod csrf;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod flash;
mod future;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod id;
mod inner;
mod keys;
mod layer;
mod lifetime;
mod memory;
mod opened;
mod outcome;
mod policy;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod retry;
mod revoked;
mod running;
mod service;
mod settings;
mod state;
mod store;
mod token;
mod typed;
mod value;

#[cfg(feature = "axum")]
pub use self::extract::NoSession;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use self::{
    admin::{SessionInfo, Sessions},
    carrier::Carrier,
    codec::Undecodable,
    cookie::{CookieOptions, SameSite},
    csrf::CsrfToken,
    error::SessionError,
    flash::Flash,
    future::SessionFuture,
    handle::Session,
    id::{InvalidPublicId, Origin, PublicId},
    layer::{SessionLayer, SessionLayerBuilder},
    lifetime::Touch,
    memory::MemoryStore,
    outcome::SessionOutcome,
    policy::SaveOn,
    record::{Data, Header, MAX_NAME, Record},
    revoked::{RevocationEvent, RevocationEvents, Revocations},
    service::WithSession,
    settings::OnStoreFailure,
    store::{Bounds, Change, How, Listed, Moved, Place, Save, Saved, SessionStore},
    typed::{SessionData, SessionValue},
};
