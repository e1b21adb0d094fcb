//! Entries in this process, bounded in bytes.

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{self, DefaultLifecycle, EntryAction, EntryResult},
};
use tower_keep_core::time::UnixMillis;

use crate::{copies::Copy, name::Name, value::Value};

/// What an entry takes besides its name and value: the map's own, about.
const OVERHEAD: usize = 200;

/// What entries are expected to weigh, for the first size of the map's tables.
const USUAL_WEIGHT: u64 = 4096;

/// Entries by their names. What has expired is still there, until somebody looks at it or there is
/// no room.
pub(crate) struct Near<V: Value> {
    map: sync::Cache<Name, Arc<Held<V>>, Weigh, BuildHasherDefault<AsItIs>, Unwatched<V>>,
}

type Unwatched<V> = DefaultLifecycle<Name, Arc<Held<V>>>;

/// One entry.
pub(crate) struct Held<V> {
    pub(crate) value: Arc<V>,
    /// Its tenant's generations.
    pub(crate) copy: Arc<Copy>,
    pub(crate) deadline: UnixMillis,
    /// When it was known to be so.
    pub(crate) tick: u64,
    /// What a message that removes it says; nothing in memory mode.
    pub(crate) hash: [u8; 16],
    weight: u64,
}

impl<V: Value> Held<V> {
    pub(crate) fn new(
        name: &Name,
        value: Arc<V>,
        copy: Arc<Copy>,
        deadline: UnixMillis,
        (tick, hash): (u64, [u8; 16]),
    ) -> Self {
        let weight = weight(name, &*value);
        Self { value, copy, deadline, tick, hash, weight }
    }

    pub(crate) const fn weight(&self) -> u64 {
        self.weight
    }
}

/// What an entry takes.
pub(crate) fn weight<V: Value>(name: &Name, value: &V) -> u64 {
    (OVERHEAD + name.identity_len()).saturating_add(value.weight()) as u64
}

impl<V: Value> Near<V> {
    /// So many bytes, in shards that can each hold a few of the longest entries.
    pub(crate) fn new(capacity: u64, longest: usize) -> Self {
        let shards = usize::try_from(capacity / (longest as u64).max(1) / 4).unwrap_or(usize::MAX);
        let items = usize::try_from(capacity / USUAL_WEIGHT).unwrap_or(usize::MAX).max(32);
        let mut options = OptionsBuilder::new();
        let options = options
            .shards(shards.clamp(1, 64))
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .build();
        #[expect(clippy::unreachable, reason = "all that it asks for was given")]
        let Ok(options) = options else { unreachable!() };
        let (hasher, lifecycle) = (BuildHasherDefault::default(), DefaultLifecycle::default());
        Self { map: sync::Cache::with_options(options, Weigh, hasher, lifecycle) }
    }

    /// The most that one entry can weigh.
    pub(crate) fn longest(&self) -> u64 {
        self.map.shard_capacity()
    }

    #[inline]
    pub(crate) fn get(&self, name: &Name) -> Option<Arc<Held<V>>> {
        self.map.get(name)
    }

    pub(crate) fn insert(&self, name: &Name, held: Held<V>) {
        self.map.insert(name.clone(), Arc::new(held));
    }

    /// Unless there is something newer.
    pub(crate) fn insert_older(&self, name: &Name, held: Held<V>) {
        let tick = held.tick;
        let entry = self.map.entry(name, Some(Duration::ZERO), |_, there| {
            if there.tick > tick { EntryAction::Retain(()) } else { EntryAction::ReplaceWithGuard }
        });
        if let EntryResult::Vacant(guard) | EntryResult::Replaced(guard, _) = entry {
            // If somebody has put something there meanwhile, it is newer.
            let _ = guard.insert(Arc::new(held));
        }
    }

    pub(crate) fn remove(&self, name: &Name) {
        self.map.remove(name);
    }

    /// If it is still this one.
    pub(crate) fn remove_this(&self, name: &Name, held: &Arc<Held<V>>) {
        self.map.remove_if(name, |there| Arc::ptr_eq(there, held));
    }

    pub(crate) fn clear(&self) {
        self.map.clear();
    }

    /// How many bytes the entries take, and how many they may.
    pub(crate) fn weight(&self) -> (u64, u64) {
        (self.map.weight(), self.map.capacity())
    }
}

#[derive(Clone)]
struct Weigh;

impl<V: Value> Weighter<Name, Arc<Held<V>>> for Weigh {
    fn weight(&self, _: &Name, held: &Arc<Held<V>>) -> u64 {
        held.weight
    }
}

/// A name's hash is one already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
pub(crate) mod tests;
