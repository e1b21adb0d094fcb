//! For how long a value may be used, and how: the decisions. They are given the time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tower_keep_cache::Validity;
use tower_keep_core::time::UnixMillis;

use crate::class::TtlClass;

/// The longest time that anything is kept for.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Until when a value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// As it is.
    pub(crate) fresh: UnixMillis,
    /// While it is loaded anew.
    pub(crate) refresh: UnixMillis,
    /// When loading it anew has failed.
    pub(crate) error: UnixMillis,
}

/// How a value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// As it is.
    Fresh,
    /// As it is, while it is loaded anew.
    Stale,
    /// Where loading it anew has failed.
    OnError,
    /// Not at all.
    No,
}

impl Times {
    /// Of what was loaded `now`. All values of `random` are as likely.
    pub(crate) fn of(class: &TtlClass, absent: bool, now: UnixMillis, random: u32) -> Self {
        let ttl = if absent { class.negative } else { class.ttl }.min(LONGEST);
        let cut = ttl.mul_f64(class.jitter * f64::from(random) / f64::from(u32::MAX));
        let fresh = now.plus(ttl.saturating_sub(cut));
        if absent || ttl.is_zero() {
            return Self { fresh, refresh: fresh, error: fresh };
        }
        let refresh = fresh.plus(class.stale_while_revalidate.min(LONGEST));
        let error = fresh.plus(class.stale_if_error.min(LONGEST));
        Self { fresh, refresh, error }
    }

    /// For how long from `now` on it may be of use.
    pub(crate) fn keep_for(self, now: UnixMillis) -> Duration {
        let last = self.fresh.max(self.refresh).max(self.error);
        Duration::from_millis(last.0.saturating_sub(now.0))
    }

    /// How it may be used `now`, when purges say this of it.
    pub(crate) fn judge(self, validity: Validity, now: UnixMillis) -> Use {
        match validity {
            Validity::Gone => Use::No,
            Validity::Valid if now < self.fresh => Use::Fresh,
            // What was purged softly is stale, where stale may be used.
            _ if self.fresh < self.refresh && now < self.refresh => Use::Stale,
            _ if self.fresh < self.error && now < self.error => Use::OnError,
            _ => Use::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn class() -> TtlClass {
        TtlClass::new("test", Duration::from_secs(100)).jitter(0.0)
    }

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(NOW.0 + seconds * 1000)
    }

    #[test]
    fn a_value_is_fresh_then_stale_then_for_errors_then_nothing() {
        let class = class()
            .stale_while_revalidate(Duration::from_secs(10))
            .stale_if_error(Duration::from_secs(50));
        let times = Times::of(&class, false, NOW, 7);
        let judge = |seconds, validity| times.judge(validity, at(seconds));
        for (seconds, expected) in [
            (0, Use::Fresh),
            (99, Use::Fresh),
            (100, Use::Stale),
            (109, Use::Stale),
            (110, Use::OnError),
            (149, Use::OnError),
            (150, Use::No),
        ] {
            assert_eq!(judge(seconds, Validity::Valid), expected, "{seconds}");
            assert_eq!(judge(seconds, Validity::Gone), Use::No);
            let softly = if seconds < 100 { Use::Stale } else { expected };
            assert_eq!(judge(seconds, Validity::Stale), softly);
        }
        assert_eq!(times.keep_for(NOW), Duration::from_secs(150));
        assert_eq!(times.keep_for(at(200)), Duration::ZERO);
    }

    #[test]
    fn without_windows_nothing_is_used_that_is_not_fresh() {
        let times = Times::of(&class(), false, NOW, 7);
        assert_eq!(times.judge(Validity::Valid, at(99)), Use::Fresh);
        assert_eq!(times.judge(Validity::Stale, at(99)), Use::No);
        assert_eq!(times.judge(Validity::Valid, at(100)), Use::No);
        assert_eq!(times.keep_for(NOW), Duration::from_secs(100));
    }

    #[test]
    fn that_there_is_nothing_is_kept_shortly_and_never_stale() {
        let class = class().stale_if_error(Duration::from_secs(10)).stale_while_revalidate(LONGEST);
        assert_eq!(Times::of(&class, true, NOW, 7).keep_for(NOW), Duration::ZERO);
        let class = class.negative(Duration::from_secs(5));
        assert_eq!(Times::of(&class, true, NOW, 7).keep_for(NOW), Duration::from_secs(5));
    }

    #[test]
    fn what_is_kept_for_no_time_is_not_kept_for_its_windows() {
        let class = TtlClass::new("none", Duration::ZERO).stale_if_error(LONGEST);
        assert_eq!(Times::of(&class, false, NOW, 0).keep_for(NOW), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn jitter_cuts_no_more_than_its_part(part in -1.0..2.0_f64, random: u32, ttl in 1..90_000_000_u64) {
            let ttl = Duration::from_secs(ttl);
            let class = TtlClass::new("test", ttl).jitter(part);
            let kept = Times::of(&class, false, NOW, random).keep_for(NOW);
            let ttl = ttl.min(LONGEST);
            prop_assert!(kept <= ttl);
            let least = ttl.mul_f64(1.0 - class.jitter);
            prop_assert!(kept + Duration::from_millis(2) >= least, "{:?} < {:?}", kept, least);
        }

        #[test]
        fn nothing_overflows(ttl: u64, window: u64, now: u64, later: u64) {
            let class = TtlClass::new("test", Duration::from_secs(ttl))
                .stale_if_error(Duration::from_secs(window))
                .stale_while_revalidate(Duration::from_secs(window))
                .negative(Duration::from_secs(window));
            for absent in [false, true] {
                let times = Times::of(&class, absent, UnixMillis(now), 0);
                times.keep_for(UnixMillis(later));
                times.judge(Validity::Valid, UnixMillis(later));
            }
        }
    }
}
