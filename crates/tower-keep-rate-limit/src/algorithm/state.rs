//! What is kept of a counter, whatever its algorithm. Its twin is `kinds.lua`.

use super::{
    Algorithm, NEVER, Terms, fixed_window::Window, gcra, gcra::Arrival, sliding_window::Windows,
};

/// A counter as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fixed(Window),
    Sliding(Windows),
    Gcra(Arrival),
}

/// A counter as it stands at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) state: State,
    /// What is stored is wrong, and must be replaced even if nothing is counted.
    pub(crate) stale: bool,
    pub(crate) terms: Terms,
    now_us: u64,
}

impl Reading {
    /// What `stored` stands at. What another algorithm has stored counts as nothing.
    #[inline]
    pub(crate) fn of(stored: Option<State>, terms: Terms, now_us: u64) -> Self {
        let now = now_us / 1000;
        let (state, is_stale) = match terms.algorithm {
            Algorithm::FixedWindow => {
                let stored = stored.and_then(|state| match state {
                    State::Fixed(window) => Some(window),
                    _ => None,
                });
                let (window, stale) = Window::at(stored, terms.window, now);
                (State::Fixed(window), stale)
            }
            Algorithm::SlidingWindow => {
                let stored = stored.and_then(|state| match state {
                    State::Sliding(windows) => Some(windows),
                    _ => None,
                });
                let (windows, stale) = Windows::at(stored, terms.window, now);
                (State::Sliding(windows), stale)
            }
            Algorithm::Gcra => {
                let stored = stored.and_then(|state| match state {
                    State::Gcra(due) => Some(due),
                    _ => None,
                });
                let burst = gcra::burst(terms.quota, terms.window);
                let (due, stale) = Arrival::at(stored, burst, now_us);
                (State::Gcra(due), stale)
            }
        };
        Self { state, stale: is_stale, terms, now_us }
    }

    /// How many milliseconds until the cost fits: 0 now, [`NEVER`] never.
    #[inline]
    pub(crate) fn wait(&self, cost: u64) -> u64 {
        let Terms { quota, window, .. } = self.terms;
        if cost == 0 {
            return 0;
        }
        if cost > quota {
            return NEVER;
        }
        let now = self.now_us / 1000;
        match self.state {
            State::Fixed(open) => open.wait(cost, quota, window, now),
            State::Sliding(open) => open.wait(cost, quota, window, now),
            State::Gcra(due) => due.wait(cost, gcra::burst(quota, window), window, self.now_us),
        }
    }

    /// Counts `number` more, or less.
    #[inline]
    pub(crate) fn add(&mut self, number: i64) {
        let Terms { quota, window, .. } = self.terms;
        match &mut self.state {
            State::Fixed(open) => open.add(number),
            State::Sliding(open) => open.add(number),
            State::Gcra(due) => {
                let burst = gcra::burst(quota, window);
                due.add(number, burst, burst, window, self.now_us);
            }
        }
    }

    /// Counts so much more, or less, of what was counted in `window`, where that still counts here,
    /// by a counter that is kept for so long; whether it does. For windows that is the moment that
    /// one began, for GCRA the moment it was counted: what more it cost is owed as long as the
    /// counter is kept, and what less comes back within the time of a full burst, since after that
    /// all has come back.
    pub(crate) fn settle(&mut self, difference: i64, counted_in: u64, life_ms: u64) -> bool {
        let Terms { quota, window, .. } = self.terms;
        match &mut self.state {
            State::Fixed(Window { start, .. }) | State::Sliding(Windows { start, .. }) => {
                let same = *start == counted_in;
                if same {
                    self.add(difference);
                }
                same
            }
            State::Gcra(due) => {
                let burst = gcra::burst(quota, window);
                let most = gcra::most_owed(burst, life_ms);
                let passed = (self.now_us / 1000).saturating_sub(counted_in).saturating_mul(1000);
                let counts = passed < if difference > 0 { most } else { burst };
                if counts {
                    due.add(difference, burst, most, window, self.now_us);
                }
                counts
            }
        }
    }

    /// How many more fit.
    #[inline]
    pub(crate) fn remaining(&self) -> u64 {
        let Terms { quota, window, .. } = self.terms;
        let now = self.now_us / 1000;
        match self.state {
            State::Fixed(open) => open.remaining(quota),
            State::Sliding(open) => open.remaining(quota, window, now),
            State::Gcra(due) => due.remaining(gcra::burst(quota, window), window, self.now_us),
        }
    }

    /// In how many milliseconds there is nothing more to wait for: the end of the window, or a
    /// full burst.
    #[inline]
    pub(crate) fn resets_in(&self) -> u64 {
        let (window, now) = (self.terms.window, self.now_us / 1000);
        match self.state {
            State::Fixed(open) => open.resets_in(window, now),
            State::Sliding(open) => open.resets_in(window, now),
            State::Gcra(due) => due.resets_in(self.now_us),
        }
    }

    /// The moment from which nothing of it counts any more, in milliseconds since the Unix epoch.
    #[inline]
    pub(crate) fn ends(&self) -> u64 {
        match self.state {
            State::Fixed(Window { start, .. }) => start.saturating_add(self.terms.window),
            State::Sliding(Windows { start, .. }) => start.saturating_add(2 * self.terms.window),
            State::Gcra(Arrival { due, .. }) => due.div_ceil(1000),
        }
    }
}
