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

    /// When it came into its state.
    pub(crate) fn since(&self) -> Instant {
        self.lock().since
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
mod tests;
