//! The fixed window, anchored at a group's first hit. Its twin is `fixed_window.lua`.

use super::MAX_COUNT;

/// A group's window as it is stored: how many were admitted since it opened, and when that was,
/// in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) count: u64,
    pub(crate) start: u64,
}

impl Window {
    /// The window that is open at `now`: the stored one, or a new one if there is none or it has
    /// ended. A window that seems to open in the future (the clock went back) opens now, and must
    /// be stored so.
    pub(crate) fn at(stored: Option<Self>, length: u64, now: u64) -> (Self, bool) {
        match stored {
            Some(Self { count, start }) if start > now => (Self { count, start: now }, true),
            Some(window) if now - window.start < length => (window, false),
            _ => (Self { count: 0, start: now }, false),
        }
    }

    /// How many more fit into this window.
    pub(crate) const fn remaining(self, limit: u64) -> u64 {
        limit.saturating_sub(self.count)
    }

    /// How many milliseconds after `now` the cost fits; 0 if it does now. At most the limit.
    pub(crate) const fn wait(self, cost: u64, limit: u64, length: u64, now: u64) -> u64 {
        if self.remaining(limit) >= cost { 0 } else { self.resets_in(length, now) }
    }

    /// How many milliseconds after `now` this window ends.
    pub(crate) const fn resets_in(self, length: u64, now: u64) -> u64 {
        self.start.saturating_add(length).saturating_sub(now)
    }

    /// Adds to the count, or takes from it; never below nothing.
    pub(crate) fn add(&mut self, number: i64) {
        self.count = self.count.saturating_add_signed(number).min(MAX_COUNT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_ends_by_arithmetic() {
        let open = Some(Window { count: 3, start: 1_000 });
        for (now, expected, stale) in [
            (1_000, Window { count: 3, start: 1_000 }, false),
            (1_999, Window { count: 3, start: 1_000 }, false),
            (2_000, Window { count: 0, start: 2_000 }, false),
            (999, Window { count: 3, start: 999 }, true),
        ] {
            assert_eq!(Window::at(open, 1_000, now), (expected, stale), "at {now}");
        }
        assert_eq!(Window::at(None, 1_000, 7).0, Window { count: 0, start: 7 });
    }

    #[test]
    fn nothing_overflows() {
        let mut huge = Window { count: u64::MAX, start: u64::MAX };
        assert_eq!(huge.remaining(5), 0);
        assert_eq!(huge.resets_in(u64::MAX, 0), u64::MAX);
        assert_eq!(Window::at(Some(huge), 1_000, 5).0, Window { count: u64::MAX, start: 5 });
        huge.add(i64::MAX);
        assert_eq!(huge.count, MAX_COUNT);
        huge.add(i64::MIN);
        assert_eq!(huge.count, 0);
    }

    proptest! {
        /// Whatever the moments and costs, no window admits more than its limit, and waiting as
        /// long as a refused caller is told is enough.
        #[test]
        fn never_over_the_limit_and_waiting_is_enough(
            limit in 1_u64..6,
            length in 1_u64..50,
            steps in prop::collection::vec((0_u64..30, 1_u64..4), 1..60),
        ) {
            let (mut now, mut stored, mut admitted) = (1_000, None, Vec::new());
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(limit);
                let (mut window, _) = Window::at(stored, length, now);
                let wait = window.wait(cost, limit, length, now);
                if wait == 0 {
                    window.add(cost.cast_signed());
                    stored = Some(window);
                    admitted.push((window.start, now, cost));
                } else {
                    let (later, _) = Window::at(stored, length, now + wait);
                    prop_assert_eq!(later.remaining(limit), limit);
                }
            }
            for (start, ..) in &admitted {
                let inside = admitted.iter().filter(|(_, at, _)| (*start..start + length).contains(at));
                prop_assert!(inside.map(|(.., cost)| cost).sum::<u64>() <= limit);
            }
        }
    }
}
