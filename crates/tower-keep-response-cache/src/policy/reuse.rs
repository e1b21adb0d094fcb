//! Whether a stored response may answer a request (RFC 9111 §4, RFC 5861).

use http::StatusCode;
use tower_keep_core::time::UnixMillis;

use crate::{freshness::Freshness, options::Options, policy::request::RequestDirectives};

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers.
    Fresh,
    /// It answers although it is stale.
    Stale {
        /// It is asked for in the background.
        refresh: bool,
    },
    /// It answers only once the service has said that it is still so.
    Validate(Why),
}

/// Why a stored response does not answer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is stale, or is never used without asking.
    Stale,
    /// The request wants it so.
    Request,
}

/// Whether what is stored answers a request now.
pub(crate) fn judge(
    freshness: &Freshness,
    asks: &RequestDirectives,
    softly_purged: bool,
    now: UnixMillis,
) -> Verdict {
    if asks.no_cache || asks.no_store || is_too_old(freshness, asks, now) {
        return Verdict::Validate(Why::Request);
    }
    if freshness.no_cache {
        return Verdict::Validate(Why::Stale);
    }
    if !softly_purged && freshness.is_fresh(now) {
        let left = freshness.lifetime.saturating_sub(freshness.age(now));
        return match asks.min_fresh {
            Some(least) if left < least => Verdict::Validate(Why::Request),
            _ => Verdict::Fresh,
        };
    }
    if freshness.must_revalidate {
        return Verdict::Validate(Why::Stale);
    }
    let staleness = freshness.staleness(now);
    let refresh = staleness < freshness.stale_while_revalidate;
    // How long ago a purge made it stale is not known.
    let bound = asks.max_stale.filter(|_| !softly_purged);
    // Who says how old it may be does not want it stale, unless they say so (§5.2.1.1).
    let fussy = asks.max_age.is_some() || asks.min_fresh.is_some();
    match bound {
        Some(bound) if staleness <= bound => Verdict::Stale { refresh },
        None if refresh && !fussy => Verdict::Stale { refresh },
        _ => Verdict::Validate(Why::Stale),
    }
}

/// Whether what is stored may answer in place of an error with this `status`, or `None` where the
/// service failed to answer at all.
pub(crate) fn may_replace_error(
    freshness: &Freshness,
    asks: &RequestDirectives,
    status: Option<StatusCode>,
    now: UnixMillis,
    options: &Options,
) -> bool {
    if freshness.no_cache || freshness.must_revalidate {
        return false;
    }
    if asks.no_cache || asks.no_store || is_too_old(freshness, asks, now) {
        return false;
    }
    // RFC 5861 §4 says which are errors.
    if status.is_some_and(|status| !matches!(status.as_u16(), 500 | 502 | 503 | 504)) {
        return false;
    }
    // What was never to be used without asking is not used because nobody answers.
    let disconnected = status.is_none() && options.stale_on_failure && freshness.lifetime > 0;
    let window = asks.stale_if_error.or(freshness.stale_if_error);
    disconnected || window.is_some_and(|window| freshness.staleness(now) < window)
}

/// A request that wants it no older than zero wants it asked for, as a browser's "reload" does.
fn is_too_old(freshness: &Freshness, asks: &RequestDirectives, now: UnixMillis) -> bool {
    asks.max_age.is_some_and(|most| most == 0 || freshness.age(now) > most)
}

#[cfg(test)]
mod tests;
