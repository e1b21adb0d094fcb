//! The cache.

use std::{marker::PhantomData, sync::Arc};

use tower_keep_cache::{Purge, Put as Kind};
use tower_keep_core::{StoreError, TenantId};

use crate::{
    builder::QueryCacheBuilder,
    class::TtlClass,
    fetched::{Fetched, LoadError, Sought, Source},
    keeper::{Keeper, Look},
    kept::Cacheable,
    key::{Invalidate, QueryKey},
    outcome::{INSTRUMENTS, QueryCacheOutcome},
    want::{Told, Want},
};

/// Results of queries and anything else worth keeping, in memory or in a store that processes
/// share. Cheap to clone; clones share all. See the [crate's](crate) page for its behaviour.
#[derive(Clone, Debug)]
pub struct QueryCache {
    pub(crate) keeper: Arc<Keeper>,
}

/// What came of putting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Put {
    /// It is kept.
    Stored,
    /// It is longer than the class or the cache allows. What was there is removed.
    TooLarge,
    /// Its class keeps it for no time, or it cannot be serialised. What was there is removed.
    Unkept,
}

impl QueryCache {
    /// Begins a cache without a store.
    pub fn builder() -> QueryCacheBuilder {
        QueryCacheBuilder::new()
    }

    /// The value, kept or loaded.
    ///
    /// Of those who miss the same at the same time one loads, and the others share what it brings,
    /// its error too. The loader runs in the caller's own future, and ends with it: then one of
    /// those who wait loads in its place. What is purged while it is loaded is given to those who
    /// asked before, and to nobody else.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use tower_keep_core::TenantId;
    /// use tower_keep_query_cache::{QueryCache, QueryKey, Source, TtlClass};
    ///
    /// let cache = QueryCache::builder().memory().build()?;
    /// let (tenant, class) = (TenantId::new("acme")?, TtlClass::new("query", Duration::from_secs(300)));
    /// let key = QueryKey::query(&tenant, "select count(*) from patients where ward = ?1", &3)?;
    /// for source in [Source::Loaded, Source::Near] {
    ///     let count = async || Ok::<u64, std::io::Error>(17); // ask the database
    ///     let fetched = cache.get_or_load(&key, &class, count).await?;
    ///     assert_eq!((*fetched.value, fetched.source), (17, source));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The loader's, unless a stale value may stand in for it; and [`LoadError::Busy`] when it
    /// was to load beside others and there was no turn.
    pub async fn get_or_load<T, E, L, F>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        load: L,
    ) -> Result<Fetched<T>, LoadError<E>>
    where
        T: Cacheable,
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let some = move || async move { load().await.map(Some) };
        let Sought { value, source } = self.seek(key, class, false, some).await?;
        match value {
            Some(value) => Ok(Fetched { value, source }),
            // What says that there is nothing is not looked at.
            None => Err(LoadError::Busy),
        }
    }

    /// The same for what there may be none of. That there is nothing is kept for as long as the
    /// class [says](TtlClass::negative).
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn find_or_load<T, E, L, F>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        load: L,
    ) -> Result<Sought<T>, LoadError<E>>
    where
        T: Cacheable,
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        self.seek(key, class, true, load).await
    }

    pub(crate) async fn seek<T, E, L, F>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        absent_will_do: bool,
        load: L,
    ) -> Told<T, E>
    where
        T: Cacheable,
        E: Send + Sync + 'static,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send + 'static,
    {
        let observation = INSTRUMENTS.observe();
        let want = || Want {
            keeper: Arc::clone(&self.keeper),
            key: key.clone(),
            class: class.clone(),
            absent_will_do,
            anew: false,
            of: PhantomData,
        };
        let mut reserve = None;
        let now = self.keeper.clock().now();
        if let Some(found) = self.keeper.cache.peek_at(key.name(), now) {
            match Keeper::look_at(key, &found, absent_will_do, now) {
                Look::Fresh(value) => {
                    observation.finish(QueryCacheOutcome::Near);
                    return Ok(Sought { value, source: Source::Near });
                }
                Look::Stale(value) => {
                    want().refresh(load);
                    observation.finish(QueryCacheOutcome::Stale);
                    return Ok(Sought { value, source: Source::Stale });
                }
                Look::Reserve => reserve = found.value,
                Look::Nothing => {}
            }
        }
        let observation = observation.waits();
        // Boxed: who hits need not carry it.
        let told = Box::pin(want().tell(load, reserve)).await;
        observation.finish(match &told {
            Ok(sought) => sought.source.into(),
            Err(LoadError::Loader(_)) => QueryCacheOutcome::Failed,
            Err(LoadError::Busy) => QueryCacheOutcome::Busy,
        });
        told
    }

    /// The value, if a fresh one is kept.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn get<T: Cacheable>(
        &self,
        key: &QueryKey,
    ) -> Result<Option<Fetched<T>>, StoreError> {
        let keeper = &self.keeper;
        let fresh = |found: &_, source| match keeper.look(key, found, false) {
            Look::Fresh(Some(value)) => Some(Fetched { value, source }),
            _ => None,
        };
        if let Some(found) = keeper.cache.peek(key.name()) {
            let near = fresh(&found, Source::Near);
            if near.is_some() || keeper.cache.is_memory() {
                return Ok(near);
            }
        }
        Ok(fresh(&keeper.cache.look(key.name()).await?, Source::Store))
    }

    /// Keeps a value that the program has. It counts as made now: what was purged before does not
    /// touch it. Prefer [`get_or_load`](Self::get_or_load), which knows what was purged while a
    /// value was being made.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn put<T: Cacheable>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        value: T,
    ) -> Result<Put, StoreError> {
        let (keeper, value) = (&self.keeper, Arc::new(value));
        let stamp = keeper.cache.generations(key.tenant()).await?.stamp();
        let kept = keeper.make(key, class, Some(&value), stamp);
        let Some(ttl) = keeper.keep_for(&kept, class) else {
            keeper.cache.remove(key.name()).await?;
            let too_large = kept.len().is_some_and(|len| len > class.max_bytes);
            return Ok(if too_large { Put::TooLarge } else { Put::Unkept });
        };
        Ok(match keeper.cache.put(key.name(), Arc::new(kept), ttl).await? {
            Kind::Stored => Put::Stored,
            Kind::TooLarge => Put::TooLarge,
        })
    }

    /// Removes an entry. A load that is under way may bring it back: what must not come back is
    /// [invalidated](Self::invalidate).
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn remove(&self, key: &QueryKey) -> Result<(), StoreError> {
        self.keeper.cache.remove(key.name()).await
    }

    /// Invalidates a part of what a tenant has, by one step whatever its size. What is being loaded
    /// meanwhile is invalidated too. Once this has returned without an error, this process gives
    /// nothing any more that was kept or begun before; others do not within 100 ms while the bus is
    /// live, and within a second otherwise.
    ///
    /// The last 1000 invalidations of single keys, tags and types are known one by one. When there
    /// are more, the older half is forgotten, and all that is older than those counts as
    /// invalidated.
    ///
    /// # Errors
    ///
    /// When the store does not answer: then entries may still be given. Do it over.
    pub async fn invalidate(
        &self,
        tenant: &TenantId,
        what: Invalidate<'_>,
    ) -> Result<(), StoreError> {
        self.invalidate_all(tenant, [what]).await
    }

    /// The same for several parts, at once.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_all<'a>(
        &self,
        tenant: &TenantId,
        what: impl IntoIterator<Item = Invalidate<'a>>,
    ) -> Result<(), StoreError> {
        let purge = purge(what);
        self.keeper.cache.purge(tenant, &purge).await
    }

    /// Makes a part of what a tenant has stale: it is still given where its class allows stale
    /// values, while it is loaded anew.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn expire<'a>(
        &self,
        tenant: &TenantId,
        what: impl IntoIterator<Item = Invalidate<'a>>,
    ) -> Result<(), StoreError> {
        let purge = purge(what).soft();
        self.keeper.cache.purge(tenant, &purge).await
    }

    /// How many bytes the entries in this process take, and how many they may.
    pub fn weight(&self) -> (u64, u64) {
        self.keeper.cache.weight()
    }
}

fn purge<'a>(what: impl IntoIterator<Item = Invalidate<'a>>) -> Purge {
    let mut tags = Vec::new();
    for what in what {
        if matches!(what, Invalidate::Everything) {
            return Purge::everything();
        }
        tags.push(what.as_tag());
    }
    Purge::tags(tags)
}
