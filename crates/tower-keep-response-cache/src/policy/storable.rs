//! Whether a response may be stored, and for how long that is worth its place (RFC 9111 §3).

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use tower_keep_core::time::UnixMillis;

use crate::{
    bypass::BypassReason,
    freshness::{FOREVER, Freshness},
    options::{Options, SetCookie},
    overrides::Overrides,
    policy::{
        directives::{Directives, each},
        lifetime::{explicit, guessed, initial_age, may_be_guessed, whole},
        request::RequestDirectives,
        targeted,
    },
};

/// For how long a response is kept after its lifetime to ask by its validators, or to answer while
/// the service cannot: one day.
const AFTERWARDS: u64 = 86_400;

/// A request and its response, as far as they decide about storing.
///
/// Whether the key holds what the response depends on is for the caller: that a `POST` names its
/// own target in `Content-Location`, and that the entry is a user's own where
/// `Options::per_user` is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) request: &'a HeaderMap,
    pub(crate) status: StatusCode,
    pub(crate) response: &'a HeaderMap,
    /// When the request was sent.
    pub(crate) requested: UnixMillis,
    /// When the response's head came.
    pub(crate) received: UnixMillis,
    pub(crate) told: Option<&'a Overrides>,
}

/// How a response is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "how long to keep it is called no other way")]
pub(crate) struct Keep {
    pub(crate) freshness: Freshness,
    /// Fields that are left out: `no-cache="…"`, `private="…"`.
    pub(crate) drop_fields: Vec<HeaderName>,
    /// For how many seconds it is worth its place: never 0.
    pub(crate) keep_for: u64,
}

/// Whether the response is stored, and how; or why it is not.
pub(crate) fn storable(exchange: &Exchange<'_>, options: &Options) -> Result<Keep, BypassReason> {
    let decision = Decision::of(exchange, options);
    decision.check_method()?;
    decision.check_wishes()?;
    decision.check_status()?;
    decision.check_who_may_have_it()?;
    decision.check_cookies()?;
    if varies_by_anything(exchange.response) {
        return Err(BypassReason::VaryAny);
    }
    let freshness = decision.freshness();
    let keep_for = decision.keep_for(&freshness);
    if keep_for == 0 || !decision.is_worded() {
        return Err(BypassReason::NotFresh);
    }
    Ok(Keep { freshness, keep_for, drop_fields: decision.into_dropped() })
}

/// What is asked for more than once while it is decided.
struct Decision<'a> {
    exchange: &'a Exchange<'a>,
    options: &'a Options,
    said: Directives,
    /// How long a handler or a layer says that it is fresh.
    told_ttl: Option<u64>,
    /// How long the response's fields say it.
    explicit: Option<u64>,
    guessed: Option<u64>,
    /// `Pragma: no-cache`, where nothing newer is said.
    pragma: bool,
}

impl<'a> Decision<'a> {
    fn of(exchange: &'a Exchange<'a>, options: &'a Options) -> Self {
        let &Exchange { request, status, response, received, told, .. } = exchange;
        let targeted = targeted::directives(response, &options.targets);
        let is_targeted = targeted.is_some();
        let said = targeted.unwrap_or_else(|| Directives::of(response));
        let told_ttl = told.and_then(|told| told.ttl(status));
        let pragma = !is_targeted && says_pragma_no_cache(response);
        let explicit = explicit(&said, is_targeted, response, received, options);
        // A visitor who is known by a cookie may have got something of their own.
        let guess = explicit.is_none()
            && told_ttl.is_none()
            && !pragma
            && (said.public || !request.contains_key(header::COOKIE));
        let guessed =
            if guess { guessed(response, status, said.public, received, options) } else { None };
        Self { exchange, options, said, told_ttl, explicit, guessed, pragma }
    }

