//! The sliding window counter: this window's count, and the last one's as far as it still reaches
//! into the time that lies one window back. Its twin is `sliding_window.lua`.
//!
//! Divisions are made in doubles, in the order of the twin, so that both agree to the last bit.

use super::MAX_COUNT;

/// A group's windows as they are stored: how many were admitted since the one now open began, when
/// that was, in milliseconds since the Unix epoch, and how many in the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) count: u64,
    pub(crate) start: u64,
    pub(crate) previous: u64,
}

impl Windows {
    /// What is open at `now`. A window that seems to open in the future (the clock went back)
    /// opens now, and must be stored so.
    pub(crate) fn at(stored: Option<Self>, length: u64, now: u64) -> (Self, bool) {
        match stored {
            Some(windows) if windows.start > now => (Self { start: now, ..windows }, true),
            Some(windows) if now - windows.start < length => (windows, false),
            Some(Self { count, start, .. }) if now - start < 2 * length => {
                (Self { count: 0, start: start + length, previous: count }, false)
            }
            _ => (Self { count: 0, start: now, previous: 0 }, false),
        }
    }

    /// How many count at `now`.
    fn used(self, length: u64, now: u64) -> u64 {
        self.count.saturating_add(weight(self.previous, self.resets_in(length, now), length))
    }

    /// How many more fit at `now`.
    pub(crate) fn remaining(self, limit: u64, length: u64, now: u64) -> u64 {
        limit.saturating_sub(self.used(length, now))
    }

    /// How many milliseconds after `now` the cost fits; 0 if it does now. At most the limit.
    pub(crate) fn wait(self, cost: u64, limit: u64, length: u64, now: u64) -> u64 {
        let room = limit.saturating_sub(cost);
        if self.used(length, now) <= room {
            return 0;
        }
        let left = self.resets_in(length, now);
        match room.checked_sub(self.count) {
            // The window before has to slide out further.
            Some(room) => left - most_left(self.previous, length, room).min(left),
            // The one now open has to become the one before, and slide out.
            None => left + length - most_left(self.count, length, room),
        }
    }

    /// How many milliseconds after `now` the window now open ends.
    pub(crate) const fn resets_in(self, length: u64, now: u64) -> u64 {
        self.start.saturating_add(length).saturating_sub(now)
    }

    /// Adds to the count, or takes from it; never below nothing.
    pub(crate) fn add(&mut self, number: i64) {
        self.count = self.count.saturating_add_signed(number).min(MAX_COUNT);
    }
}

/// How much of `count` still counts while `left` milliseconds of it reach back.
fn weight(count: u64, left: u64, length: u64) -> u64 {
    whole((double(count) * double(left) / double(length)).ceil())
}

/// The most milliseconds that may be left for `count` to weigh no more than `room`.
fn most_left(count: u64, length: u64, room: u64) -> u64 {
    if count == 0 {
        return length;
    }
    let left = whole((double(room) * double(length) / double(count)).floor()).min(length);
    left - u64::from(left > 0 && weight(count, left, length) > room)
}

#[expect(clippy::cast_precision_loss, reason = "the twin computes in doubles")]
const fn double(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, never negative, and `as` saturates"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_before_slides_out() {
        let full = Some(Windows { count: 10, start: 1_000, previous: 0 });
        for (now, remaining) in [
            (1_000, 0),
            (1_999, 0),
            (2_000, 0),
            (2_001, 0),
            (2_100, 1),
            (2_500, 5),
            (2_999, 9),
            (3_000, 10),
        ] {
            let (windows, stale) = Windows::at(full, 1_000, now);
            assert_eq!(windows.remaining(10, 1_000, now), remaining, "at {now}");
            assert!(!stale);
        }
        let (windows, stale) = Windows::at(full, 1_000, 500);
        assert!(stale);
        assert_eq!(windows, Windows { count: 10, start: 500, previous: 0 });
    }

    #[test]
    fn a_refused_caller_is_told_the_very_millisecond() {
        let (windows, _) =
            Windows::at(Some(Windows { count: 10, start: 0, previous: 0 }), 1_000, 999);
        assert_eq!(windows.wait(1, 10, 1_000, 999), 101);
        assert_eq!(windows.wait(10, 10, 1_000, 999), 1_001);
        let (windows, _) =
            Windows::at(Some(Windows { count: 10, start: 0, previous: 0 }), 1_000, 1_050);
        assert_eq!(windows.wait(1, 10, 1_000, 1_050), 50);
    }

    proptest! {
        /// Rounded up, never over: what is admitted in any stretch of time is at most the limit
        /// times one and the share of that stretch in a window; and waiting as long as told, and
        /// not a millisecond less, is enough.
        #[test]
        fn never_over_the_bound_and_waiting_is_enough(
            limit in 1_u64..40,
            length in 1_u64..200,
            steps in prop::collection::vec((0_u64..60, 1_u64..5), 1..80),
        ) {
            let (mut now, mut stored, mut admitted) = (1_000, None, Vec::new());
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(limit);
                let (mut windows, _) = Windows::at(stored, length, now);
                let wait = windows.wait(cost, limit, length, now);
                if wait == 0 {
                    windows.add(cost.cast_signed());
                    stored = Some(windows);
                    admitted.push((now, cost));
                } else {
                    let at = |later| Windows::at(stored, length, later).0.wait(cost, limit, length, later);
                    prop_assert_eq!(at(now + wait), 0);
                    prop_assert!(at(now + wait - 1) > 0);
                }
            }
            for (from, _) in &admitted {
                for (to, _) in admitted.iter().filter(|(to, _)| to >= from) {
                    let inside = admitted.iter().filter(|(at, _)| (from..=to).contains(&at));
                    let sum: u64 = inside.map(|(_, cost)| cost).sum();
                    prop_assert!(sum * length <= limit * (length + (to - from)), "{sum} in {from}..={to}");
                }
            }
        }

        #[test]
        fn nothing_overflows(count: u64, start: u64, previous: u64, limit: u64, cost: u64, now: u64, number: i64) {
            let length = 31_536_000_000;
            let (mut windows, _) = Windows::at(Some(Windows { count, start, previous }), length, now);
            windows.remaining(limit, length, now);
            windows.wait(cost.min(limit), limit, length, now);
            windows.add(number);
        }
    }
}
