//! A cache's store and settings, before it is built.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::Semaphore;
use tower_keep_cache::CacheBuilder;
use tower_keep_core::{ConfigError, Vault, time::Clock};

use crate::{
    cache::QueryCache,
    keeper::Keeper,
    store::{Open, QueryStore},
};

/// Makes a [`QueryCache`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct QueryCacheBuilder {
    store: QueryStore,
    patience: Duration,
    refresh_timeout: Duration,
    direct: usize,
}

impl QueryCacheBuilder {
    pub(crate) fn new() -> Self {
        Self {
            store: QueryStore::new(CacheBuilder::new()),
            patience: Duration::from_secs(5),
            refresh_timeout: Duration::from_secs(60),
            direct: 32,
        }
    }

    /// Keeps values in this process's memory.
    pub fn memory(self) -> Self {
        self.store(CacheBuilder::memory)
    }

    /// Keeps values where and how `change` says: see [`CacheBuilder`]. The cache has a store of its
    /// own then.
    pub fn store(mut self, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        self.store = QueryStore::new(change(self.store.builder()));
        self
    }

    /// Keeps values in a store that other caches share.
    pub fn kept_in(mut self, store: &QueryStore) -> Self {
        self.store = store.clone();
        self
    }

    /// How many bytes values may take in this process: 64 MiB unless told otherwise. What a value
    /// takes is estimated: its bytes as `MessagePack`, and as much again for itself.
    pub fn capacity(self, bytes: u64) -> Self {
        self.store(|builder| builder.capacity(bytes))
    }

    /// The longest value that is kept, in bytes as `MessagePack`, on a shared store compressed: 1 MiB
    /// unless told otherwise.
    pub fn max_entry_bytes(self, bytes: usize) -> Self {
        self.store(|builder| builder.max_entry_bytes(bytes))
    }

    /// Seals values before a shared store gets them.
    pub fn vault(self, vault: Vault) -> Self {
        self.store(|builder| builder.vault(vault))
    }

    /// Has one process at a time load what is not there, for this long at most: longer than the
    /// slowest loader takes. Needs Redis 7. Off unless told otherwise.
    pub fn fill_lease(self, lasting: Duration) -> Self {
        self.store(|builder| builder.fill_lease(Some(lasting)))
    }

    /// Where the time is taken from.
    pub fn clock(self, clock: Clock) -> Self {
        self.store(|builder| builder.clock(clock))
    }

    /// How long a caller waits for another's loader, in this process or in others, before it loads by
    /// itself, and for a turn to do so: 5 s each unless told otherwise.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long it may take to load anew what is stale, while it is given
    /// [meanwhile](crate::TtlClass::stale_while_revalidate). Then that loader is dropped, and whoever
    /// asks next begins anew: 60 s unless told otherwise.
    pub const fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    /// How many load at the same time while the store is down or does not keep what it is given, or
    /// after having waited for another's loader in vain, so that what was kept away from the database
    /// does not come over it at once: 32 unless told otherwise.
    pub const fn max_direct_loads(mut self, most: usize) -> Self {
        self.direct = most;
        self
    }

    /// The cache.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when no store was named, when nobody may load, and when a shared store was
    /// named and no tokio runtime is running here.
    pub fn build(self) -> Result<QueryCache, ConfigError> {
        let mut errors = ConfigError::default();
        if self.direct == 0 || self.direct > Semaphore::MAX_PERMITS {
            let message = format!("{} is not from 1 to {}", self.direct, Semaphore::MAX_PERMITS);
            errors.push("max_direct_loads", message);
        }
        let Open { cache, flights } = match self.store.open() {
            Ok(open) => open,
            Err(error) => {
                errors.merge(error);
                return Err(errors);
            }
        };
        let keeper = Keeper {
            cache,
            flights,
            direct: Semaphore::new(self.direct.min(Semaphore::MAX_PERMITS)),
            patience: self.patience,
            refresh_timeout: self.refresh_timeout,
            strained: AtomicU64::new(0),
        };
        errors.into_result(QueryCache { keeper: Arc::new(keeper) })
    }
}
