//! What can become of a request in this layer.

use std::time::Duration;

use metrics::counter;
use tower_keep_core::Outcome;

use crate::{BypassReason, Flaw};

/// What the cache did with a request. The value of `x-ai-cache`, and a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AiCacheStatus {
    /// Answered from the store.
    Hit,
    /// The upstream was asked.
    Miss,
    /// Another request for the same asked the upstream, and this one shares its answer.
    Coalesced,
    /// Some of the vectors were stored, and the upstream was asked for the others.
    Partial,
    /// The upstream was asked although an answer is or may be stored, because the request wants it
    /// new.
    Refresh,
    /// The cache had no part in it.
    Bypass,
}

impl AiCacheStatus {
    /// It as `x-ai-cache` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Coalesced => "COALESCED",
            Self::Partial => "PARTIAL",
            Self::Refresh => "REFRESH",
            Self::Bypass => "BYPASS",
        }
    }
}

impl Outcome for AiCacheStatus {
    const LAYER: &'static str = "ai_cache";
    const LABELS: &'static [&'static str] =
        &["hit", "miss", "coalesced", "partial", "refresh", "bypass"];

    fn index(self) -> usize {
        self as usize
    }
}

/// What became of a request, in the extensions of its response.
///
/// ```
/// use tower_keep_ai_cache::{AiCacheOutcome, AiCacheStatus};
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(outcome) = response.extensions().get::<AiCacheOutcome>() {
///         println!("{}: {} tokens saved", outcome.status.as_str(), outcome.tokens_saved);
///     }
/// }
/// # log(&http::Response::new(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AiCacheOutcome {
    /// What the cache did.
    pub status: AiCacheStatus,
    /// The tokens that the upstream was not asked for, as the stored answer counts them.
    pub tokens_saved: u64,
    /// How old a stored answer is.
    pub age: Option<Duration>,
    /// Why the cache had no part in it.
    pub bypass: Option<BypassReason>,
}

impl AiCacheOutcome {
    pub(crate) const fn new(status: AiCacheStatus) -> Self {
        Self { status, tokens_saved: 0, age: None, bypass: None }
    }

    pub(crate) const fn bypass(reason: BypassReason) -> Self {
        Self { bypass: Some(reason), ..Self::new(AiCacheStatus::Bypass) }
    }
}

/// An answer was not stored.
pub(crate) fn count_not_stored(flaw: Flaw) {
    counter!("tower_keep_ai_cache_not_stored_total", "reason" => flaw.label()).increment(1);
}

/// So many tokens need not be paid.
pub(crate) fn count_saved(tokens: u64) {
    if tokens > 0 {
        counter!("tower_keep_ai_cache_tokens_saved_total").increment(tokens);
    }
}
