//! Whether commands may go out. A pure state machine: it is told what happened and what time it
//! is, and keeps no clock, no task and no connection.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// Time between two probes, before jitter.
const PROBE: Duration = Duration::from_millis(100);
/// Opened again this soon after it closed, it probes half as often, down to a quarter.
const FLAPPING: Duration = Duration::from_secs(5);
const SLOWEST: u32 = 2;

/// What is known about the connection, without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// The first attempt to connect is under way; commands are refused meanwhile.
    Connecting,
    /// Commands are sent.
    Up,
    /// It does not answer; commands are refused until a probe is answered.
    Down,
}

/// Leave to send one command, and when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// The state went from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: ConnectionState,
    pub(crate) to: ConnectionState,
    /// How long `from` was.
    pub(crate) lasted: Duration,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    /// The state in the low two bits, above them how often it changed. A ticket is this value, so
    /// that a command sent before a change says nothing about the time after it.
    phase: AtomicU64,
    failures: AtomicU32,
    slow: Mutex<Slow>,
}

/// Touched only when the state changes.
#[derive(Debug)]
struct Slow {
    since: Instant,
    /// How often it opened soon after closing.
    flaps: u32,
}

impl Breaker {
    pub(crate) fn new(state: ConnectionState, now: Instant) -> Self {
        Self {
            phase: AtomicU64::new(bits(state)),
            failures: AtomicU32::new(0),
            slow: Mutex::new(Slow { since: now, flaps: 0 }),
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        state(self.phase.load(Ordering::Acquire))
    }

    /// Leave to send a command now, if commands may go out.
    pub(crate) fn admit(&self) -> Option<Ticket> {
        let phase = self.phase.load(Ordering::Acquire);
        (state(phase) == ConnectionState::Up).then_some(Ticket(phase))
    }

    /// A command was answered.
    pub(crate) fn succeeded(&self, ticket: Ticket) {
        // Nearly always zero already: read, to leave the cache line alone.
        if self.failures.load(Ordering::Relaxed) != 0 && self.holds(ticket) {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A command failed in a way that speaks against the connection.
    pub(crate) fn failed(&self, ticket: Ticket, now: Instant) -> Option<Change> {
        if !self.holds(ticket) || self.failures.fetch_add(1, Ordering::AcqRel) + 1 < FAILURES {
            return None;
        }
        let slow = self.lock();
        if self.holds(ticket) { Some(self.change(slow, ConnectionState::Down, now)) } else { None }
    }

    /// The connection is known to be gone.
    pub(crate) fn open(&self, now: Instant) -> Option<Change> {
        let slow = self.lock();
        if self.state() == ConnectionState::Down {
            return None;
        }
        Some(self.change(slow, ConnectionState::Down, now))
    }

    /// A probe was answered.
    pub(crate) fn close(&self, now: Instant) -> Option<Change> {
        let slow = self.lock();
        if self.state() == ConnectionState::Up {
            return None;
        }
        Some(self.change(slow, ConnectionState::Up, now))
    }

    /// How long to wait before the next probe; `random` spreads it by half in both directions.
    pub(crate) fn probe_delay(&self, random: u64) -> Duration {
        let base = PROBE * (1 << self.lock().flaps.min(SLOWEST));
        let millis = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis / 2 + random % (millis + 1))
    }

    fn holds(&self, ticket: Ticket) -> bool {
        self.phase.load(Ordering::Acquire) == ticket.0
    }

    fn change(&self, mut slow: MutexGuard<'_, Slow>, to: ConnectionState, now: Instant) -> Change {
        let phase = self.phase.load(Ordering::Acquire);
        let (from, lasted) = (state(phase), now.saturating_duration_since(slow.since));
        if from == ConnectionState::Up {
            slow.flaps = if lasted < FLAPPING { slow.flaps.saturating_add(1) } else { 0 };
        }
        slow.since = now;
        self.failures.store(0, Ordering::Release);
        let count = (phase >> 2).wrapping_add(1);
        self.phase.store((count << 2) | bits(to), Ordering::Release);
        Change { from, to, lasted }
    }

    fn lock(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn bits(state: ConnectionState) -> u64 {
    match state {
        ConnectionState::Connecting => 0,
        ConnectionState::Up => 1,
        ConnectionState::Down => 2,
    }
}

const fn state(phase: u64) -> ConnectionState {
    match phase & 3 {
        0 => ConnectionState::Connecting,
        1 => ConnectionState::Up,
        _ => ConnectionState::Down,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ConnectionState::*, *};

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn nothing_goes_out_before_the_first_answer() {
        let start = Instant::now();
        let breaker = Breaker::new(Connecting, start);
        assert_eq!(breaker.admit(), None);
        let change = breaker.close(at(start, 7)).unwrap();
        assert_eq!(change, Change { from: Connecting, to: Up, lasted: Duration::from_millis(7) });
        assert!(breaker.admit().is_some());
        assert_eq!(breaker.close(at(start, 8)), None);
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let start = Instant::now();
        let breaker = Breaker::new(Up, start);
        let ticket = breaker.admit().unwrap();
        for _ in 0..4 {
            assert_eq!(breaker.failed(ticket, start), None);
        }
        breaker.succeeded(ticket);
        for _ in 0..4 {
            assert_eq!(breaker.failed(ticket, start), None);
        }
        let change = breaker.failed(ticket, at(start, 9)).unwrap();
        assert_eq!(change, Change { from: Up, to: Down, lasted: Duration::from_millis(9) });
        assert_eq!(breaker.admit(), None);
        assert_eq!(breaker.open(start), None);
    }

    #[test]
    fn late_failures_of_the_outage_do_not_open_it_again() {
        let start = Instant::now();
        let breaker = Breaker::new(Up, start);
        let old = breaker.admit().unwrap();
        breaker.open(start).unwrap();
        breaker.close(start).unwrap();
        for _ in 0..100 {
            assert_eq!(breaker.failed(old, start), None);
        }
        assert_eq!(breaker.state(), Up);
    }

    #[test]
    fn flapping_slows_the_probes_and_never_beyond_600_ms() {
        let start = Instant::now();
        let breaker = Breaker::new(Up, start);
        let longest = |breaker: &Breaker| {
            (0..2000).map(|random| breaker.probe_delay(random)).max().unwrap().as_millis()
        };
        breaker.open(at(start, 60_000)).unwrap();
        assert_eq!(longest(&breaker), 150);
        for (cycle, expected) in [(1, 300), (2, 600), (3, 600), (4, 600)] {
            breaker.close(at(start, 60_000 + cycle * 1000)).unwrap();
            breaker.open(at(start, 60_000 + cycle * 1000 + 500)).unwrap();
            assert_eq!(longest(&breaker), expected);
        }
        breaker.close(at(start, 70_000)).unwrap();
        breaker.open(at(start, 76_000)).unwrap();
        assert_eq!(longest(&breaker), 150);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Success,
        Failure,
        Late,
        Open,
        Close,
    }

    proptest! {
        /// Against a model without atomics: a counter and a flag.
        #[test]
        fn it_is_the_model(events in prop::collection::vec(
            prop_oneof![
                4 => Just(Event::Failure), 1 => Just(Event::Success), 1 => Just(Event::Late),
                1 => Just(Event::Open), 2 => Just(Event::Close),
            ], 0..200)) {
            let start = Instant::now();
            let breaker = Breaker::new(Up, start);
            let (mut up, mut failures, mut stale) = (true, 0, None);
            for event in events {
                let ticket = breaker.admit();
                prop_assert_eq!(ticket.is_some(), up);
                match (event, ticket) {
                    (Event::Success, Some(ticket)) => {
                        breaker.succeeded(ticket);
                        failures = 0;
                    }
                    (Event::Failure, Some(ticket)) => {
                        failures += 1;
                        let opened = breaker.failed(ticket, start).is_some();
                        prop_assert_eq!(opened, failures == 5);
                        if opened {
                            (up, failures, stale) = (false, 0, Some(ticket));
                        }
                    }
                    (Event::Late, _) => {
                        if let Some(stale) = stale {
                            prop_assert_eq!(breaker.failed(stale, start), None);
                            breaker.succeeded(stale);
                        }
                    }
                    (Event::Open, _) => {
                        prop_assert_eq!(breaker.open(start).is_some(), up);
                        if let (true, Some(ticket)) = (up, ticket) {
                            stale = Some(ticket);
                        }
                        (up, failures) = (false, 0);
                    }
                    (Event::Close, _) => {
                        prop_assert_eq!(breaker.close(start).is_some(), !up);
                        failures = if up { failures } else { 0 };
                        up = true;
                    }
                    (Event::Success | Event::Failure, None) => {}
                }
            }
        }
    }
}
