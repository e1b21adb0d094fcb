//! What can become of a request in this layer.

use tower_keep_core::Outcome;

/// What became of a request in the response cache. A metric label, and with
/// [`expose_outcome`](crate::ResponseCacheLayerBuilder::expose_outcome) an extension of the
/// response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseCacheOutcome {
    /// Answered from the store.
    Hit,
    /// Answered from the store with something stale, which is being asked for.
    Stale,
    /// Answered from the store because the service failed.
    StaleOnError,
    /// Asked whether what is stored is still so, and it was.
    Revalidated,
    /// Fetched, and stored.
    Miss,
    /// Fetched by another request, whose answer this one shares.
    Collapsed,
    /// Fetched, and not to be stored.
    Uncacheable,
    /// Left alone.
    Bypass,
    /// Left alone, because the store did not answer.
    StoreFailed,
    /// Passed on, and what is stored of its target made invalid.
    Invalidated,
    /// The request wanted what is stored or nothing, and nothing was.
    NotStored,
}

impl Outcome for ResponseCacheOutcome {
    const LAYER: &'static str = "response_cache";
    const LABELS: &'static [&'static str] = &[
        "hit",
        "stale",
        "stale_on_error",
        "revalidated",
        "miss",
        "collapsed",
        "uncacheable",
        "bypass",
        "store_failed",
        "invalidated",
        "not_stored",
    ];

    fn index(self) -> usize {
        self as usize
    }
}
