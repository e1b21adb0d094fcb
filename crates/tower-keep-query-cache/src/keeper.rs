//! What all handles of one cache share.

use std::{
    any::Any,
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tower_keep_cache::{Cache, Flights, Found, Leader, LeaseToken, Name, Stamp, Validity};
use tower_keep_core::time::{Clock, UnixMillis};

use crate::{
    class::TtlClass,
    fetched::{Sought, Source},
    kept::{Cacheable, Kept},
    key::QueryKey,
    outcome::count_undecodable,
    policy::{Times, Use},
};

/// How long the store is taken to keep nothing after it has not kept something.
const STRAIN: Duration = Duration::from_secs(1);

/// What a cache was built with, and what it keeps.
pub(crate) struct Keeper {
    pub(crate) cache: Cache<Kept>,
    pub(crate) flights: Flights<Flown>,
    /// Who may load by itself, and not for all who want the same as they come: while the store is
    /// down or keeps nothing, or after having waited in vain.
    pub(crate) direct: Semaphore,
    /// How long a caller waits for another's loader, or for a turn.
    pub(crate) patience: Duration,
    /// How long it may take to load anew what is stale, beside its use.
    pub(crate) refresh_timeout: Duration,
    /// Until when the store is taken to keep nothing.
    pub(crate) strained: AtomicU64,
}

/// What those are brought who wait for another's loader.
#[derive(Clone)]
pub(crate) enum Flown {
    /// A value, or that there is none; `stale` if it could not be loaded anew.
    Kept { kept: Arc<Kept>, stale: bool },
    /// An `Arc<E>`.
    Failed(Arc<dyn Any + Send + Sync>),
    /// There was no turn to load it.
    Busy,
    /// It was purged while it was being loaded.
    Purged,
}

/// What can be done with what was found.
pub(crate) enum Look<T> {
    Fresh(Option<Arc<T>>),
    Stale(Option<Arc<T>>),
    /// It may stand in for an error.
    Reserve,
    Nothing,
}

impl Keeper {
    pub(crate) fn clock(&self) -> &Clock {
        self.cache.clock()
    }

    /// Looks at what was found; what says that there is nothing is of use only if `absent_will_do`.
    pub(crate) fn look<T: Cacheable>(
        &self,
        key: &QueryKey,
        found: &Found<Kept>,
        absent_will_do: bool,
    ) -> Look<T> {
        Self::look_at(key, found, absent_will_do, self.clock().now())
    }

    /// The same, for whoever knows the time.
    #[inline]
    pub(crate) fn look_at<T: Cacheable>(
        key: &QueryKey,
        found: &Found<Kept>,
        absent_will_do: bool,
        now: UnixMillis,
    ) -> Look<T> {
        let Some(kept) = &found.value else { return Look::Nothing };
        let how = kept.judge(&found.generations, now);
        // What was kept without a tag would outlive that tag's invalidation.
        if how == Use::No || !key.is_covered_by(&kept.tags) {
            return Look::Nothing;
        }
        let value = kept.value::<T>();
        if kept.is_absent() {
            if !absent_will_do {
                return Look::Nothing;
            }
        } else if value.is_none() {
            count_undecodable();
            return Look::Nothing;
        }
        match how {
            Use::Fresh => Look::Fresh(value),
            Use::Stale => Look::Stale(value),
            Use::OnError => Look::Reserve,
            Use::No => Look::Nothing,
        }
    }

    /// What was loaded, as it is kept.
    pub(crate) fn make<T: Cacheable>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        value: Option<&Arc<T>>,
        stamp: Stamp,
    ) -> Kept {
        // As good as random.
        let random = (RandomState::new().hash_one(stamp) >> 32) as u32;
        let times = Times::of(class, value.is_none(), self.clock().now(), random);
        Kept::new(value, stamp, key.all_tags(), times)
    }

    /// For how long it is to be stored, if at all.
    pub(crate) fn keep_for(&self, kept: &Kept, class: &TtlClass) -> Option<Duration> {
        let ttl = kept.times.keep_for(self.clock().now());
        let fits = kept.len().is_some_and(|len| len <= class.max_bytes);
        (fits && !ttl.is_zero()).then_some(ttl)
    }

    /// Whether this process knows that it was purged.
    pub(crate) fn is_gone(&self, key: &QueryKey, kept: &Kept) -> bool {
        kept.validity(&self.cache.known(key.tenant())) == Validity::Gone
    }

    /// What stands in for an error, if it still may.
    pub(crate) fn stand_in<T: Cacheable>(
        &self,
        key: &QueryKey,
        reserve: Option<Arc<Kept>>,
    ) -> Option<(Arc<Kept>, Sought<T>)> {
        let kept = reserve?;
        let usable = kept.judge(&self.cache.known(key.tenant()), self.clock().now()) != Use::No;
        let value = kept.value().filter(|_| usable)?;
        Some((kept, Sought { value: Some(value), source: Source::Stale }))
    }

    /// A turn to load beside others, if there is one at once.
    pub(crate) fn turn_now(&self) -> Option<SemaphorePermit<'_>> {
        self.direct.try_acquire().ok()
    }

    /// The same; `None` if there is none in time.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        timeout(self.patience, self.direct.acquire()).await.ok()?.ok()
    }

    /// Whether the store did not keep what it was lately given: then more is loaded than should be.
    pub(crate) fn is_strained(&self) -> bool {
        self.clock().now().0 < self.strained.load(Ordering::Relaxed)
    }

    fn strain(&self) {
        self.strained.store(self.clock().now().plus(STRAIN).0, Ordering::Relaxed);
    }

    /// Puts what was loaded, and hands it to all who wait, and to those who come until the store has
    /// it.
    pub(crate) fn put(
        self: &Arc<Self>,
        key: &QueryKey,
        kept: &Arc<Kept>,
        ttl: Duration,
        leader: Option<Leader<Flown>>,
        lease: Option<LeaseToken>,
    ) {
        let put = self.cache.put(key.name(), Arc::clone(kept), ttl);
        let flown = Flown::Kept { kept: Arc::clone(kept), stale: false };
        match (put.now(), Handle::try_current()) {
            (Err(put), Ok(runtime)) => {
                if let Some(leader) = &leader {
                    leader.share(flown);
                }
                let (keeper, name) = (Arc::clone(self), key.name().clone());
                runtime.spawn(async move {
                    if put.await.is_err() {
                        keeper.strain();
                        if let Some(lease) = lease {
                            let _ = keeper.cache.release(&name, lease).await;
                        }
                    }
                    // Whether it is there or not, from now on everybody is to look.
                    drop(leader);
                });
            }
            _ => {
                if let Some(leader) = leader {
                    leader.land(flown);
                }
            }
        }
    }
}