    /// `GET`; and `POST`, if its response says itself how long it is fresh and what it is of
    /// (RFC 9110 §9.3.3).
    fn check_method(&self) -> Result<(), BypassReason> {
        let is_named = self.exchange.response.contains_key(header::CONTENT_LOCATION);
        match *self.exchange.method {
            Method::GET => Ok(()),
            Method::POST if is_named && self.says_itself_how_long() => Ok(()),
            _ => Err(BypassReason::Method),
        }
    }

    fn check_wishes(&self) -> Result<(), BypassReason> {
        let told = self.exchange.told;
        if RequestDirectives::of(self.exchange.request).no_store {
            return Err(BypassReason::RequestNoStore);
        }
        let insists = told.is_some_and(Overrides::public) && self.told_ttl.is_some();
        let forbidden = self.said.forbids_storing(is_understood(self.exchange.status));
        if told.is_some_and(Overrides::no_store) || (forbidden && !insists) {
            return Err(BypassReason::NoStore);
        }
        Ok(())
    }

    fn check_status(&self) -> Result<(), BypassReason> {
        let status = self.exchange.status;
        if is_never_stored(status) || (self.said.must_understand && !is_understood(status)) {
            return Err(BypassReason::Status);
        }
        if status == StatusCode::PARTIAL_CONTENT && !self.is_one_part() {
            return Err(BypassReason::Part);
        }
        let is_error = status.is_client_error() || status.is_server_error();
        let allowed = self.told_ttl.is_some()
            || self.explicit.is_some()
            || self.guessed.is_some()
            || (!is_error && (may_be_guessed(status) || self.said.public));
        if allowed { Ok(()) } else { Err(BypassReason::Status) }
    }

    /// Whether a 206 says which part it is: several come as a body of another type.
    fn is_one_part(&self) -> bool {
        self.exchange.response.get_all(header::CONTENT_RANGE).iter().count() == 1
    }

    fn check_who_may_have_it(&self) -> Result<(), BypassReason> {
        let for_everybody = self.exchange.told.is_some_and(Overrides::public);
        if for_everybody || self.options.per_user {
            return Ok(());
        }
        let said = &self.said;
        if said.private || (said.broken && !said.private_fields.is_empty()) {
            return Err(BypassReason::Private);
        }
        let has_credentials = self.exchange.request.contains_key(header::AUTHORIZATION);
        if has_credentials && !said.is_for_everybody() {
            return Err(BypassReason::Authorization);
        }
        Ok(())
    }

    /// A cookie that the response wants left out of caches is left out; any other is somebody's.
    fn check_cookies(&self) -> Result<(), BypassReason> {
        let sets = self.exchange.response.contains_key(header::SET_COOKIE)
            && !self.dropped().any(|name| name == header::SET_COOKIE);
        let allowed = match self.options.set_cookie {
            SetCookie::Never => false,
            SetCookie::Explicit => self.says_itself_how_long(),
        };
        if sets && !allowed { Err(BypassReason::SetCookie) } else { Ok(()) }
    }

    fn says_itself_how_long(&self) -> bool {
        self.explicit.is_some() || self.exchange.told.is_some_and(Overrides::is_explicit)
    }

    /// Whether anything says that it is meant for caches: not even to ask by it later is kept what
    /// nobody thought of caching.
    fn is_worded(&self) -> bool {
        self.told_ttl.is_some()
            || self.explicit.is_some()
            || self.guessed.is_some()
            || self.said.no_cache
            || self.said.public
            || self.options.heuristic.is_some()
    }

