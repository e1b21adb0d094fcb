//! Counters in this process: bounded, expiring, never evicting somebody who is over a limit.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrayvec::ArrayVec;
use tower_keep_core::{
    Answer, StoreError,
    key::{BlockKey, CounterKey},
    time::Clock,
};

use crate::{
    algorithm::{Algorithm, Reading, Terms},
    store::{Limit, LimitStore, MAX_LIMITS, Settlement, Standing, Verdict},
};

mod blocks;
mod fingerprint;
mod shard;

use self::{
    blocks::Blocks,
    fingerprint::Secret,
    shard::{Counter, Shard},
};

/// Counters kept unless told otherwise: about 130 MiB when full.
const DEFAULT_CAPACITY: usize = 1_000_000;
const SHARDS: usize = 64;
/// How many counters of a caller's own shard are tried before another shard is asked for room.
const PATIENCE: usize = 128;
/// For how many milliseconds, and more, what the clock showed lately may be over.
const JUST_NOW: u64 = 100;
/// How many checks of a shard pass between two visits to another that may lie idle.
const VISIT_EVERY: usize = 64;

/// Counts in this process, by the same law as the Redis store.
///
/// A tenant's counters lie in one shard under one lock, so that a check over several limits is
/// atomic. Counters whose window has ended are swept as others come. At the capacity a newcomer
/// takes the place of a counter whose window has ended, or of the least used of a sample, from
/// its own tenant's shard first; never of one that is at its limit. Where every counter is at its
/// limit the check is refused, which the layer treats as a failed store.
///
/// ```
/// use std::sync::Arc;
/// use tower_keep_rate_limit::{MemoryStore, RateLimitLayer, Rule};
///
/// let store = Arc::new(MemoryStore::new().with_capacity(10_000));
/// let layer = RateLimitLayer::builder()
///     .store(store)
///     .rule(Rule::per_address(100, std::time::Duration::from_secs(60)))
///     .build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    blocks: Blocks,
    secret: Secret,
    clock: Clock,
    capacity: usize,
    counters: AtomicUsize,
}

