//! For how long what is kept, and how.

use std::{borrow::Cow, time::Duration};

/// Things that are kept for the same time and in the same way. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_query_cache::TtlClass;
///
/// let prescriptions = TtlClass::new("prescription", Duration::from_secs(7200))
///     .stale_while_revalidate(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(600))
///     .negative(Duration::from_secs(10));
/// # let _ = prescriptions;
/// ```
#[derive(Clone, Debug)]
pub struct TtlClass {
    pub(crate) name: Cow<'static, str>,
    pub(crate) ttl: Duration,
    pub(crate) jitter: f64,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) negative: Duration,
    pub(crate) max_bytes: usize,
}

impl TtlClass {
    /// What is fresh for this long, less up to a tenth of it. Nothing is kept for no time.
    pub fn new(name: impl Into<Cow<'static, str>>, ttl: Duration) -> Self {
        Self {
            name: name.into(),
            ttl,
            jitter: 0.1,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative: Duration::ZERO,
            max_bytes: usize::MAX,
        }
    }

    /// By which part of it at most each lifetime is cut, at random, so that what was loaded together
    /// is not loaded again together: 0.1 unless told otherwise; what is not from 0 to 1 is brought
    /// there.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        // Also what is no number.
        self.jitter = if part >= 0.0 { part.min(1.0) } else { 0.0 };
        self
    }

    /// For how long after its time a value is still given at once, while it is loaded anew: not at
    /// all unless told otherwise.
    #[must_use]
    pub const fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = window;
        self
    }

    /// For how long after its time a value is still given when loading it anew has failed: not at
    /// all unless told otherwise. It has to be at hand: a shared store that is down
    /// [has none](crate#when-the-store-fails).
    #[must_use]
    pub const fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = window;
        self
    }

    /// For how long it is remembered that there is nothing: not at all unless told otherwise. Make
    /// it short.
    #[must_use]
    pub const fn negative(mut self, ttl: Duration) -> Self {
        self.negative = ttl;
        self
    }

    /// The longest value that is kept, in bytes as `MessagePack`. The cache has a
    /// [bound](crate::QueryCacheBuilder::max_entry_bytes) as well.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For how long a value is fresh, without the jitter.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }
}
