//! The one place that reads the clock. Policy takes time as an argument.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `duration` later; stays at the end of time rather than wrap.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl UnixMillis {
    /// The same moment as the standard library has it, for those who write it down.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// The moment that the standard library has; the beginning for one before that.
    pub fn from_system_time(at: SystemTime) -> Self {
        Self(millis(at.duration_since(UNIX_EPOCH).unwrap_or_default()))
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
    #[inline]
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            None => system_now(),
            Some(hand) => UnixMillis(hand.load(Ordering::Relaxed)),
        }
    }

    /// What this clock showed at a moment that has just gone by: a few milliseconds ago, seldom
    /// more. The kernel notes the time at each of its ticks, and to look at that costs a fraction
    /// of asking the processor. A clock set by hand shows what it shows.
    #[inline]
    pub fn lately(&self) -> UnixMillis {
        match &self.0 {
            None => system_lately(),
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

/// When counting began, by both clocks.
struct Start {
    instant: Instant,
    #[cfg(target_os = "linux")]
    monotonic: u64,
    wall: UnixMillis,
}

fn start() -> &'static Start {
    static START: OnceLock<Start> = OnceLock::new();
    START.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Start {
            instant: Instant::now(),
            #[cfg(target_os = "linux")]
            monotonic: monotonic(rustix::time::ClockId::Monotonic),
            wall: UnixMillis(millis(since_epoch)),
        }
    })
}

fn system_now() -> UnixMillis {
    let Start { instant, wall, .. } = start();
    wall.plus(instant.elapsed())
}

#[cfg(not(target_os = "linux"))]
use system_now as system_lately;

#[cfg(target_os = "linux")]
fn system_lately() -> UnixMillis {
    let Start { monotonic: began, wall, .. } = start();
    let passed = monotonic(rustix::time::ClockId::MonotonicCoarse).saturating_sub(*began);
    UnixMillis(wall.0.saturating_add(passed / 1_000_000))
}

/// What one of the kernel's clocks that never go back shows, in nanoseconds.
#[cfg(target_os = "linux")]
fn monotonic(clock: rustix::time::ClockId) -> u64 {
    let rustix::time::Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(clock);
    tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(tv_nsec.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lately_is_not_long_ago() {
        let clock = Clock::system();
        for _ in 0..1000 {
            let (before, lately, after) = (clock.now(), clock.lately(), clock.now());
            // A second is for a machine that is busy.
            assert!(lately <= after && before <= lately.plus(Duration::from_secs(1)));
        }
        let clock = Clock::manual(UnixMillis(7));
        assert_eq!((clock.lately(), clock.now()), (UnixMillis(7), UnixMillis(7)));
    }
}
