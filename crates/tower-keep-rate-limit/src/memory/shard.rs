//! One shard of the memory store: a table that can be looked at place by place, so that a sample
//! can be drawn and a sweep can go on where it stopped.

use hashbrown::{HashTable, hash_table::OccupiedEntry};

use crate::{
    algorithm::{Reading, State, Terms, fixed_window::Window},
    store::{Limit, Standing},
};

/// How many counters are compared to find the least used.
const SAMPLE: usize = 16;

/// One counter, as kept: a line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Kept {
    key: u128,
    counter: Counter,
}

const _: () = assert!(size_of::<Kept>() == 64);

/// How a counter stands.
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
    #[inline]
    pub(super) fn new(reading: &Reading, limit: &Limit<'_>, remaining: u64) -> Self {
        Self::of(reading, limit.shadow, remaining)
    }

    #[inline]
    fn of(reading: &Reading, shadow: bool, remaining: u64) -> Self {
        let used = if remaining == 0 && !shadow {
            AT_LIMIT
        } else {
            reading.terms.quota.saturating_sub(remaining)
        };
        Self { state: reading.state, ends: reading.ends(), used }
    }

    /// Whether it is a fixed window that was open at the one moment and still is at the other.
    #[inline]
    pub(super) const fn is_open_from(&self, from: u64, to: u64) -> bool {
        matches!(self.state, State::Fixed(Window { start, .. }) if start <= from) && to < self.ends
    }

    /// Counts one more, if it fits.
    #[inline]
    pub(super) fn count_one(&mut self, terms: Terms, now: u64) -> Option<Standing> {
        let mut reading = Reading::of(Some(self.state), terms, now * 1000);
        if reading.wait(1) > 0 {
            return None;
        }
        reading.add(1);
        let remaining = reading.remaining();
        *self = Self::of(&reading, false, remaining);
        Some(Standing { remaining, resets_in_ms: reading.resets_in(), wait_ms: 0 })
    }
}

/// The counters of some tenants, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Shard {
    counters: HashTable<Kept>,
    /// Where the next sweep goes on.
    cursor: usize,
    checks: usize,
    /// The state of a linear congruential generator; samples need no better.
    dice: u64,
}

/// Fingerprints are hashes already, and half of a good hash is a good hash.
#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
const fn hash(key: u128) -> u64 {
    key as u64
}

impl Shard {
    /// A counter's place and state. It keeps its place until others are put in or dropped.
    #[inline]
    pub(super) fn find(&self, key: u128) -> Option<(usize, State)> {
        let place = self.counters.find_bucket_index(hash(key), |kept| kept.key == key)?;
        self.counters.get_bucket(place).map(|kept| (place, kept.counter.state))
    }

    /// A counter, where it lies.
    #[inline]
    pub(super) fn get_mut(&mut self, key: u128) -> Option<&mut Counter> {
        let found = self.counters.find_mut(hash(key), |kept| kept.key == key);
        found.map(|kept| &mut kept.counter)
    }

    /// Puts another counter in the place of one that was found.
    #[inline]
    pub(super) fn replace(&mut self, place: usize, counter: Counter) {
        if let Some(kept) = self.counters.get_bucket_mut(place) {
            kept.counter = counter;
        }
    }

    /// Forgets a counter, and says whether there was one.
    pub(super) fn remove(&mut self, key: u128) -> bool {
        let found = self.counters.find_entry(hash(key), |kept| kept.key == key);
        found.map(OccupiedEntry::remove).is_ok()
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        self.find(key).is_some()
    }

    /// Keeps a counter, and says whether it is a new one.
    pub(super) fn put(&mut self, key: u128, counter: Counter) -> bool {
        if let Some(kept) = self.counters.find_mut(hash(key), |kept| kept.key == key) {
            kept.counter = counter;
            return false;
        }
        self.counters.insert_unique(hash(key), Kept { key, counter }, |kept| hash(kept.key));
        true
    }

    /// Counts the checks; every so often says that it is time to visit another shard, and which
    /// turn it is.
    #[inline]
    pub(super) const fn tick(&mut self, every: usize) -> Option<usize> {
        self.checks = self.checks.wrapping_add(1);
        if self.checks.is_multiple_of(every) { Some(self.checks / every) } else { None }
    }

    /// Drops those counters in the next `batch` places whose window has ended; says how many.
    pub(super) fn sweep(&mut self, now: u64, batch: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..batch.min(self.counters.num_buckets()) {
            let place = self.next();
            let has_ended = |kept: &Kept| kept.counter.ends <= now;
            if self.counters.get_bucket(place).is_some_and(has_ended) {
                dropped += usize::from(self.remove_at(place));
            }
        }
        // Give memory back once a flood is over.
        let (most, now) = (self.counters.capacity(), self.counters.len());
        if dropped > 0 && most > 1024.max(8 * now) {
            self.counters.shrink_to(2 * now, |kept| hash(kept.key));
        }
        dropped
    }

    /// Drops one counter: one whose window has ended, else the least used of a sample that is
    /// neither at its limit nor among `keep`. Where the sample holds none, looks on at up to
    /// `patience` counters. Says whether there was one.
    pub(super) fn evict(&mut self, now: u64, keep: &[u128], patience: usize) -> bool {
        // Neighbours are no relatives, so a sample may lie in a row.
        let start = self.throw();
        let places = self.counters.num_buckets();
        let row = (start..places).chain(0..start);
        let mut victim: Option<(usize, u64)> = None;
        let mut tried = 0;
        for place in row {
            if tried >= patience.max(SAMPLE) || (tried >= SAMPLE && victim.is_some()) {
                break;
            }
            let Some(Kept { key, counter }) = self.counters.get_bucket(place) else { continue };
            tried += 1;
            if keep.contains(key) {
                continue;
            }
            if counter.ends <= now {
                victim = Some((place, 0));
                break;
            }
            if counter.used != AT_LIMIT && victim.is_none_or(|(_, used)| counter.used < used) {
                victim = Some((place, counter.used));
            }
        }
        victim.is_some_and(|(place, _)| self.remove_at(place))
    }

    fn remove_at(&mut self, place: usize) -> bool {
        self.counters.get_bucket_entry(place).map(OccupiedEntry::remove).is_ok()
    }

    /// A place by chance.
    fn throw(&mut self) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let places = self.counters.num_buckets().max(1) as u64;
        usize::try_from((self.dice >> 33) % places).unwrap_or_default()
    }

    /// The next place of the round.
    fn next(&mut self) -> usize {
        let place = if self.cursor < self.counters.num_buckets() { self.cursor } else { 0 };
        self.cursor = place + 1;
        place
    }
}
