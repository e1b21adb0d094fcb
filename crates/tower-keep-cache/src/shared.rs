//! Entries in a store that processes share, with near copies in this process.

mod asked;
mod hear;
mod many;
mod steps;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::runtime::Handle;
use tower_keep_core::{
    ConfigError, Invalidation, StoreError, TenantId,
    time::{Clock, UnixMillis},
};

use self::{asked::AskedLease, hear::Ear};
use crate::{
    codec::{Codec, Read},
    copies::{Copies, Copy},
    found::{Found, Lease, Place},
    generation::Generations,
    name::Name,
    near::{Held, Near},
    removed::Removed,
    settings::CacheBuilder,
    store::{Ask, AskEntry, AskGenerations, Listener, SharedStore, ToldEntry},
    value::Value,
};

/// How much a client reads at once, about.
const READ_AHEAD: usize = 64 << 10;

/// What a cache on a shared store knows.
pub(crate) struct Shared<V: Value> {
    store: Arc<dyn SharedStore>,
    /// `None` when near copies are switched off.
    near: Option<Near<V>>,
    near_ttl: Duration,
    copies: Copies,
    removed: Removed,
    codec: Codec,
    clock: Clock,
    fill_lease: Option<Duration>,
    runtime: Handle,
}

/// The beginning of something that is read.
struct Begun {
    tick: u64,
    now: UnixMillis,
    copy: Arc<Copy>,
    /// Whether all that is published from here on will be heard.
    live: bool,
}

impl<V: Value> Shared<V> {
    pub(crate) fn new(
        settings: &CacheBuilder,
        store: Arc<dyn SharedStore>,
    ) -> Result<Arc<Self>, ConfigError> {
        let runtime = Handle::try_current()
            .map_err(|_| ConfigError::new("runtime", "a shared cache needs a tokio runtime"))?;
        let near = settings.near && !settings.near_ttl.is_zero();
        let shared = Arc::new(Self {
            store,
            near: near.then(|| Near::new(settings.capacity, settings.max_entry_bytes)),
            near_ttl: settings.near_ttl,
            copies: Copies::new(Copy::unknown),
            removed: Removed::new(settings.near_ttl),
            codec: Codec {
                vault: settings.vault.clone(),
                compress_above: settings.compress_above,
                max_entry_bytes: settings.max_entry_bytes,
            },
            clock: settings.clock.clone(),
            fill_lease: settings.fill_lease,
            runtime,
        });
        let ear: Weak<Ear<V>> = Arc::downgrade(&shared);
        shared.store.listen(ear as Weak<dyn Listener>);
        Ok(shared)
    }

    /// A near copy, if it may be used.
    #[inline]
    pub(crate) fn peek(self: &Arc<Self>, name: &Name, now: UnixMillis) -> Option<Found<V>> {
        let held = self.near.as_ref()?.get(name)?;
        let gap = self.copies.last_gap();
        let usable = held.deadline > now && held.tick > gap && !held.copy.is_retired();
        if !usable || !self.store.is_live() || self.removed.since(&held.hash, held.tick) {
            return None;
        }
        let age = held.copy.age(now, gap)?;
        if Copy::is_ageing(age) && held.copy.begin_refresh() {
            self.refresh(name.tenant().clone(), Arc::clone(&held.copy));
        }
        let value = Some(Arc::clone(&held.value));
        Some(Found { value, generations: held.copy.current(), lease: Lease::None })
    }