impl MemoryStore {
    /// An empty store for up to a million counters.
    pub fn new() -> Self {
        let random = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            blocks: Blocks::default(),
            secret: Secret::new(random.hash_one(0_u8), random.hash_one(1_u8)),
            clock: Clock::system(),
            capacity: DEFAULT_CAPACITY,
            counters: AtomicUsize::new(0),
        }
    }

    /// Keeps at most `counters` counters (at least as many as one check needs).
    #[must_use]
    pub fn with_capacity(mut self, counters: usize) -> Self {
        self.capacity = counters.max(MAX_LIMITS);
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How many counters are kept now.
    pub fn len(&self) -> usize {
        self.counters.load(Ordering::Relaxed)
    }

    /// Whether no counter is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks, and fills in a verdict that was [made](Verdict::default) without any. In place: a
    /// verdict is large.
    pub(crate) fn decide(
        &self,
        limits: &[Limit<'_>],
        blocks: &[BlockKey<'_>],
        verdict: &mut Verdict,
    ) -> Result<(), StoreError> {
        let now = self.clock.now().0;
        let first = limits.first().filter(|_| limits.len() <= MAX_LIMITS);
        // Other numbers are a caller's bug; no limit is silently left out.
        let Some(first) = first else {
            return Err(StoreError::refused("a check has 1 to 8 limits"));
        };
        let blocked_ms = self.blocked(blocks, now);
        let tenant = self.secret.tenant(first.key.tenant);
        let keys: ArrayVec<u128, MAX_LIMITS> =
            limits.iter().map(|limit| tenant.counter(&limit.key)).collect();
        let home = tenant.sixty_fourth();
        let mut shard = self.lock(home);
        let mut allowed = blocked_ms == 0;
        let mut asked = ArrayVec::<Asked<'_, '_>, MAX_LIMITS>::new();
        asked.extend(limits.iter().zip(&keys).map(|(limit, key)| {
            let (place, stored) = shard.find(*key).unzip();
            let reading = Reading::of(stored, limit.terms(), now * 1000);
            let wait_ms = reading.wait(limit.cost);
            allowed &= limit.shadow || wait_ms == 0;
            Asked { limit, key: *key, place, reading, wait_ms }
        }));
        // Making room drops counters, and new ones move the others.
        let counts = |asked: &Asked<'_, '_>| allowed && asked.wait_ms == 0 && asked.limit.cost > 0;
        let moves = asked.iter().any(|asked| asked.place.is_none() && counts(asked));
        let reserved = if moves {
            let wanted = asked.iter().filter(|asked| counts(asked)).map(|asked| asked.key);
            let wanted: ArrayVec<u128, MAX_LIMITS> = wanted.collect();
            self.make_room(&mut shard, home, &wanted, now)?
        } else {
            0
        };
        let mut added = 0;
        for asked in &mut asked {
            let admitted = counts(asked);
            let Asked { limit, key, place, reading, wait_ms } = asked;
            if admitted {
                reading.add(limit.cost.try_into().unwrap_or(i64::MAX));
            }
            let remaining = reading.remaining();
            // What is stale is there already; nothing new comes in by a denial.
            if admitted || (reading.stale && place.is_some()) {
                let counter = Counter::new(reading, limit, remaining);
                match place.filter(|_| !moves) {
                    Some(place) => shard.replace(place, counter),
                    // One that is only stale may have made room.
                    None if admitted || shard.contains(*key) => {
                        added += usize::from(shard.put(*key, counter));
                    }
                    None => {}
                }
            }
            let (resets_in_ms, wait_ms) = (reading.resets_in(), *wait_ms);
            verdict.limits.push(Standing { remaining, resets_in_ms, wait_ms });
        }
        let swept = if added > 0 { shard.sweep(now, 8) } else { 0 };
        let visit = shard.tick(VISIT_EVERY);
        drop(shard);
        self.forget(swept + reserved - added);
        if let Some(turn) = visit {
            self.visit_idle_shard(home.wrapping_add(turn) % SHARDS, now);
        }
        verdict.allowed = allowed;
        verdict.blocked_ms = blocked_ms;
        verdict.at_ms = now;
        Ok(())
    }

    /// Counts one request against the one limit there is, where that takes no more than to add to
    /// a counter that is there. Else nothing is done, and [`decide`](Self::decide) has to be asked.
    #[inline]
    pub(crate) fn count_one(&self, key: &CounterKey<'_>, terms: Terms) -> Option<Standing> {
        if !self.blocks.is_empty() {
            return None;
        }
        let tenant = self.secret.tenant(key.tenant);
        let fingerprint = tenant.counter(key);
        let home = tenant.sixty_fourth();
        let lately = self.clock.lately().0;
        let mut shard = self.lock(home);
        let counter = shard.get_mut(fingerprint)?;
        // Where it makes no difference, it is still the moment that it just was.
        let certain = counter.is_open_from(lately, lately + JUST_NOW);
        let now = if certain { lately } else { self.clock.now().0 };
        let standing = counter.count_one(terms, now)?;
        let visit = shard.tick(VISIT_EVERY);
        drop(shard);
        if let Some(turn) = visit {
            self.visit_idle_shard(home.wrapping_add(turn) % SHARDS, now);
        }
        Some(standing)
    }

    /// Corrects a counter, if its window is still the one that was counted in.
    fn correct(&self, settlement: &Settlement<'_>) {
        let Settlement { limit, difference, window } = settlement;
        let now = self.clock.now().0;
        let tenant = self.secret.tenant(limit.key.tenant);
        let (key, home) = (tenant.counter(&limit.key), tenant.sixty_fourth());
        let mut shard = self.lock(home);
        let stored = shard.find(key).map(|(_, state)| state);
        // A window that is not there counts nothing that could be corrected. GCRA's counter is
        // forgotten as soon as all is due, and a late cost is owed nevertheless.
        if stored.is_none() && limit.algorithm != Algorithm::Gcra {
            return;
        }
        let mut reading = Reading::of(stored, limit.terms(), now * 1000);
        if !reading.settle(*difference, *window, limit.life_ms) {
            return;
        }
        // A store that is full forgives.
        let Ok(reserved) = self.make_room(&mut shard, home, &[key], now) else { return };
        let remaining = reading.remaining();
        let added = usize::from(shard.put(key, Counter::new(&reading, limit, remaining)));
        drop(shard);
        self.forget(reserved - added);
    }

    /// For how many milliseconds these callers are blocked from now on; 0 if they are not.
    pub(crate) fn blocked_for(&self, blocks: &[BlockKey<'_>]) -> u64 {
        if self.blocks.is_empty() { 0 } else { self.blocked(blocks, self.clock.now().0) }
    }

    /// For how long the first of these callers that is blocked still is.
    fn blocked(&self, blocks: &[BlockKey<'_>], now: u64) -> u64 {
        if self.blocks.is_empty() {
            return 0;
        }
        let longest = blocks
            .iter()
            .map(|key| self.blocks.left(self.secret.tenant(key.tenant).block(key), now))
            .max();
        longest.unwrap_or_default()
    }

    /// Reserves places for those of `keys` that have none yet, and says how many.
    fn make_room(
        &self,
        shard: &mut Shard,
        home: usize,
        keys: &[u128],
        now: u64,
    ) -> Result<usize, StoreError> {
        let needed = keys.iter().filter(|key| !shard.contains(**key)).count();
        if needed == 0 {
            return Ok(0);
        }
        let before = self.counters.fetch_add(needed, Ordering::Relaxed);
        let mut excess = (before + needed).saturating_sub(self.capacity).min(needed);
        while excess > 0 && shard.evict(now, keys, PATIENCE) {
            self.counters.fetch_sub(1, Ordering::Relaxed);
            excess -= 1;
        }
        // The other shards, without waiting for any: two checks must not wait for each other.
        let others = self.shards.iter().cycle().skip(home + 1).take(SHARDS - 1);
        for other in others {
            if excess == 0 {
                return Ok(needed);
            }
            let Ok(mut other) = other.try_lock() else { continue };
            while excess > 0 && other.evict(now, &[], 0) {
                self.counters.fetch_sub(1, Ordering::Relaxed);
                excess -= 1;
            }
        }
        if excess == 0 {
            return Ok(needed);
        }
        self.forget(needed);
        Err(StoreError::refused("the memory limiter is full of counters at their limit"))
    }

    /// Sweeps some of a shard that perhaps nobody asks any more.
    fn visit_idle_shard(&self, index: usize, now: u64) {
        if let Some(Ok(mut shard)) = self.shards.get(index).map(Mutex::try_lock) {
            let swept = shard.sweep(now, 4 * VISIT_EVERY);
            drop(shard);
            self.forget(swept);
        }
    }

    /// Takes dropped counters off the number kept. Nearly always none: the number is shared by
    /// all shards, and left alone then.
    fn forget(&self, counters: usize) {
        if counters > 0 {
            self.counters.fetch_sub(counters, Ordering::Relaxed);
        }
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "`home` is below the number of shards")]
        let shard = &self.shards[index];
        // A panic elsewhere cannot leave a counter half written.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limit of a check, with its counter as it stands before.
struct Asked<'a, 'k> {
    limit: &'a Limit<'k>,
    key: u128,
    place: Option<usize>,
    reading: Reading,
    wait_ms: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("counters", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl LimitStore for MemoryStore {
    fn check(
        &self,
        limits: &[Limit<'_>],
        blocks: &[BlockKey<'_>],
    ) -> Answer<Result<Verdict, StoreError>> {
        let mut verdict = Verdict::default();
        Answer::ready(self.decide(limits, blocks, &mut verdict).map(|()| verdict))
    }

    fn settle(&self, settlements: &[Settlement<'_>]) -> Answer<Result<(), StoreError>> {
        for settlement in settlements {
            self.correct(settlement);
        }
        Answer::ready(Ok(()))
    }

    fn reset(&self, keys: &[CounterKey<'_>]) -> Answer<Result<(), StoreError>> {
        for key in keys {
            let tenant = self.secret.tenant(key.tenant);
            let removed = self.lock(tenant.sixty_fourth()).remove(tenant.counter(key));
            self.forget(usize::from(removed));
        }
        Answer::ready(Ok(()))
    }

    fn block(&self, key: BlockKey<'_>, for_ms: u64) -> Answer<Result<(), StoreError>> {
        let caller = self.secret.tenant(key.tenant).block(&key);
        self.blocks.set(caller, self.clock.now().0, for_ms);
        Answer::ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
