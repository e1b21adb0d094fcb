//! Several values at once.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use tokio::time::Instant;
use tower_keep_cache::{Found, Landed, Leader, Stamp, Turn};

use crate::{
    cache::QueryCache,
    class::TtlClass,
    fetched::{LoadError, Sought, Source},
    keeper::{Flown, Keeper, Look},
    kept::{Cacheable, Kept},
    key::QueryKey,
    outcome::{INSTRUMENTS, QueryCacheOutcome, count_bypass},
    want::{QUICK, Want},
};

/// How often those who wait in vain wait once more before they load by themselves.
const ROUNDS: usize = 3;

/// One thing that was asked for.
struct Item<K, T> {
    id: K,
    key: QueryKey,
    sought: Option<Sought<T>>,
}

/// One thing that this caller is to load.
struct Miss {
    /// Which item it is.
    at: usize,
    leader: Option<Leader<Flown>>,
    stamp: Stamp,
    reserve: Option<Arc<Kept>>,
}

impl QueryCache {
    /// Several values, each kept or loaded, in the order in which they were asked for.
    ///
    /// What is not in this process is asked of the store in one round trip, and what is not there
    /// either is loaded by one call, which is given the ids of what is missing and brings pairs of
    /// id and value. What it does not bring does not exist, which is kept for as long as the class
    /// [says](TtlClass::negative). All of it is stored together.
    ///
    /// What others are loading already is waited for, and loaded by a call of its own should they
    /// fail to bring it. Values past their time are loaded before they are given, also where the
    /// class would give them meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use tower_keep_core::TenantId;
    /// # use tower_keep_query_cache::{QueryCache, QueryKey, TtlClass};
    /// # let cache = QueryCache::builder().memory().build()?;
    /// # let (tenant, class) = (TenantId::new("acme")?, TtlClass::new("query", Duration::from_secs(300)));
    /// let keys = [3, 1, 2].map(|id| (id, QueryKey::named(&tenant, "patient", id)));
    /// // Ask the database for those with these ids.
    /// let load = async |ids: Vec<u32>| {
    ///     Ok::<_, std::io::Error>(ids.into_iter().filter(|id| *id < 3).map(|id| (id, id.to_string())))
    /// };
    /// let found = cache.get_many_or_load(keys, &class, load).await?;
    /// let names: Vec<_> = found.iter().map(|sought| sought.value.as_deref().map(|it| &**it)).collect();
    /// assert_eq!(names, [None, Some("1"), Some("2")]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load), if any of the values could not be had.
    pub async fn get_many_or_load<K, T, E, L, F, R>(
        &self,
        keys: impl IntoIterator<Item = (K, QueryKey)>,
        class: &TtlClass,
        mut load: L,
    ) -> Result<Vec<Sought<T>>, LoadError<E>>
    where
        K: Clone + Eq + Hash + Send,
        T: Cacheable,
        E: Send + Sync + 'static,
        L: FnMut(Vec<K>) -> F + Send,
        F: Future<Output = Result<R, E>> + Send,
        R: IntoIterator<Item = (K, T)>,
    {
        let (mut items, places) = distinct(keys);
        for item in &mut items {
            if let Some(found) = self.keeper.cache.peek(item.key.name()) {
                item.take(&self.keeper, &found, Source::Near);
            }
        }
        let deadline = Instant::now() + self.keeper.patience;
        let mut round = 0;
        loop {
            let wanted: Vec<usize> = (0..items.len())
                .filter(|at| items.get(*at).is_some_and(Item::is_missing))
                .collect();
            if wanted.is_empty() {
                break;
            }
            round += 1;
            let (mut misses, mut follow) = (Vec::new(), Vec::new());
            for at in wanted {
                let Some(item) = items.get(at) else { continue };
                let turn = if round > ROUNDS {
                    Turn::Alone
                } else {
                    self.keeper.flights.join(item.key.name().as_bytes())
                };
                match turn {
                    Turn::Lead(leader) => misses.push((at, Some(leader))),
                    Turn::Alone => misses.push((at, None)),
                    Turn::Follow(follower) => follow.push((at, follower)),
                }
            }
            self.fetch(&mut items, misses, class, &mut load).await?;
            for (at, mut follower) in follow {
                let left = || deadline.saturating_duration_since(Instant::now());
                match follower.value(left()).await {
                    Landed::Value(flown) => {
                        let Some(item) = items.get_mut(at) else { continue };
                        if let Some(told) = self.want(item.key.clone(), class).take(&flown) {
                            item.sought = Some(told?);
                        } else if !follower.ended(left()).await {
                            round = ROUNDS;
                        }
                    }
                    Landed::Abandoned => {}
                    Landed::TimedOut => round = ROUNDS,
                }
            }
        }
        let sought: Vec<_> = items.into_iter().filter_map(|item| item.sought).collect();
        for one in &sought {
            INSTRUMENTS.observe().finish(one.source.into());
        }
        Ok(places.into_iter().filter_map(|at| sought.get(at).cloned()).collect())
    }

