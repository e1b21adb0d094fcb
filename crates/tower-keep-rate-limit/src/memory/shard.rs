//! One shard of the memory store: a map with a place for each counter, so that a sample can be
//! drawn and a sweep can go on where it stopped.

use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexMap;

use crate::{
    algorithm::{Reading, State},
    store::Limit,
};

/// How many counters are compared to find the least used.
const SAMPLE: usize = 16;

/// One counter, as kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    state: State,
    ends: u64,
    /// How many were admitted that still count; [`AT_LIMIT`] if no more are.
    used: u64,
}

/// Nobody's place is worth more than that of one who is denied.
const AT_LIMIT: u64 = u64::MAX;

impl Counter {
    pub(super) fn new(reading: &Reading, limit: &Limit<'_>, remaining: u64) -> Self {
        let used = if remaining == 0 && !limit.shadow {
            AT_LIMIT
        } else {
            limit.terms().quota.saturating_sub(remaining)
        };
        Self { state: reading.state, ends: reading.ends(), used }
    }
}

/// The counters of some tenants, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Shard {
    counters: IndexMap<u128, Counter, BuildHasherDefault<Fingerprint>>,
    /// Where the next sweep goes on.
    cursor: usize,
    checks: usize,
    /// The state of a linear congruential generator; samples need no better.
    dice: u64,
}

impl Shard {
    /// A counter's place and state. It keeps its place until a counter is dropped.
    pub(super) fn find(&self, key: u128) -> Option<(usize, State)> {
        self.counters.get_full(&key).map(|(place, _, counter)| (place, counter.state))
    }

    /// Puts another counter in the place of one that was found.
    pub(super) fn replace(&mut self, place: usize, counter: Counter) {
        if let Some((_, kept)) = self.counters.get_index_mut(place) {
            *kept = counter;
        }
    }

    /// Forgets a counter, and says whether there was one.
    pub(super) fn remove(&mut self, key: u128) -> bool {
        self.counters.swap_remove(&key).is_some()
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        self.counters.contains_key(&key)
    }

    /// Keeps a counter, and says whether it is a new one.
    pub(super) fn put(&mut self, key: u128, counter: Counter) -> bool {
        self.counters.insert(key, counter).is_none()
    }

    /// Counts the checks; every so often says that it is time to visit another shard, and which
    /// turn it is.
    pub(super) fn tick(&mut self, every: usize) -> Option<usize> {
        self.checks = self.checks.wrapping_add(1);
        self.checks.is_multiple_of(every).then_some(self.checks / every)
    }

    /// Drops those of the next `batch` counters whose window has ended; says how many.
    pub(super) fn sweep(&mut self, now: u64, batch: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..batch.min(self.counters.len()) {
            let index = self.next();
            if self.counters.get_index(index).is_some_and(|(_, counter)| counter.ends <= now) {
                // The last counter takes this place, and is looked at next.
                self.counters.swap_remove_index(index);
                self.cursor = index;
                dropped += 1;
            }
        }
        // Give memory back once a flood is over.
        if dropped > 0 && self.counters.capacity() > 1024.max(8 * self.counters.len()) {
            self.counters.shrink_to(2 * self.counters.len());
        }
        dropped
    }

    /// Drops one counter: one whose window has ended, else the least used of a sample that is
    /// neither at its limit nor among `keep`. Where the sample holds none, looks on at up to
    /// `patience` counters. Says whether there was one.
    pub(super) fn evict(&mut self, now: u64, keep: &[u128], patience: usize) -> bool {
        let mut victim: Option<(usize, u64)> = None;
        for tried in 0..patience.max(SAMPLE) {
            if tried >= SAMPLE && victim.is_some() {
                break;
            }
            let index = self.throw();
            let Some((key, counter)) = self.counters.get_index(index) else { break };
            if keep.contains(key) {
                continue;
            }
            if counter.ends <= now {
                victim = Some((index, 0));
                break;
            }
            if counter.used != AT_LIMIT && victim.is_none_or(|(_, used)| counter.used < used) {
                victim = Some((index, counter.used));
            }
        }
        victim.is_some_and(|(index, _)| self.counters.swap_remove_index(index).is_some())
    }

    /// A place by chance.
    fn throw(&mut self) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let places = self.counters.len().max(1) as u64;
        usize::try_from((self.dice >> 33) % places).unwrap_or_default()
    }

    /// The next place of the round.
    fn next(&mut self) -> usize {
        let index = if self.cursor < self.counters.len() { self.cursor } else { 0 };
        self.cursor = index + 1;
        index
    }
}

/// Fingerprints are hashes already.
#[derive(Debug, Default)]
pub(super) struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a good hash is a good hash")]
    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}
