//! Counters in this process: bounded, expiring, never evicting somebody who is over a limit.

use std::{
    fmt,
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrayvec::ArrayVec;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tower_keep_core::{
    Answer, StoreError, TenantId,
    key::{BlockKey, CounterKey},
    time::Clock,
};

use crate::{
    algorithm::{Algorithm, Reading},
    store::{Limit, LimitStore, MAX_LIMITS, Settlement, Standing, Verdict},
};

mod blocks;
mod shard;

use self::{
    blocks::Blocks,
    shard::{Counter, Shard},
};

/// Counters kept unless told otherwise: about 100 MiB when full.
const DEFAULT_CAPACITY: usize = 1_000_000;
const SHARDS: usize = 64;
/// How many counters of a caller's own shard are tried before another shard is asked for room.
const PATIENCE: usize = 128;
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
    secret: (u64, u64),
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
            // Callers choose parts of the keys; a secret keeps them from choosing collisions.
            secret: (random.hash_one(0_u8), random.hash_one(1_u8)),
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

    fn decide(&self, limits: &[Limit<'_>], blocks: &[BlockKey<'_>]) -> Result<Verdict, StoreError> {
        let now = self.clock.now().0;
        let first = limits.first().filter(|_| limits.len() <= MAX_LIMITS);
        // Other numbers are a caller's bug; no limit is silently left out.
        let Some(first) = first else {
            return Err(StoreError::refused("a check has 1 to 8 limits"));
        };
        let blocked_ms = self.blocked(blocks, now);
        let tenant = self.tenant(first.key.tenant);
        let fingerprints: ArrayVec<u128, MAX_LIMITS> =
            limits.iter().map(|limit| tenant.fingerprint(&limit.key)).collect();
        let home = tenant.home();
        let mut shard = self.lock(home);
        let mut readings = ArrayVec::<Found, MAX_LIMITS>::new();
        for (limit, key) in limits.iter().zip(&fingerprints) {
            let (place, stored) = shard.find(*key).unzip();
            let reading = Reading::of(stored, limit.terms(), now * 1000);
            readings.push(Found { reading, place, wait_ms: reading.wait(limit.cost) });
        }
        let fits =
            limits.iter().zip(&readings).all(|(limit, found)| limit.shadow || found.wait_ms == 0);
        let allowed = fits && blocked_ms == 0;
        let counts =
            |limit: &Limit<'_>, found: &Found| allowed && found.wait_ms == 0 && limit.cost > 0;
        // Making room drops counters, and so moves others to other places.
        let asked = || limits.iter().zip(&fingerprints).zip(&readings);
        let moves =
            asked().any(|((limit, _), found)| counts(limit, found) && found.place.is_none());
        let reserved = if moves {
            let wanted: ArrayVec<u128, MAX_LIMITS> = asked()
                .filter_map(|((limit, key), found)| counts(limit, found).then_some(*key))
                .collect();
            self.make_room(&mut shard, home, &wanted, now)?
        } else {
            0
        };
        let mut added = 0;
        let mut standings = ArrayVec::new();
        for ((limit, key), found) in limits.iter().zip(&fingerprints).zip(&mut readings) {
            let admitted = counts(limit, found);
            let Found { reading, place, wait_ms } = found;
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
                    None if admitted || shard.find(*key).is_some() => {
                        added += usize::from(shard.put(*key, counter));
                    }
                    None => {}
                }
            }
            let (resets_in_ms, wait_ms) = (reading.resets_in(), *wait_ms);
            standings.push(Standing { remaining, resets_in_ms, wait_ms });
        }
        let swept = if added > 0 { shard.sweep(now, 4) } else { 0 };
        let visit = shard.tick(VISIT_EVERY);
        drop(shard);
        self.forget(swept + reserved - added);
        if let Some(turn) = visit {
            self.visit_idle_shard(home.wrapping_add(turn) % SHARDS, now);
        }
        Ok(Verdict { allowed, blocked_ms, known: false, at_ms: now, limits: standings })
    }

    /// Corrects a counter, if its window is still the one that was counted in.
    fn correct(&self, settlement: &Settlement<'_>) {
        let Settlement { limit, difference, window } = settlement;
        let now = self.clock.now().0;
        let tenant = self.tenant(limit.key.tenant);
        let (key, home) = (tenant.fingerprint(&limit.key), tenant.home());
        let mut shard = self.lock(home);
        let stored = shard.find(key).map(|(_, state)| state);
        // A window that is not there counts nothing that could be corrected. GCRA's counter is
        // forgotten as soon as all is due, and a late cost is owed nevertheless.
        if stored.is_none() && limit.algorithm != Algorithm::Gcra {
            return;
        }
        let mut reading = Reading::of(stored, limit.terms(), now * 1000);
        if !reading.is_in(*window) {
            return;
        }
        // A store that is full forgives.
        let Ok(reserved) = self.make_room(&mut shard, home, &[key], now) else { return };
        reading.add(*difference);
        let remaining = reading.remaining();
        let added = usize::from(shard.put(key, Counter::new(&reading, limit, remaining)));
        drop(shard);
        self.forget(reserved - added);
    }

    /// For how long the first of these callers that is blocked still is.
    fn blocked(&self, blocks: &[BlockKey<'_>], now: u64) -> u64 {
        if self.blocks.is_empty() {
            return 0;
        }
        let longest = blocks.iter().map(|key| self.blocks.left(self.caller(key), now)).max();
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

    fn hasher(&self) -> KeyHasher {
        KeyHasher(SipHasher13::new_with_keys(self.secret.0, self.secret.1))
    }

    fn tenant(&self, tenant: &TenantId) -> Tenant {
        let mut hasher = self.hasher();
        tenant.hash(&mut hasher);
        Tenant(hasher)
    }

    fn caller(&self, key: &BlockKey<'_>) -> u128 {
        let mut hasher = self.hasher();
        key.hash(&mut hasher);
        hasher.0.finish128().as_u128()
    }
}

/// A limit's counter, as it stands before the check.
struct Found {
    reading: Reading,
    place: Option<usize>,
    wait_ms: u64,
}

/// A tenant, hashed once for all its counters.
struct Tenant(KeyHasher);

impl Tenant {
    /// The shard of its counters.
    fn home(&self) -> usize {
        usize::try_from(self.0.finish() % SHARDS as u64).unwrap_or_default()
    }

    /// One of its counters.
    fn fingerprint(&self, key: &CounterKey<'_>) -> u128 {
        let mut hasher = self.0.clone();
        (key.user, key.endpoint, key.rule, key.part).hash(&mut hasher);
        hasher.0.finish128().as_u128()
    }
}

/// Hashes the parts of keys; which kind of part it is takes one byte, not eight.
#[derive(Clone)]
struct KeyHasher(SipHasher13);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0.write_u8(byte);
    }

    /// What kind of part comes. There are few.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 256")]
    fn write_isize(&mut self, kind: isize) {
        self.0.write_u8(kind as u8);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
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
        Answer::ready(self.decide(limits, blocks))
    }

    fn settle(&self, settlements: &[Settlement<'_>]) -> Answer<Result<(), StoreError>> {
        for settlement in settlements {
            self.correct(settlement);
        }
        Answer::ready(Ok(()))
    }

    fn reset(&self, keys: &[CounterKey<'_>]) -> Answer<Result<(), StoreError>> {
        for key in keys {
            let tenant = self.tenant(key.tenant);
            let removed = self.lock(tenant.home()).remove(tenant.fingerprint(key));
            self.forget(usize::from(removed));
        }
        Answer::ready(Ok(()))
    }

    fn block(&self, key: BlockKey<'_>, for_ms: u64) -> Answer<Result<(), StoreError>> {
        self.blocks.set(self.caller(&key), self.clock.now().0, for_ms);
        Answer::ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
