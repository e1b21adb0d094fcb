//! Entries in this process and nowhere else.

use std::{sync::Arc, time::Duration};

use tower_keep_core::{
    TenantId,
    time::{Clock, UnixMillis},
};

use crate::{
    copies::{Copies, Copy},
    found::{Found, Lease, Put},
    generation::{Generations, Purge},
    name::Name,
    near::{Held, Near},
    settings::CacheBuilder,
    store::{LONGEST_TTL, MAX_TAGS},
    value::Value,
};

/// The memory store.
pub(crate) struct Memory<V: Value> {
    entries: Near<V>,
    copies: Copies,
    clock: Clock,
    longest: usize,
}

impl<V: Value> Memory<V> {
    pub(crate) fn new(settings: &CacheBuilder) -> Self {
        let entries = Near::new(settings.capacity, settings.max_entry_bytes);
        let (clock, longest) = (settings.clock.clone(), settings.max_entry_bytes);
        Self { entries, copies: Copies::new(Copy::own), clock, longest }
    }

    #[inline]
    pub(crate) fn get(&self, name: &Name, now: UnixMillis) -> Found<V> {
        let held = self.entries.get(name).filter(|held| self.is_usable(name, held, now));
        match held {
            Some(held) => Found {
                value: Some(Arc::clone(&held.value)),
                generations: held.copy.current(),
                lease: Lease::None,
            },
            None => Found {
                value: None,
                generations: self.generations(name.tenant()),
                lease: Lease::None,
            },
        }
    }

    /// What cannot be used any more makes room.
    fn is_usable(&self, name: &Name, held: &Arc<Held<V>>, now: UnixMillis) -> bool {
        let usable = held.deadline > now && !held.copy.is_retired();
        if !usable {
            self.entries.remove_this(name, held);
        }
        usable
    }

    pub(crate) fn put(&self, name: &Name, value: Arc<V>, ttl: Duration) -> Put {
        let long = value.length() > self.longest;
        let deadline = self.clock.now().plus(ttl.min(LONGEST_TTL));
        let copy = self.copies.of(name.tenant());
        let held = Held::new(name, value, copy, deadline, (0, [0; 16]));
        if long || held.weight() > self.entries.longest() {
            self.entries.remove(name);
            return Put::TooLarge;
        }
        self.entries.insert(name, held);
        Put::Stored
    }

    pub(crate) fn remove(&self, name: &Name) {
        self.entries.remove(name);
    }

    pub(crate) fn generations(&self, tenant: &TenantId) -> Arc<Generations> {
        self.copies.of(tenant).current()
    }

    pub(crate) fn purge(&self, tenant: &TenantId, what: &Purge) {
        let step = |tags| while !self.copies.of(tenant).purge_own(tags, what.is_soft()) {};
        match what.named() {
            None => step(None),
            Some(tags) => tags.chunks(MAX_TAGS).for_each(|tags| step(Some(tags))),
        }
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn weight(&self) -> (u64, u64) {
        self.entries.weight()
    }
}
