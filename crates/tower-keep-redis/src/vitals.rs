//! What a connection notes of itself on the way, cheap enough for every command.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tower_keep_core::StoreError;

use crate::{error::Failure, health::ServerInfo};

/// Time between two log lines on a server that answers but refuses.
const COMPLAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Vitals {
    /// In nanoseconds; 0 before the first answer.
    latency: AtomicU64,
    pub(crate) openings: Counter,
    pub(crate) reconnects: Counter,
    pub(crate) replacements: Counter,
    last_error: Mutex<Option<(StoreError, Instant)>>,
    /// Why connecting fails; forgotten once it succeeds.
    trouble: Mutex<Option<Failure>>,
    server: Mutex<Option<ServerInfo>>,
    /// Whether the server is to be asked what it is.
    stranger: AtomicBool,
    /// When fred last told of its connections.
    heard: Mutex<Instant>,
    /// When a refusal was last logged.
    complained: Mutex<Option<Instant>>,
}

/// How often something happened.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Vitals {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            latency: AtomicU64::new(0),
            openings: Counter::default(),
            reconnects: Counter::default(),
            replacements: Counter::default(),
            last_error: Mutex::default(),
            trouble: Mutex::default(),
            server: Mutex::default(),
            stranger: AtomicBool::new(true),
            heard: Mutex::new(now),
            complained: Mutex::default(),
        }
    }

    /// The server answered.
    pub(crate) fn answered(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.latency.store(nanos.max(1), Ordering::Relaxed);
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        let nanos = self.latency.load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn failed(&self, failure: &Failure, now: Instant) {
        *lock(&self.last_error) = Some((failure.error().clone(), now));
    }

    /// What went wrong last, and when.
    pub(crate) fn last_error(&self) -> Option<(StoreError, Instant)> {
        let last = lock(&self.last_error).clone()?;
        // While it cannot connect, why not says more than that a command found it so.
        let error = self.trouble().map(Failure::into_error);
        Some((error.unwrap_or(last.0), last.1))
    }

    pub(crate) fn set_trouble(&self, failure: Option<Failure>) {
        *lock(&self.trouble) = failure;
    }

    pub(crate) fn trouble(&self) -> Option<Failure> {
        lock(&self.trouble).clone()
    }

    /// Whether to ask the server now what it is; says so once per stranger.
    pub(crate) fn take_stranger(&self) -> bool {
        self.stranger.load(Ordering::Relaxed) && self.stranger.swap(false, Ordering::Relaxed)
    }

    /// There may be another server at the other end.
    pub(crate) fn meet_stranger(&self) {
        self.stranger.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_server(&self, server: Option<ServerInfo>) {
        *lock(&self.server) = server;
    }

    pub(crate) fn server(&self) -> Option<ServerInfo> {
        lock(&self.server).clone()
    }

    /// Whether to log a refusal now: the first one, and one a minute after that.
    pub(crate) fn may_complain(&self, now: Instant) -> bool {
        let mut complained = lock(&self.complained);
        let may = complained.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAIN);
        if may {
            *complained = Some(now);
        }
        may
    }

    pub(crate) fn hear(&self, now: Instant) {
        *lock(&self.heard) = now;
    }

    pub(crate) fn heard(&self) -> Instant {
        *lock(&self.heard)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_complained_of_once_a_minute() {
        let start = Instant::now();
        let vitals = Vitals::new(start);
        let at = |seconds| vitals.may_complain(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 59, 60, 61, 119, 120].map(at),
            [true, false, false, true, false, false, true]
        );
    }
}
