//! What is written: seen through although nobody waits for it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tower_keep_core::{Answer, Invalidated, Invalidation, StoreError, TenantId};

use super::{AskedLease, Shared};
use crate::{
    codec,
    copies::Purged,
    found::{Found, Lease, LeaseToken, Put},
    generation::Purge,
    name::Name,
    stamp::Tag,
    store::{AskLease, LONGEST_TTL, MAX_TAGS, PurgeStep},
    value::Value,
};

/// No server keeps anything for no time at all.
pub(super) const SHORTEST_TTL: Duration = Duration::from_millis(1);

/// The pauses between looks for what another process makes.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

impl<V: Value> Shared<V> {
    pub(crate) fn put(
        self: &Arc<Self>,
        name: &Name,
        value: &Arc<V>,
        ttl: Duration,
    ) -> Answer<Result<Put, StoreError>> {
        let ttl = ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
        let key = name.key(V::KIND);
        let begun = self.begin(name.tenant());
        let expires = begun.now.plus(ttl);
        let Some(blob) = self.codec.encode(&key, name, &**value, expires) else {
            let removed = self.remove(name);
            return Answer::pending(async move { removed.await.map(|()| Put::TooLarge) });
        };
        self.keep_near(&key, name, value, expires, &begun);
        let shared = Arc::clone(self);
        self.see_through(
            async move { shared.store.write(&key, blob, ttl).await.map(|()| Put::Stored) },
        )
    }

    pub(crate) fn remove(self: &Arc<Self>, name: &Name) -> Answer<Result<(), StoreError>> {
        let key = name.key(V::KIND);
        let hash = Invalidation::entry_hash(&key);
        let message = Invalidation::new(name.tenant(), Invalidated::Entry(hash)).encode();
        if let Some(near) = &self.near {
            near.remove(name);
        }
        let shared = Arc::clone(self);
        self.see_through(async move {
            let done = shared.store.remove(&key, message).await;
            // What was read while it was being removed may be from before.
            shared.removed.note(hash, shared.copies.tick(), shared.clock.now());
            done
        })
    }

    pub(crate) fn release(
        self: &Arc<Self>,
        name: &Name,
        lease: LeaseToken,
    ) -> Answer<Result<(), StoreError>> {
        let (shared, key) = (Arc::clone(self), name.key(V::KIND));
        self.see_through(async move { shared.store.release(&key, codec::lease(lease.0)).await })
    }

    /// Takes the place of what was found, if it is still that, or nothing is there any more.
    pub(crate) fn claim(self: &Arc<Self>, name: &Name, mut found: Found<V>) -> Answer<Found<V>> {
        let Lease::Taken(place) = &found.lease else { return Answer::ready(found) };
        let (shared, name, place) = (Arc::clone(self), name.clone(), place.clone());
        Answer::pending(async move {
            let Some(asked) = AskedLease::new(&shared, &name) else { return found };
            let AskLease { blob, lasting } = asked.ask();
            let claimed = shared.store.claim(&name.key(V::KIND), &place, blob, lasting).await;
            found.lease = match claimed {
                Ok(claimed) => asked.told(claimed, Lease::Theirs),
                // Who cannot take turns goes alone.
                Err(_) => Lease::None,
            };
            found
        })
    }

    pub(crate) fn extend(
        self: &Arc<Self>,
        name: &Name,
        lease: LeaseToken,
    ) -> Answer<Result<(), StoreError>> {
        let (shared, key) = (Arc::clone(self), name.key(V::KIND));
        let lasting = self.fill_lease.unwrap_or_default();
        self.see_through(
            async move { shared.store.renew(&key, codec::lease(lease.0), lasting).await },
        )
    }

    pub(crate) fn purge(
        self: &Arc<Self>,
        tenant: &TenantId,
        what: &Purge,
    ) -> Answer<Result<(), StoreError>> {
        let (shared, tenant, what) = (Arc::clone(self), tenant.clone(), what.clone());
        self.see_through(async move {
            let Some(tags) = what.named() else {
                return shared.purge_step(&tenant, None, what.is_soft()).await;
            };
            for tags in tags.chunks(MAX_TAGS) {
                shared.purge_step(&tenant, Some(tags), what.is_soft()).await?;
            }
            Ok(())
        })
    }

    async fn purge_step(
        &self,
        tenant: &TenantId,
        tags: Option<&[Tag]>,
        soft: bool,
    ) -> Result<(), StoreError> {
        // The store puts in which purge it is.
        let (epoch, version) = (0, 0);
        let told = match tags {
            None => Invalidated::Everything { soft, epoch, version },
            Some(tags) => {
                let tags = tags.iter().map(|tag| tag.to_bytes()).collect();
                Invalidated::Tags { soft, tags, epoch, version }
            }
        };
        let message = Invalidation::new(tenant, told).encode();
        let done = self.store.purge(PurgeStep { tenant, soft, tags, message }).await;
        let (copy, tick) = (self.copies.of(tenant), self.copies.tick());
        match &done {
            Ok(stamp) => copy.purged(Purged { stamp: *stamp, tags, soft }, tick),
            Err(_) => copy.doubt(tick),
        }
        done.map(drop)
    }

    pub(crate) const fn lease(&self) -> Option<Duration> {
        self.fill_lease
    }

    pub(crate) async fn wait(
        self: &Arc<Self>,
        name: &Name,
        at_most: Duration,
    ) -> Result<Found<V>, StoreError> {
        let deadline = Instant::now() + at_most;
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.get(name, true).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if found.lease != Lease::Theirs || left.is_zero() {
                return Ok(found);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Carries out in a task of its own what nobody may wait for to the end.
    pub(super) fn see_through<T: Send + 'static>(
        &self,
        writing: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Answer<Result<T, StoreError>> {
        let task = self.runtime.spawn(writing);
        let lost = |_| StoreError::unknown("the task that writes to the cache has ended");
        Answer::pending(async move { task.await.map_err(lost).and_then(|result| result) })
    }
}
