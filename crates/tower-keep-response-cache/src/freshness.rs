//! When a stored response is fresh, and what may be done with it afterwards.

use serde::{Deserialize, Serialize};
use tower_keep_core::time::UnixMillis;

/// The longest time that is counted with, in seconds: 2^31, as RFC 9111 §1.2.2 has it.
pub(crate) const FOREVER: u64 = 1 << 31;

/// What of a response's fields says when it is fresh, worked out when it was stored. Seconds,
/// none over [`FOREVER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freshness {
    /// When the response came in.
    pub(crate) received: UnixMillis,
    /// How old it was then (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub(crate) initial_age: u64,
    /// How old it may become and be fresh (RFC 9111 §4.2.1).
    pub(crate) lifetime: u64,
    /// The lifetime was guessed (RFC 9111 §4.2.2).
    pub(crate) heuristic: bool,
    /// Never used without asking whether it is still so.
    pub(crate) no_cache: bool,
    /// Never used once stale, whoever allows it: `must-revalidate`, `proxy-revalidate`, `s-maxage`.
    pub(crate) must_revalidate: bool,
    /// For how long after its lifetime it may be used while it is being asked for (RFC 5861).
    pub(crate) stale_while_revalidate: u64,
    /// For how long after its lifetime it may be used in place of an error (RFC 5861); `None` if
    /// nothing is said of that.
    pub(crate) stale_if_error: Option<u64>,
}

impl Freshness {
    /// How old the response is (`current_age`).
    pub(crate) fn age(&self, now: UnixMillis) -> u64 {
        let resident = now.0.saturating_sub(self.received.0) / 1000;
        self.initial_age.saturating_add(resident).min(FOREVER)
    }

    /// Whether it may be used without asking, as far as time is concerned.
    pub(crate) fn is_fresh(&self, now: UnixMillis) -> bool {
        !self.no_cache && self.age(now) < self.lifetime
    }

    /// For how long it has been stale; 0 while it is fresh.
    pub(crate) fn staleness(&self, now: UnixMillis) -> u64 {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// For how long it is still fresh, in seconds; negative for how long it has not been.
    pub(crate) fn ttl(&self, now: UnixMillis) -> i64 {
        // Both are at most 2^31.
        self.lifetime.cast_signed() - self.age(now).cast_signed()
    }
}