    fn freshness(&self) -> Freshness {
        let &Exchange { response, requested, received, told, .. } = self.exchange;
        let Self { said, options, told_ttl, .. } = self;
        let initial_age = initial_age(response, requested, received);
        let most = whole(options.max_ttl);
        let lifetime = match told_ttl {
            Some(ttl) => initial_age.saturating_add((*ttl).min(most)),
            None => self.explicit.or(self.guessed).unwrap_or(0).min(most),
        };
        // Words that the fields have no say in any more are as if they were not said.
        let by_fields = told_ttl.is_none();
        let window = |told: Option<u64>, said: Option<u64>| told.or(said.filter(|_| by_fields));
        // Nothing is added to what is to be asked for each time.
        let usual = |usual| if lifetime > 0 { whole(usual) } else { 0 };
        let swr =
            window(told.and_then(Overrides::stale_while_revalidate), said.stale_while_revalidate);
        let sie = window(told.and_then(Overrides::stale_if_error), said.stale_if_error);
        let usual_sie = usual(options.stale_if_error);
        let must_revalidate =
            if options.per_user { said.must_revalidate } else { said.must_revalidate() };
        Freshness {
            received,
            initial_age,
            lifetime: lifetime.min(FOREVER),
            heuristic: by_fields && self.explicit.is_none() && self.guessed.is_some(),
            no_cache: by_fields && (said.no_cache || self.pragma),
            must_revalidate: by_fields && (must_revalidate || said.broken),
            stale_while_revalidate: swr.unwrap_or_else(|| usual(options.stale_while_revalidate)),
            stale_if_error: sie.or((usual_sie > 0).then_some(usual_sie)),
        }
    }

    fn keep_for(&self, freshness: &Freshness) -> u64 {
        let response = self.exchange.response;
        let fresh = if freshness.no_cache {
            0
        } else {
            freshness.lifetime.saturating_sub(freshness.initial_age)
        };
        let can_be_asked_by =
            response.contains_key(header::ETAG) || response.contains_key(header::LAST_MODIFIED);
        let to_ask = if can_be_asked_by { fresh.saturating_add(AFTERWARDS) } else { fresh };
        to_ask.max(self.usable_for(freshness)).min(FOREVER)
    }

    /// For how long it may be used at all, stale or not.
    fn usable_for(&self, freshness: &Freshness) -> u64 {
        if freshness.no_cache || freshness.must_revalidate {
            return 0;
        }
        let on_failure =
            if self.options.stale_on_failure && freshness.lifetime > 0 { AFTERWARDS } else { 0 };
        let window = on_failure
            .max(freshness.stale_while_revalidate)
            .max(freshness.stale_if_error.unwrap_or(0));
        freshness.lifetime.saturating_add(window).saturating_sub(freshness.initial_age)
    }

    fn dropped(&self) -> impl Iterator<Item = &HeaderName> {
        let private: &[HeaderName] =
            if self.options.per_user { &[] } else { &self.said.private_fields };
        self.said.no_cache_fields.iter().chain(private)
    }

    fn into_dropped(self) -> Vec<HeaderName> {
        let mut fields = self.said.no_cache_fields;
        if !self.options.per_user {
            fields.extend(self.said.private_fields);
        }
        fields
    }
}

/// Statuses whose caching rules are known here (RFC 9111 §5.2.2.3).
const fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300..=303 | 307 | 308 | 400 | 401 | 403..=405 | 410 | 414
            | 500..=504
    )
}

/// Statuses that tell of more than the target: of the connection, of the fields that make a
/// request conditional or partial, or of who asks how often. RFC 6585 forbids four of them.
pub(crate) fn is_never_stored(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status.as_u16(), 304 | 407 | 412 | 416 | 425 | 428 | 429 | 431 | 511)
}

fn varies_by_anything(response: &HeaderMap) -> bool {
    let star = |line: &http::HeaderValue| {
        line.as_bytes().split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"*")
    };
    response.get_all(header::VARY).iter().any(star)
}

/// The word of HTTP/1.0, which counts where `Cache-Control` says nothing.
fn says_pragma_no_cache(response: &HeaderMap) -> bool {
    let mut said = false;
    if !response.contains_key(header::CACHE_CONTROL) {
        for line in response.get_all(header::PRAGMA) {
            each(line.as_bytes(), |name, _| said |= name.eq_ignore_ascii_case(b"no-cache"));
        }
    }
    said
}

#[cfg(test)]
mod tests;
