//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling): a request is due one interval
//! after the one before, and may come early by as much as a full burst. Its twin is `gcra.lua`.

/// What no product exceeds, in microseconds: about 31 years.
const MAX_BURST: u64 = 1_000_000_000_000_000;

/// The time between two requests of an even flow, in microseconds, rounded up so that the rate is
/// never over.
pub(crate) const fn interval(limit: u64, window_ms: u64) -> u64 {
    let window = window_ms.saturating_mul(1000);
    if limit == 0 {
        return window;
    }
    let interval = window.div_ceil(limit);
    if interval == 0 { 1 } else { interval }
}

/// How long a full burst is due, in microseconds.
pub(crate) const fn burst(quota: u64, interval: u64) -> u64 {
    let product = quota.saturating_mul(interval);
    if product < MAX_BURST { product } else { MAX_BURST }
}

/// When a group's next request is due, its theoretical arrival time, in microseconds since the
/// Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival(pub(crate) u64);

impl Arrival {
    /// What counts at `now`. An arrival further ahead than a full burst (the clock went back, or
    /// the limit was cut) is brought back to that, and must be stored so; but a limit of 0, which
    /// admits nothing anyway, forgets nothing.
    pub(crate) const fn at(stored: Option<Self>, burst: u64, now: u64) -> (Self, bool) {
        let Some(Self(due)) = stored else { return (Self(now), false) };
        let ahead = due.saturating_sub(now);
        if ahead > burst {
            return (Self(now.saturating_add(burst)), burst > 0);
        }
        (Self(now.saturating_add(ahead)), false)
    }

    /// How far ahead of `now` the next request is due, in microseconds.
    const fn ahead(self, now: u64) -> u64 {
        self.0.saturating_sub(now)
    }

    /// How many more may come at once.
    pub(crate) const fn remaining(self, burst: u64, interval: u64, now: u64) -> u64 {
        burst.saturating_sub(self.ahead(now)) / interval
    }

    /// How many milliseconds after `now` the cost fits; 0 if it does now. At most the quota.
    pub(crate) const fn wait(self, cost: u64, burst: u64, interval: u64, now: u64) -> u64 {
        let over = (self.ahead(now) + self::burst(cost, interval)).saturating_sub(burst);
        over.div_ceil(1000)
    }

    /// How many milliseconds after `now` a full burst is there again.
    pub(crate) const fn resets_in(self, now: u64) -> u64 {
        self.ahead(now).div_ceil(1000)
    }

    /// Moves the arrival by `number` requests: never before now, never further than a full burst.
    pub(crate) fn add(&mut self, number: i64, burst: u64, interval: u64, now: u64) {
        let moved = self::burst(number.unsigned_abs(), interval);
        let ahead = self.ahead(now);
        let ahead =
            if number < 0 { ahead.saturating_sub(moved) } else { (ahead + moved).min(burst) };
        self.0 = now.saturating_add(ahead);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_interval_is_never_too_short() {
        assert_eq!(interval(7, 1_000), 142_858);
        assert_eq!(interval(100, 900_000), 9_000_000);
        assert_eq!(interval(1_000_000_000, 1), 1);
        assert_eq!(interval(0, 5), 5_000);
    }

    #[test]
    fn a_burst_is_admitted_at_once_and_comes_back_evenly() {
        let (interval, now) = (interval(7, 1_000), 1_700_000_000_000_000);
        let burst = burst(7, interval);
        let (mut due, _) = Arrival::at(None, burst, now);
        for left in (0..7).rev() {
            assert_eq!(due.wait(1, burst, interval, now), 0);
            due.add(1, burst, interval, now);
            assert_eq!(due.remaining(burst, interval, now), left);
        }
        assert_eq!(due.wait(1, burst, interval, now), 143);
        assert_eq!(due.wait(7, burst, interval, now), 1_001);
        assert_eq!(due.resets_in(now), 1_001);
        let (later, stale) = Arrival::at(Some(due), burst, now + 143_000);
        assert_eq!((later.wait(1, burst, interval, now + 143_000), stale), (0, false));
        assert_eq!(Arrival::at(Some(due), burst, now - 1), (Arrival(now - 1 + burst), true));
        assert_eq!(Arrival::at(Some(due), burst / 7, now), (Arrival(now + burst / 7), true));
        assert_eq!(Arrival::at(Some(due), 0, now), (Arrival(now), false));
    }

    proptest! {
        #[test]
        fn never_over_the_bound_and_waiting_is_enough(
            limit in 1_u64..40,
            window in 1_u64..100,
            quota in 1_u64..40,
            steps in prop::collection::vec((0_u64..30_000, 1_u64..5), 1..80),
        ) {
            let interval = interval(limit, window);
            let burst = burst(quota, interval);
            let (mut now, mut stored, mut admitted) = (1_000_000, None, Vec::new());
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(quota);
                let (mut due, _) = Arrival::at(stored, burst, now);
                let wait = due.wait(cost, burst, interval, now);
                if wait == 0 {
                    due.add(cost.cast_signed(), burst, interval, now);
                    stored = Some(due);
                    admitted.push((now, cost));
                } else {
                    let at = |later| Arrival::at(stored, burst, later).0.wait(cost, burst, interval, later);
                    prop_assert_eq!(at(now + wait * 1000), 0);
                    prop_assert!(at(now + (wait - 1) * 1000) > 0);
                }
            }
            for (from, _) in &admitted {
                for (to, _) in admitted.iter().filter(|(to, _)| to >= from) {
                    let inside = admitted.iter().filter(|(at, _)| (from..=to).contains(&at));
                    let sum: u64 = inside.map(|(_, cost)| cost).sum();
                    prop_assert!(sum * interval <= burst + (to - from), "{sum} in {from}..={to}");
                }
            }
        }

        #[test]
        fn nothing_overflows(due: u64, limit: u64, window: u64, quota: u64, cost: u64, number: i64) {
            let now = 1_700_000_000_000_000;
            let interval = interval(limit, window);
            let burst = burst(quota, interval);
            let (mut due, _) = Arrival::at(Some(Arrival(due)), burst, now);
            due.remaining(burst, interval, now);
            due.wait(cost, burst, interval, now);
            due.add(number, burst, interval, now);
            prop_assert!(due.ahead(now) <= burst);
        }
    }
}
