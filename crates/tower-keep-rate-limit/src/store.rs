//! What the layer asks of a store, in the layer's own terms.

use arrayvec::ArrayVec;
use tower_keep_core::{Answer, StoreError, key::CounterKey};

/// The most limits that one request can be checked against.
pub const MAX_LIMITS: usize = 8;

/// One limit of a check.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// The counter.
    pub key: CounterKey<'a>,
    /// The most requests admitted per window; at least 1.
    pub quota: u64,
    /// The window's length in milliseconds; at least 1.
    pub window_ms: u64,
    /// How long the counter is kept after its window opened, in milliseconds; at least the
    /// window.
    pub life_ms: u64,
}

/// How a limit stands after a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many more requests fit into the window. Zero on a denied check means that this limit
    /// was violated.
    pub remaining: u64,
    /// How many milliseconds remain until the window ends.
    pub resets_in_ms: u64,
}

/// What a store decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request was admitted, and counted against every limit. If not, it was counted
    /// against none.
    pub allowed: bool,
    /// How each limit stands now, in the order asked.
    pub limits: ArrayVec<Standing, MAX_LIMITS>,
}

/// Counts requests against limits.
///
/// The law that every store keeps:
/// 1. All limits of a check are decided in one atomic step: admitted and counted by all, or
///    denied and counted by none.
/// 2. A counter's window opens with the first request admitted into it, and ends `window_ms`
///    later, whatever happens to its key.
/// 3. A denial extends nothing.
/// 4. Time is the store's, not the caller's.
pub trait LimitStore: Send + Sync + 'static {
    /// Checks one request against 1 to 8 limits, all of one tenant, each with its own key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed. The request may have been counted unless the class
    /// is `NotSent` or `Refused`.
    fn check(&self, limits: &[Limit<'_>]) -> Answer<Result<Verdict, StoreError>>;
}
