//! What can become of a question to the cache, counted.

use tower_keep_core::{Instruments, Outcome};

use crate::fetched::Source;

pub(crate) static INSTRUMENTS: Instruments<QueryCacheOutcome> = Instruments::new();

/// What became of a question, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueryCacheOutcome {
    /// This process had it.
    Near,
    /// The shared store had it.
    Store,
    /// It was loaded.
    Loaded,
    /// Another caller loaded it.
    Shared,
    /// A stale value was given.
    Stale,
    /// The loader has failed.
    Failed,
    /// There was no turn to load it.
    Busy,
}

impl Outcome for QueryCacheOutcome {
    const LAYER: &'static str = "query_cache";
    const LABELS: &'static [&'static str] =
        &["near", "store", "loaded", "shared", "stale", "failed", "busy"];

    fn index(self) -> usize {
        self as usize
    }
}

impl From<Source> for QueryCacheOutcome {
    fn from(source: Source) -> Self {
        match source {
            Source::Near => Self::Near,
            Source::Store => Self::Store,
            Source::Loaded => Self::Loaded,
            Source::Shared => Self::Shared,
            Source::Stale => Self::Stale,
        }
    }
}

/// Counts a question that the store did not answer: it is loaded directly.
pub(crate) fn count_bypass() {
    metrics::counter!("tower_keep_query_cache_bypass_total").increment(1);
}

/// Counts a value that was found and cannot be decoded as what is wanted.
pub(crate) fn count_undecodable() {
    metrics::counter!("tower_keep_cache_corrupt_total", "kind" => crate::kept::KIND, "reason" => "value")
        .increment(1);
}
