//! The whole cache in memory, its time moved by hand. What holds on every store is tested in the
//! workspace's `tests`.

mod layer;
mod lives;
mod loads;
mod several;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_keep_core::{
    TenantId,
    time::{Clock, UnixMillis},
};

use crate::{Fetched, LoadError, QueryCache, QueryCacheBuilder, QueryKey, Source, TtlClass};

const SECOND: Duration = Duration::from_secs(1);

/// A cache, its time, and a database that counts.
struct Site {
    cache: QueryCache,
    clock: Clock,
    class: TtlClass,
    loads: Arc<AtomicUsize>,
}

impl Site {
    fn new(set: impl FnOnce(TtlClass) -> TtlClass) -> Self {
        Self::with(|builder| builder, set)
    }

    fn with(
        build: impl FnOnce(QueryCacheBuilder) -> QueryCacheBuilder,
        set: impl FnOnce(TtlClass) -> TtlClass,
    ) -> Self {
        let clock = Clock::manual(UnixMillis(1_000_000));
        let cache = build(QueryCache::builder().memory().clock(clock.clone())).build().unwrap();
        let class = set(TtlClass::new("test", 100 * SECOND).jitter(0.0));
        Self { cache, clock, class, loads: Arc::default() }
    }

    /// Asks for a number; the loader counts its calls, and brings that.
    async fn count(&self, key: &QueryKey) -> Result<Fetched<usize>, LoadError<String>> {
        let loads = Arc::clone(&self.loads);
        let load = move || async move { Ok(loads.fetch_add(1, Ordering::SeqCst)) };
        self.cache.get_or_load(key, &self.class, load).await
    }

    async fn is(&self, key: &QueryKey, number: usize, source: Source) {
        let fetched = self.count(key).await.unwrap();
        assert_eq!((*fetched.value, fetched.source), (number, source));
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Asks with a loader that fails.
    async fn fail(&self, key: &QueryKey) -> Result<Fetched<usize>, LoadError<String>> {
        self.cache.get_or_load(key, &self.class, || async { Err("down".to_owned()) }).await
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn key(id: u32) -> QueryKey {
    QueryKey::named(&acme(), "thing", id)
}

/// Waits, while other tasks run.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not come to that");
}
