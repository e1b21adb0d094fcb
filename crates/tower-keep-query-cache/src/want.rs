//! One question: what is there, who loads it, and who waits.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::SemaphorePermit,
    time::{Instant, timeout},
};
use tower_keep_cache::{Found, Landed, Leader, Stamp, Turn};

use crate::{
    class::TtlClass,
    fetched::{LoadError, Sought, Source},
    keeper::{Flown, Keeper, Lease, Look},
    kept::{Cacheable, Kept},
    key::QueryKey,
    outcome::count_bypass,
};

/// A loader that took less time than this has read nothing that others could know to be purged.
pub(crate) const QUICK: Duration = Duration::from_millis(500);

/// What is wanted.
pub(crate) struct Want<T> {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) key: QueryKey,
    pub(crate) class: TtlClass,
    /// Whether the knowledge that there is nothing is an answer.
    pub(crate) absent_will_do: bool,
    /// Whether a stale value is none, because it is to be loaded anew.
    pub(crate) anew: bool,
    pub(crate) of: PhantomData<fn() -> T>,
}

pub(crate) type Told<T, E> = Result<Sought<T>, LoadError<E>>;

/// What was seen where it may be.
enum Seen<'a, T> {
    There(Sought<T>, Option<Arc<Kept>>),
    Missing(Begun<'a>),
}

/// What a loader begins with.
struct Begun<'a> {
    stamp: Stamp,
    lease: Lease<'a>,
    /// What may stand in for an error.
    reserve: Option<Arc<Kept>>,
    /// Whether something was found, of use or not.
    there: bool,
    /// Whether the store did not answer.
    bypass: bool,
    /// Whether another process is still making it.
    theirs: bool,
}

