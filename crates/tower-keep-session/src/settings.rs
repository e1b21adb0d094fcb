//! What all services of one layer share: its store and how it was set up.

use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;
use tower_keep_core::{
    Admission, TenantId, TrustedProxies, UserId, Vault,
    key::{Holder, SessionKey},
    time::{Clock, millis},
};

use crate::{
    carrier::Carrier,
    cookie::CookieOptions,
    id::PublicId,
    keys::KeyRing,
    lifetime::Lifetimes,
    opened::Tokens,
    policy::SaveOn,
    retry::Amendments,
    store::{Bounds, Place, SessionStore},
    token::Token,
};

/// What a session is when the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Handlers that read it get an error, and an answer after which it could not be saved is
    /// replaced by 503 (`UNAVAILABLE`) with `Retry-After`. The client keeps its token.
    #[default]
    Refuse,
    /// There is none: handlers see an anonymous visitor, and what they write is lost. The client
    /// keeps its token, and is who it was when the store is back.
    Anonymous,
}

/// Whether a request is left alone.
pub(crate) type Skip = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

pub(crate) struct Settings {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) ring: KeyRing,
    /// What this ring has opened lately.
    pub(crate) tokens: Tokens,
    pub(crate) vault: Option<Vault>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) cookie: CookieOptions,
    pub(crate) carrier: Carrier,
    /// Whether clients forget their token when they end their own session.
    pub(crate) transient: bool,
    pub(crate) max_bytes: u64,
    pub(crate) max_sessions: u32,
    pub(crate) save_on: SaveOn,
    pub(crate) on_store_failure: OnStoreFailure,
    pub(crate) admission: Option<Arc<dyn Admission>>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) clock: Clock,
    pub(crate) amendments: Amendments,
    pub(crate) skip: Option<Skip>,
    pub(crate) expose_outcome: bool,
}

impl Settings {
    /// What holds of sessions that may lie unused for so long.
    pub(crate) fn bounds(&self, idle: Duration) -> Bounds {
        Bounds {
            absolute_ms: self.lifetimes.absolute_for(idle).map(millis),
            sessions: self.max_sessions,
            bytes: self.max_bytes,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("lifetimes", &self.lifetimes)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Where its session is kept.
    pub(crate) fn place<'a>(&'a self, tenant: &'a TenantId) -> Place<'a> {
        Place::of(tenant, self.user.as_ref(), self.id.public())
    }
}

impl<'a> Place<'a> {
    /// Where the session of this name is kept.
    pub(crate) fn of(tenant: &'a TenantId, user: Option<&'a UserId>, id: PublicId) -> Self {
        let holder = user.map_or_else(|| Holder::Anonymous(id.to_bytes()), Holder::User);
        Self { key: SessionKey { tenant, holder }, id }
    }
}