impl Keeper {
    /// The same for several, each with what those are handed who wait for it.
    pub(crate) fn put_many(
        self: &Arc<Self>,
        puts: Vec<(Name, Arc<Kept>, Duration)>,
        flown: Vec<(Leader<Flown>, Flown)>,
    ) {
        let put = self.cache.put_many(puts);
        match (put.now(), Handle::try_current()) {
            (Err(put), Ok(runtime)) => {
                let share = |(leader, flown): (Leader<Flown>, _)| {
                    leader.share(flown);
                    leader
                };
                let leaders: Vec<_> = flown.into_iter().map(share).collect();
                let keeper = Arc::clone(self);
                runtime.spawn(async move {
                    if put.await.is_err() {
                        keeper.strain();
                    }
                    drop(leaders);
                });
            }
            _ => flown.into_iter().for_each(|(leader, flown)| leader.land(flown)),
        }
    }
}

/// The right to make an entry among all processes, given back when it is dropped.
pub(crate) struct Lease<'a> {
    keeper: &'a Keeper,
    key: &'a QueryKey,
    token: Option<LeaseToken>,
}

impl<'a> Lease<'a> {
    pub(crate) fn of(
        keeper: &'a Keeper,
        key: &'a QueryKey,
        lease: &tower_keep_cache::Lease,
    ) -> Self {
        let token = match lease {
            tower_keep_cache::Lease::Ours(token) => Some(*token),
            _ => None,
        };
        Self { keeper, key, token }
    }

    /// Something is to take its place; whoever puts it gives back the lease if that fails.
    pub(crate) const fn replaced(&mut self) -> Option<LeaseToken> {
        self.token.take()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // Is seen through although nobody waits for it.
            drop(self.keeper.cache.release(self.key.name(), token));
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("cache", &self.cache)
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}