    fn want<T>(&self, key: QueryKey, class: &TtlClass) -> Want<T> {
        let of = std::marker::PhantomData;
        let (keeper, class) = (Arc::clone(&self.keeper), class.clone());
        Want { keeper, key, class, absent_will_do: true, anew: false, of }
    }

    /// Asks the store for these, and loads what it does not have.
    async fn fetch<K, T, E, L, F, R>(
        &self,
        items: &mut [Item<K, T>],
        missing: Vec<(usize, Option<Leader<Flown>>)>,
        class: &TtlClass,
        load: &mut L,
    ) -> Result<(), LoadError<E>>
    where
        K: Clone + Eq + Hash + Send,
        T: Cacheable,
        E: Send + Sync + 'static,
        L: FnMut(Vec<K>) -> F + Send,
        F: Future<Output = Result<R, E>> + Send,
        R: IntoIterator<Item = (K, T)>,
    {
        let (misses, bypass) = self.ask(items, missing).await;
        if misses.is_empty() {
            return Ok(());
        }
        let keeper = &self.keeper;
        let alone =
            bypass || keeper.is_strained() || misses.iter().any(|miss| miss.leader.is_none());
        let turn = if alone { keeper.turn().await } else { None };
        if alone && turn.is_none() {
            for leader in misses.into_iter().filter_map(|miss| miss.leader) {
                leader.land(Flown::Busy);
            }
            INSTRUMENTS.observe().finish(QueryCacheOutcome::Busy);
            return Err(LoadError::Busy);
        }
        let ids = misses.iter().filter_map(|miss| Some(items.get(miss.at)?.id.clone())).collect();
        let since = Instant::now();
        let loaded = load(ids).await;
        drop(turn);
        if !bypass && since.elapsed() > QUICK {
            let tenants: HashSet<_> = misses
                .iter()
                .filter_map(|miss| Some(items.get(miss.at)?.key.tenant().clone()))
                .collect();
            for tenant in &tenants {
                // Those who wait may have come after a purge elsewhere, of which nobody told us.
                let _ = keeper.cache.generations(tenant).await;
            }
        }
        match loaded {
            Ok(values) => {
                self.keep(items, misses, values.into_iter().collect(), class, bypass);
                Ok(())
            }
            Err(error) => self.fail(items, misses, Arc::new(error)),
        }
    }

    /// What the store has of these: what it does not have, and whether it did not answer.
    async fn ask<K, T: Cacheable>(
        &self,
        items: &mut [Item<K, T>],
        missing: Vec<(usize, Option<Leader<Flown>>)>,
    ) -> (Vec<Miss>, bool) {
        let cache = &self.keeper.cache;
        let names: Vec<_> = missing
            .iter()
            .filter_map(|(at, _)| items.get(*at).map(|item| item.key.name().clone()))
            .collect();
        let found = if names.is_empty() { Ok(Vec::new()) } else { cache.get_many(&names).await };
        let bypass = found.is_err();
        if let Err(error) = &found {
            count_bypass();
            tracing::debug!(%error, "the store did not answer: loading directly");
        }
        let mut found = found.unwrap_or_default().into_iter();
        let mut misses = Vec::new();
        for (at, leader) in missing {
            let Some(item) = items.get_mut(at) else { continue };
            let found = found.next();
            let mut miss = Miss { at, leader, stamp: Stamp::default(), reserve: None };
            let Some(found) = found else {
                miss.stamp = cache.known(item.key.tenant()).stamp();
                misses.push(miss);
                continue;
            };
            if item.take(&self.keeper, &found, Source::Store) {
                if let (Some(leader), Some(kept)) = (miss.leader, found.value) {
                    leader.land(Flown::Kept { kept, stale: false });
                }
                continue;
            }
            miss.stamp = found.generations.stamp();
            miss.reserve = found.value;
            misses.push(miss);
        }
        (misses, bypass)
    }