impl<T: Cacheable> Want<T> {
    /// Answers when nothing near was of use but, perhaps, `reserve`.
    pub(crate) async fn tell<E, L, F>(self, load: L, reserve: Option<Arc<Kept>>) -> Told<T, E>
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let deadline = Instant::now() + self.keeper.patience;
        loop {
            match self.keeper.flights.join(self.key.name().as_bytes()) {
                Turn::Lead(leader) => {
                    return self.lead(Some(leader), deadline, load, reserve).await;
                }
                Turn::Alone => break,
                Turn::Follow(mut follower) => {
                    let left = || deadline.saturating_duration_since(Instant::now());
                    match follower.value(left()).await {
                        Landed::Value(flown) => {
                            if let Some(told) = self.take(&flown) {
                                return told;
                            }
                            // It may still be shared for a while.
                            if !follower.ended(left()).await {
                                break;
                            }
                        }
                        Landed::Abandoned => {}
                        Landed::TimedOut => break,
                    }
                }
            }
        }
        self.lead(None, deadline, load, reserve).await
    }

    /// Takes what another's loader brought, unless it is of no use here.
    pub(crate) fn take<E: Send + Sync + 'static>(&self, flown: &Flown) -> Option<Told<T, E>> {
        match flown {
            Flown::Kept { kept, stale } => {
                // Whoever came after a purge gets nothing that was loaded before it.
                if self.keeper.is_gone(&self.key, kept) || !self.key.is_covered_by(&kept.tags) {
                    return None;
                }
                let source = if *stale { Source::Stale } else { Source::Shared };
                let value = kept.value();
                let usable = if kept.is_absent() { self.absent_will_do } else { value.is_some() };
                usable.then_some(Ok(Sought { value, source }))
            }
            Flown::Failed(error) => {
                let error = Arc::clone(error).downcast().ok()?;
                Some(Err(LoadError::Loader(error)))
            }
            Flown::Busy => Some(Err(LoadError::Busy)),
            Flown::Purged => None,
        }
    }

    /// Looks whether it is there by now, and loads it if it is not. Others are waited for until
    /// `deadline`.
    async fn lead<E, L, F>(
        self,
        leader: Option<Leader<Flown>>,
        deadline: Instant,
        load: L,
        reserve: Option<Arc<Kept>>,
    ) -> Told<T, E>
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let keeper = &self.keeper;
        // Only who loads for all in this process asks for a lease: the others would wait for it.
        let lasting = leader.is_some().then_some(deadline);
        let (mut seen, mut turn) = (self.see(lasting, reserve).await, None);
        loop {
            let begun = match seen {
                Seen::Missing(begun) => begun,
                Seen::There(sought, kept) => {
                    let stale = sought.source == Source::Stale;
                    land(leader, kept, stale);
                    if stale {
                        self.refresh(load);
                    }
                    return Ok(sought);
                }
            };
            // Who loads beside others does not do so with all who do.
            let beside = leader.is_none() || begun.bypass || begun.theirs || keeper.is_strained();
            if beside && turn.is_none() {
                turn = keeper.turn_now();
            }
            if !beside || turn.is_some() {
                return self.load(leader, load, begun, turn).await;
            }
            drop(begun.lease);
            turn = keeper.turn().await;
            if turn.is_none() {
                if let Some(leader) = leader {
                    leader.land(Flown::Busy);
                }
                return Err(LoadError::Busy);
            }
            // Who had the turn before may have loaded just this.
            seen = self.see(None, begun.reserve).await;
        }
    }

    /// Looks in this process and then in the store. If there is a time until when another process is
    /// to be waited for, the lease to make it is asked for.
    async fn see(&self, lasting: Option<Instant>, mut reserve: Option<Arc<Kept>>) -> Seen<'_, T> {
        let (keeper, name) = (&self.keeper, self.key.name());
        // Somebody may have landed since this was looked for.
        let (mut found, mut source) = (keeper.cache.peek(name), Source::Near);
        loop {
            if let Some(found) = &found {
                let kept = found.value.clone();
                match keeper.look::<T>(&self.key, found, self.absent_will_do) {
                    Look::Fresh(value) => return Seen::There(Sought { value, source }, kept),
                    Look::Stale(value) if !self.anew => {
                        return Seen::There(Sought { value, source: Source::Stale }, kept);
                    }
                    Look::Stale(_) | Look::Reserve => reserve = kept,
                    Look::Nothing => {}
                }
            }
            if source == Source::Store || keeper.cache.is_memory() {
                break;
            }
            source = Source::Store;
            found = self.ask(lasting).await;
        }
        let lease = found.as_ref().map_or_else(Default::default, |found| found.lease.clone());
        Seen::Missing(Begun {
            stamp: match &found {
                Some(found) => found.generations.stamp(),
                None => keeper.cache.known(self.key.tenant()).stamp(),
            },
            theirs: lease == tower_keep_cache::Lease::Theirs,
            lease: Lease::of(keeper, &self.key, &lease),
            reserve,
            bypass: found.is_none(),
            there: found.is_some_and(|found| found.value.is_some()),
        })
    }

    /// What the store has, or what another process has made of it meanwhile; `None` if the store did
    /// not answer.
    async fn ask(&self, lasting: Option<Instant>) -> Option<Found<Kept>> {
        use tower_keep_cache::Lease;
        let (keeper, name) = (&self.keeper, self.key.name());
        let told = async {
            let Some(deadline) = lasting else { return keeper.cache.look(name).await };
            let mut found = keeper.cache.get(name).await?;
            if let (Lease::Taken(_), Look::Nothing) =
                (&found.lease, keeper.look::<T>(&self.key, &found, self.absent_will_do))
            {
                // What was purged makes room.
                found = keeper.cache.claim(name, found).await;
            }
            match found.lease {
                Lease::Theirs => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    keeper.cache.wait(name, left).await
                }
                _ => Ok(found),
            }
        };
        told.await
            .inspect_err(|error| {
                count_bypass();
                tracing::debug!(%error, "the store did not answer: loading directly");
            })
            .ok()
    }

    async fn load<E, L, F>(
        &self,
        leader: Option<Leader<Flown>>,
        load: L,
        mut begun: Begun<'_>,
        turn: Option<SemaphorePermit<'_>>,
    ) -> Told<T, E>
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let keeper = &self.keeper;
        let since = Instant::now();
        let loaded = load().await;
        drop(turn);
        let value = match loaded {
            Ok(value) => value.map(Arc::new),
            Err(error) => return self.fail(leader, Arc::new(error), begun.reserve.take()),
        };
        let kept = Arc::new(keeper.make(&self.key, &self.class, value.as_ref(), begun.stamp));
        if !begun.bypass && since.elapsed() > QUICK {
            // Those who wait, or come until it is stored, may do so after a purge elsewhere, of which
            // nobody told us.
            let _ = keeper.cache.generations(self.key.tenant()).await;
        }
        let told = Ok(Sought { value, source: Source::Loaded });
        if !begun.bypass && keeper.is_gone(&self.key, &kept) {
            if let Some(leader) = leader {
                leader.land(Flown::Purged);
            }
            return told;
        }
        if let Some(ttl) = keeper.keep_for(&kept, &self.class).filter(|_| !begun.bypass) {
            keeper.put(&self.key, &kept, ttl, leader, begun.lease.replaced());
            return told;
        }
        if begun.there && !begun.bypass {
            // What was there is no longer so. It is seen through although nobody waits.
            drop(keeper.cache.remove(self.key.name()));
        }
        land(leader, Some(kept), false);
        told
    }

    /// The loader has failed.
    fn fail<E: Send + Sync + 'static>(
        &self,
        leader: Option<Leader<Flown>>,
        error: Arc<E>,
        reserve: Option<Arc<Kept>>,
    ) -> Told<T, E> {
        let (flown, told) = match self.keeper.stand_in::<T>(&self.key, reserve) {
            Some((kept, sought)) => (Flown::Kept { kept, stale: true }, Ok(sought)),
            None => (Flown::Failed(Arc::clone(&error) as Arc<_>), Err(LoadError::Loader(error))),
        };
        if let Some(leader) = leader {
            leader.land(flown);
        }
        told
    }

    /// Loads it anew beside its use, unless somebody does already.
    pub(crate) fn refresh<E, L, F>(&self, load: L)
    where
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        let Turn::Lead(leader) = self.keeper.flights.join(self.key.name().as_bytes()) else {
            return;
        };
        let again = Self {
            keeper: Arc::clone(&self.keeper),
            key: self.key.clone(),
            class: self.class.clone(),
            anew: true,
            ..*self
        };
        // Boxed, because loading may end in refreshing.
        let task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let deadline = Instant::now() + again.keeper.patience;
            let at_most = again.keeper.refresh_timeout;
            let told = timeout(at_most, again.lead(Some(leader), deadline, load, None)).await;
            if !matches!(told, Ok(Ok(_))) {
                tracing::debug!("what is stale could not be loaded anew");
            }
        });
        runtime.spawn(task);
    }
}

/// Hands what is kept to all who wait.
fn land(leader: Option<Leader<Flown>>, kept: Option<Arc<Kept>>, stale: bool) {
    if let (Some(leader), Some(kept)) = (leader, kept) {
        leader.land(Flown::Kept { kept, stale });
    }
}
