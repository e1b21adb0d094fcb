//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use tower_keep_core::time::UnixMillis;

use crate::{
    freshness::FOREVER,
    options::Options,
    policy::{
        date,
        directives::{Directives, seconds},
    },
};

/// How old the response was when it came in (`corrected_initial_age`). `Age` may be wrong, and so
/// may a clock: the older holds.
pub(crate) fn initial_age(
    response: &HeaderMap,
    requested: UnixMillis,
    received: UnixMillis,
) -> u64 {
    let since = |earlier: UnixMillis| received.0.saturating_sub(earlier.0) / 1000;
    let apparent = date::field(response, header::DATE, received).map_or(0, since);
    let corrected = age(response).saturating_add(since(requested));
    apparent.max(corrected).min(FOREVER)
}

/// What the `Age` field says: its first member, without parameters; 0 if that is no number
/// (RFC 9111 §5.1).
fn age(response: &HeaderMap) -> u64 {
    let Some(line) = response.get(header::AGE) else { return 0 };
    let first = line.as_bytes().split(|byte| matches!(byte, b',' | b';')).next();
    first.and_then(|first| seconds(first.trim_ascii())).unwrap_or(0)
}

/// How long the response says that it is fresh; `None` where it does not say. A response that
/// followed a targeted field has no say by `Expires`.
pub(crate) fn explicit(
    said: &Directives,
    targeted: bool,
    response: &HeaderMap,
    received: UnixMillis,
    options: &Options,
) -> Option<u64> {
    let lifetime = match (said.lifetime(), said.max_age) {
        // Kept for one user it is no longer than either kind of cache may keep it.
        (Some(lifetime), Some(max_age)) if options.per_user => Some(lifetime.min(max_age)),
        (lifetime, _) => lifetime,
    };
    lifetime.or_else(|| if targeted { None } else { expires(response, received) })
}

/// From `Date` to `Expires`, 0 where that is no date. Of several lines the earliest holds.
fn expires(response: &HeaderMap, received: UnixMillis) -> Option<u64> {
    let made = made(response, received);
    let fresh_for = |line: &http::HeaderValue| {
        let end = date::parse(line.as_bytes(), received);
        end.map_or(0, |end| end.0.saturating_sub(made.0) / 1000)
    };
    let lines = response.get_all(header::EXPIRES).iter();
    lines.map(fresh_for).min().map(|lifetime| lifetime.min(FOREVER))
}

/// How long it may be taken to be fresh where nothing says it (RFC 9111 §4.2.2).
pub(crate) fn guessed(
    response: &HeaderMap,
    status: StatusCode,
    public: bool,
    received: UnixMillis,
    options: &Options,
) -> Option<u64> {
    if let Some(most) = options.heuristic
        && (may_be_guessed(status) || (public && !is_about_the_request(status)))
        && let Some(modified) = date::field(response, header::LAST_MODIFIED, received)
    {
        let unchanged = made(response, received).0.saturating_sub(modified.0) / 1000;
        return Some((unchanged / 10).min(whole(most)));
    }
    let as_usual = may_be_guessed(status) && !status.is_client_error() && !status.is_server_error();
    let usual = options.public_ttl.filter(|_| public).or(options.default_ttl);
    usual.filter(|_| as_usual).map(whole)
}

fn made(response: &HeaderMap, received: UnixMillis) -> UnixMillis {
    date::field(response, header::DATE, received).unwrap_or(received)
}

/// Statuses that may be stored although nothing says how long they are fresh (RFC 9110 §15.1).
pub(crate) const fn may_be_guessed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Errors that one request brings about by more than what its key is made of. Guessed to be
/// fresh, they would let anybody put a page out of reach of all others.
const fn is_about_the_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 403 | 408 | 411 | 413 | 414 | 415 | 417 | 426)
}

/// In seconds, of which a part counts as a whole one; [`FOREVER`] at most.
pub(crate) fn whole(duration: Duration) -> u64 {
    let more = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(more).min(FOREVER)
}

#[cfg(test)]
mod tests;
