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

/// The longest that a late cost is owed for, in microseconds: as long as its counter is kept, and at
/// least the time of a full burst.
pub(crate) const fn most_owed(burst: u64, life_ms: u64) -> u64 {
    let life = life_ms.saturating_mul(1000);
    let life = if life < MAX_BURST { life } else { MAX_BURST };
    if life > burst { life } else { burst }
}

/// When a group's next request is due, its theoretical arrival time, in microseconds since the
/// Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) due: u64,
    /// How far ahead a late cost has moved it beyond a full burst; 0 where none has. No further
    /// ahead than that is it ever, whatever the clock says.
    owed: u64,
}

impl Arrival {
    /// What counts at `now`. An arrival further ahead than a full burst and what is owed (the clock
    /// went back, or the limit was cut) is brought back to that, and must be stored so; but a limit
    /// of 0, which admits nothing anyway, forgets nothing.
    pub(crate) const fn at(stored: Option<Self>, burst: u64, now: u64) -> (Self, bool) {
        let Some(Self { due, owed }) = stored else { return (Self { due: now, owed: 0 }, false) };
        let ahead = due.saturating_sub(now);
        let most = if owed > burst { owed } else { burst };
        if ahead > most {
            return (Self { due: now.saturating_add(most), owed }, burst > 0);
        }
        (Self { due: now.saturating_add(ahead), owed }, false)
    }

    /// How far ahead of `now` the next request is due, in microseconds.
    const fn ahead(self, now: u64) -> u64 {
        self.due.saturating_sub(now)
    }

    /// How many more may come at once.
    pub(crate) const fn remaining(self, burst: u64, interval: u64, now: u64) -> u64 {
        burst.saturating_sub(self.ahead(now)) / interval
    }

    /// How many milliseconds after `now` the cost fits; 0 if it does now. At most the quota.
    pub(crate) const fn wait(self, cost: u64, burst: u64, interval: u64, now: u64) -> u64 {
        let over =
            (self.ahead(now).saturating_add(self::burst(cost, interval))).saturating_sub(burst);
        over.div_ceil(1000)
    }

    /// How many milliseconds after `now` a full burst is there again.
    pub(crate) const fn resets_in(self, now: u64) -> u64 {
        self.ahead(now).div_ceil(1000)
    }

    /// Moves the arrival by `number` requests: never before now, never further ahead than `most`.
    pub(crate) fn add(&mut self, number: i64, burst: u64, most: u64, interval: u64, now: u64) {
        let moved = self::burst(number.unsigned_abs(), interval);
        let ahead = self.ahead(now);
        let ahead = if number < 0 {
            ahead.saturating_sub(moved)
        } else {
            ahead.saturating_add(moved).min(most)
        };
        self.due = now.saturating_add(ahead);
        self.owed = if ahead > burst { ahead } else { 0 };
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
            due.add(1, burst, burst, interval, now);
            assert_eq!(due.remaining(burst, interval, now), left);
        }
        assert_eq!(due.wait(1, burst, interval, now), 143);
        assert_eq!(due.wait(7, burst, interval, now), 1_001);
        assert_eq!(due.resets_in(now), 1_001);
        let (later, stale) = Arrival::at(Some(due), burst, now + 143_000);
        assert_eq!((later.wait(1, burst, interval, now + 143_000), stale), (0, false));
        let plain = |due| Arrival { due, owed: 0 };
        assert_eq!(Arrival::at(Some(due), burst, now - 1), (plain(now - 1 + burst), true));
        assert_eq!(Arrival::at(Some(due), burst / 7, now), (plain(now + burst / 7), true));
        assert_eq!(Arrival::at(Some(due), 0, now), (plain(now), false));
    }

    #[test]
    fn what_is_settled_beyond_the_burst_is_owed_until_it_is_due() {
        let (interval, now) = (1_000_000, 1_700_000_000_000_000);
        let (burst, most) = (burst(50, interval), most_owed(burst(50, interval), 900_000));
        let (mut due, _) = Arrival::at(None, burst, now);
        due.add(1, burst, burst, interval, now);
        due.add(499, burst, most, interval, now);
        assert_eq!(due.wait(1, burst, interval, now), 451_000);
        let later = now + 451_000_000;
        let (mut after, stale) = Arrival::at(Some(due), burst, later);
        assert_eq!((after.wait(1, burst, interval, later), stale), (0, false));
        let (back, stale) = Arrival::at(Some(due), burst, now - 900_000_000);
        assert_eq!((back.wait(1, burst, interval, now - 900_000_000), stale), (451_000, true));
        after.add(1, burst, burst, interval, later);
        assert_eq!(after.owed, 0, "nothing is owed any more");
        due.add(100_000, burst, most, interval, now);
        assert_eq!(due.resets_in(now), 900_000, "nobody pays for longer than the counter lives");
        due.add(-860, burst, most, interval, now);
        assert_eq!((due.remaining(burst, interval, now), due.owed), (10, 0));
        assert_eq!(most_owed(7, 0), 7);
        assert_eq!(most_owed(7, u64::MAX), MAX_BURST);
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
                    due.add(cost.cast_signed(), burst, burst, interval, now);
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
        fn nothing_overflows(due: u64, owed: u64, limit: u64, window: u64, quota: u64, cost: u64, number: i64) {
            let now = 1_700_000_000_000_000;
            let interval = interval(limit, window);
            let burst = burst(quota, interval);
            let (mut due, _) = Arrival::at(Some(Arrival { due, owed }), burst, now);
            due.remaining(burst, interval, now);
            due.wait(cost, burst, interval, now);
            due.resets_in(now);
            let most = most_owed(burst, owed);
            due.add(number, burst, most, interval, now);
            prop_assert!(number < 0 || due.ahead(now) <= most);
        }
    }
}
