//! The fixed window, anchored at a group's first hit. Its twin is `fixed_window.lua`.

/// A group's window as it is stored: how many were admitted since it opened, and when that was,
/// in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) count: u64,
    pub(crate) start: u64,
}

impl Window {
    /// The window that is open at `now`: the stored one, or a new one if there is none or it has
    /// ended. A window that seems to open in the future (the clock went back) opens now.
    pub(crate) fn at(stored: Option<Self>, length: u64, now: u64) -> Self {
        match stored {
            Some(Self { count, start }) if now.saturating_sub(start) < length => {
                Self { count, start: start.min(now) }
            }
            _ => Self { count: 0, start: now },
        }
    }

    /// How many more fit into this window.
    pub(crate) const fn remaining(self, limit: u64) -> u64 {
        limit.saturating_sub(self.count)
    }

    /// How many milliseconds after `now` this window ends.
    pub(crate) const fn resets_in(self, length: u64, now: u64) -> u64 {
        self.start.saturating_add(length).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_ends_by_arithmetic() {
        let open = Some(Window { count: 3, start: 1_000 });
        for (now, expected) in [
            (1_000, Window { count: 3, start: 1_000 }),
            (1_999, Window { count: 3, start: 1_000 }),
            (2_000, Window { count: 0, start: 2_000 }),
            (999, Window { count: 3, start: 999 }),
        ] {
            assert_eq!(Window::at(open, 1_000, now), expected, "at {now}");
        }
        assert_eq!(Window::at(None, 1_000, 7), Window { count: 0, start: 7 });
    }

    #[test]
    fn nothing_overflows() {
        let huge = Window { count: u64::MAX, start: u64::MAX };
        assert_eq!(huge.remaining(5), 0);
        assert_eq!(huge.resets_in(u64::MAX, 0), u64::MAX);
        assert_eq!(Window::at(Some(huge), 1_000, 5), Window { count: u64::MAX, start: 5 });
    }

    proptest! {
        /// Whatever the moments, no window admits more than its limit, and waiting until the
        /// reset that a refused caller is told is enough.
        #[test]
        fn never_over_the_limit_and_waiting_is_enough(
            limit in 1_u64..6,
            length in 1_u64..50,
            steps in prop::collection::vec(0_u64..30, 1..60),
        ) {
            let (mut now, mut stored, mut admitted) = (1_000, None, Vec::new());
            for step in steps {
                now += step;
                let window = Window::at(stored, length, now);
                if window.remaining(limit) > 0 {
                    stored = Some(Window { count: window.count + 1, ..window });
                    admitted.push((window.start, now));
                } else {
                    let later = now + window.resets_in(length, now);
                    prop_assert_eq!(Window::at(stored, length, later).remaining(limit), limit);
                }
            }
            for (start, _) in &admitted {
                let inside = admitted.iter().filter(|(_, at)| (*start..start + length).contains(at));
                prop_assert!(inside.count() as u64 <= limit);
            }
        }
    }
}