    /// Reads a tenant's generations anew, beside their use.
    fn refresh(self: &Arc<Self>, tenant: TenantId, copy: Arc<Copy>) {
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let refreshing = Refreshing(copy);
            // If it fails, who needs them next will ask, and be told.
            let _ = shared.reread(&tenant).await;
            drop(refreshing);
        });
    }

    fn begin(&self, tenant: &TenantId) -> Begun {
        // What is published after this is heard after this.
        let live = self.store.is_live();
        let copy = self.copies.of(tenant);
        Begun { tick: self.copies.tick(), now: self.clock.now(), copy, live }
    }

    /// How old the copy is, if it may be relied on.
    fn age(&self, begun: &Begun) -> Option<u64> {
        begun.copy.age(begun.now, self.copies.last_gap()).filter(|_| begun.live)
    }

    /// The generations as they are known, if that may be relied on.
    pub(crate) fn known(&self, tenant: &TenantId) -> Option<Arc<Generations>> {
        let begun = self.begin(tenant);
        self.age(&begun).map(|_| begun.copy.current())
    }

    /// The generations as the store has them.
    pub(crate) async fn reread(&self, tenant: &TenantId) -> Result<Arc<Generations>, StoreError> {
        let begun = self.begin(tenant);
        let known = begun.copy.known();
        let ask = Ask { entry: None, generations: Some(AskGenerations { tenant, known }) };
        let told = self.store.read(ask).await?;
        if let Some(told) = told.generations {
            begun.copy.install(told, known, begun.tick, begun.now);
        }
        Ok(begun.copy.current())
    }

    /// What an entry that was read is to be judged by. What was purged while it was being read is
    /// known here, even if the copy was forgotten meanwhile.
    async fn judges(
        &self,
        tenant: &TenantId,
        begun: &Begun,
    ) -> Result<Arc<Generations>, StoreError> {
        if begun.copy.is_retired() {
            return self.reread(tenant).await;
        }
        Ok(begun.copy.current())
    }

    /// The entry as the store has it; if there is none, the lease to make it where `leasing`.
    pub(crate) async fn get(
        self: &Arc<Self>,
        name: &Name,
        leasing: bool,
    ) -> Result<Found<V>, StoreError> {
        let tenant = name.tenant();
        let begun = self.begin(tenant);
        let known = begun.copy.known();
        // What will be asked for in a moment is asked for with this.
        let reread = self.age(&begun).is_none_or(Copy::is_ageing);
        let asked = if leasing { AskedLease::new(self, name) } else { None };
        let key = name.key(V::KIND);
        let ask = Ask {
            entry: Some(AskEntry { key: &key, lease: asked.as_ref().map(AskedLease::ask) }),
            generations: reread.then_some(AskGenerations { tenant, known }),
        };
        let told = self.store.read(ask).await?;
        if let Some(told) = told.generations {
            begun.copy.install(told, known, begun.tick, begun.now);
        }
        let entry = told.entry.unwrap_or_default();
        let leased = entry.leased;
        let (value, lease) = self.read(&key, name, &begun, entry);
        let generations = self.judges(tenant, &begun).await?;
        let lease = match asked {
            Some(asked) => asked.told(leased, lease),
            None => lease,
        };
        Ok(Found { value, generations, lease })
    }

    /// What a blob holds, of which a near copy is kept; and whose it is to make it, if it is not
    /// ours.
    fn read(
        &self,
        key: &str,
        name: &Name,
        begun: &Begun,
        entry: ToldEntry,
    ) -> (Option<Arc<V>>, Lease) {
        let Some(blob) = entry.blob else { return (None, Lease::None) };
        let near = begun.live && self.near.is_some();
        let blob = if near { released(blob) } else { blob };
        let lease = match self.fill_lease {
            Some(_) => Lease::Taken(Place::of(&blob)),
            None => Lease::None,
        };
        let now = self.clock.now();
        match self.codec.decode::<V>(key, name, &blob, now) {
            Ok(Read::Entry(value, expires)) => {
                let value = Arc::new(value);
                if near {
                    self.keep_near(key, name, &value, expires, begun);
                }
                (Some(value), lease)
            }
            Ok(Read::Expired) => (None, lease),
            Ok(Read::Lease) => (None, Lease::Theirs),
            Err(corrupt) => {
                corrupt.count(V::KIND);
                (None, lease)
            }
        }
    }

    /// Keeps a near copy of what was so when this began, if nothing newer is there.
    fn keep_near(
        &self,
        key: &str,
        name: &Name,
        value: &Arc<V>,
        expires: UnixMillis,
        begun: &Begun,
    ) {
        let Some(near) = &self.near else { return };
        let deadline = expires.min(self.clock.now().plus(self.near_ttl));
        let moment = (begun.tick, Invalidation::entry_hash(key));
        let copy = Arc::clone(&begun.copy);
        let held = Held::new(name, Arc::clone(value), copy, deadline, moment);
        if held.weight() <= near.longest() {
            near.insert_older(name, held);
        }
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn weight(&self) -> (u64, u64) {
        self.near.as_ref().map_or((0, 0), Near::weight)
    }
}

/// The blob without what else was read from the socket with it, which a near copy must not keep in
/// memory. Beside a long one that is nothing.
fn released(blob: Bytes) -> Bytes {
    if blob.len() <= READ_AHEAD { Bytes::copy_from_slice(&blob) } else { blob }
}

/// Lets somebody else refresh a copy, however its reading ended.
struct Refreshing(Arc<Copy>);

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.refreshed();
    }
}

#[cfg(test)]
mod tests;
