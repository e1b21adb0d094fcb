//! The one place that reads the clock. Policy takes time as an argument.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `duration` later; stays at the end of time rather than wrap.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// `duration` in whole milliseconds, rounded down; as much as fits if it is immense.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where a store takes the time from.
///
/// The system's clock is read once when the process starts and counted on by the monotonic
/// clock from there, so time never goes back. A clock set by hand is for tests.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_core::time::{Clock, UnixMillis};
///
/// let clock = Clock::manual(UnixMillis(1_000));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), UnixMillis(3_000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: UnixMillis) -> Self {
        Self(Some(Arc::new(AtomicU64::new(start.0))))
    }

    /// What this clock shows.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            None => system_now(),
            Some(hand) => UnixMillis(hand.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock ahead; the system's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Some(hand) = &self.0 {
            hand.fetch_add(millis(by), Ordering::Relaxed);
        }
    }

    /// Sets a manual clock, also backwards; the system's clock is not moved.
    pub fn set(&self, to: UnixMillis) {
        if let Some(hand) = &self.0 {
            hand.store(to.0, Ordering::Relaxed);
        }
    }
}

fn system_now() -> UnixMillis {
    static START: OnceLock<(Instant, UnixMillis)> = OnceLock::new();
    let (instant, wall) = *START.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), UnixMillis(millis(since_epoch)))
    });
    wall.plus(instant.elapsed())
}