    fn keep<K: Eq + Hash, T: Cacheable>(
        &self,
        items: &mut [Item<K, T>],
        misses: Vec<Miss>,
        mut values: HashMap<K, T>,
        class: &TtlClass,
        bypass: bool,
    ) {
        let keeper = &self.keeper;
        let (mut puts, mut flown) = (Vec::new(), Vec::new());
        for miss in misses {
            let Some(item) = items.get_mut(miss.at) else { continue };
            let value = values.remove(&item.id).map(Arc::new);
            let kept = Arc::new(keeper.make(&item.key, class, value.as_ref(), miss.stamp));
            item.sought = Some(Sought { value, source: Source::Loaded });
            let gone = keeper.is_gone(&item.key, &kept);
            if !bypass && !gone {
                match keeper.keep_for(&kept, class) {
                    Some(ttl) => puts.push((item.key.name().clone(), Arc::clone(&kept), ttl)),
                    // What was there is no longer so.
                    None if miss.reserve.is_some() => drop(keeper.cache.remove(item.key.name())),
                    None => {}
                }
            }
            if let Some(leader) = miss.leader {
                let what = if gone { Flown::Purged } else { Flown::Kept { kept, stale: false } };
                flown.push((leader, what));
            }
        }
        keeper.put_many(puts, flown);
    }

    /// The loader has failed. It has not if there is something to stand in for each value.
    fn fail<K, T: Cacheable, E: Send + Sync + 'static>(
        &self,
        items: &mut [Item<K, T>],
        misses: Vec<Miss>,
        error: Arc<E>,
    ) -> Result<(), LoadError<E>> {
        let mut failed = false;
        for miss in misses {
            let Some(item) = items.get_mut(miss.at) else { continue };
            let flown = if let Some((kept, sought)) = self.keeper.stand_in(&item.key, miss.reserve)
            {
                item.sought = Some(sought);
                Flown::Kept { kept, stale: true }
            } else {
                failed = true;
                Flown::Failed(Arc::clone(&error) as Arc<_>)
            };
            if let Some(leader) = miss.leader {
                leader.land(flown);
            }
        }
        if !failed {
            return Ok(());
        }
        INSTRUMENTS.observe().finish(QueryCacheOutcome::Failed);
        Err(LoadError::Loader(error))
    }
}

impl<K, T: Cacheable> Item<K, T> {
    /// Takes what was found, if it may be used as it is.
    fn take(&mut self, keeper: &Keeper, found: &Found<Kept>, source: Source) -> bool {
        let Look::Fresh(value) = keeper.look(&self.key, found, true) else { return false };
        self.sought = Some(Sought { value, source });
        true
    }

    const fn is_missing(&self) -> bool {
        self.sought.is_none()
    }
}

/// Each once, and where each of those asked for is.
fn distinct<K, T>(keys: impl IntoIterator<Item = (K, QueryKey)>) -> (Vec<Item<K, T>>, Vec<usize>) {
    let (mut items, mut known): (Vec<Item<K, T>>, _) = (Vec::new(), HashMap::new());
    let mut places = Vec::new();
    for (id, key) in keys {
        let at = *known.entry(key.clone()).or_insert(items.len());
        if at == items.len() {
            items.push(Item { id, key, sought: None });
        }
        places.push(at);
    }
    (items, places)
}
