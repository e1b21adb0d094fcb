//! What a handler, or a layer around the cache, decides without touching fields.

use std::time::Duration;

use http::StatusCode;
use tower_keep_cache::Tag;

use crate::policy::{
    groups,
    lifetime::{may_be_guessed, whole},
};

/// How this cache is to treat one answer, said beside its fields.
///
/// A handler puts it into the extensions of its response; a layer outside the cache into those of
/// the request. It concerns this cache alone: what browsers and other caches do is for
/// `Cache-Control` to say. Where both say something, the handler goes before the layer, and both
/// go before the fields; except that any `no_store` holds, and that only [`public`](Self::public)
/// lifts what the fields say of who may have the answer.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_response_cache::CacheControlOverride;
///
/// let mut response = http::Response::new("the price list");
/// response.extensions_mut().insert(
///     CacheControlOverride::new()
///         .ttl(Duration::from_secs(60))
///         .stale_while_revalidate(Duration::from_secs(600))
///         .tag("prices"),
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct CacheControlOverride {
    ttl: Option<Duration>,
    no_store: bool,
    public: bool,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    tags: Vec<String>,
}

impl CacheControlOverride {
    /// One that changes nothing.
    pub const fn new() -> Self {
        Self {
            ttl: None,
            no_store: false,
            public: false,
            stale_while_revalidate: None,
            stale_if_error: None,
            tags: Vec::new(),
        }
    }

    /// It is fresh for this long from when it comes in, in whole seconds, a part counting as one;
    /// zero makes it stale at once. `max-age`, `s-maxage`, `no-cache`, `must-revalidate`,
    /// `Expires` and the like then count for nothing; `private` and `no-store` still do.
    ///
    /// Said by a layer it is for the answers that are as usual (200, 203, 204, 206, 300, 301 and
    /// 308), so that no error is kept that the handler did not mean to be.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// It is not stored, whatever else is said.
    pub const fn no_store(mut self) -> Self {
        self.no_store = true;
        self
    }

    /// Everybody may have it: although it says `private`, although its request had credentials,
    /// and, where the handler says so, although the session was looked at. Together with a
    /// [`ttl`](Self::ttl) it lifts the `no-store` of the fields too. A cookie that is set is
    /// another matter: see [`SetCookie`](crate::SetCookie).
    pub const fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// For how long after that it may be used while it is asked for anew (RFC 5861).
    pub const fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = Some(window);
        self
    }

    /// For how long after that it may be used in place of an error (RFC 5861).
    pub const fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// It can be purged by this tag too.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// It can be purged by each of these tags too.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}

/// What a handler and an outer layer say together, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    handler: CacheControlOverride,
    outer: CacheControlOverride,
}

impl Overrides {
    /// `None` where nobody says anything, as it usually is.
    pub(crate) fn of(
        outer: Option<&CacheControlOverride>,
        handler: Option<&CacheControlOverride>,
    ) -> Option<Self> {
        if outer.is_none() && handler.is_none() {
            return None;
        }
        let said = |said: Option<&CacheControlOverride>| said.cloned().unwrap_or_default();
        Some(Self { handler: said(handler), outer: said(outer) })
    }

    pub(crate) fn ttl(&self, status: StatusCode) -> Option<u64> {
        let as_usual =
            may_be_guessed(status) && !status.is_client_error() && !status.is_server_error();
        self.handler.ttl.or(self.outer.ttl.filter(|_| as_usual)).map(whole)
    }

    /// Whether the response's own handler says how long it is fresh.
    pub(crate) const fn is_explicit(&self) -> bool {
        self.handler.ttl.is_some()
    }

    pub(crate) const fn no_store(&self) -> bool {
        self.handler.no_store || self.outer.no_store
    }

    pub(crate) const fn public(&self) -> bool {
        self.handler.public || self.outer.public
    }

    /// Whether it may be stored although the handler looked at the session. Only the handler
    /// knows whether what it saw there is in the answer.
    pub(crate) const fn lifts_personal(&self) -> bool {
        self.handler.public
    }

    pub(crate) fn stale_while_revalidate(&self) -> Option<u64> {
        self.handler.stale_while_revalidate.or(self.outer.stale_while_revalidate).map(whole)
    }

    pub(crate) fn stale_if_error(&self) -> Option<u64> {
        self.handler.stale_if_error.or(self.outer.stale_if_error).map(whole)
    }

    /// The tags of both.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.handler.tags.iter().chain(&self.outer.tags).map(|tag| groups::named(tag.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
