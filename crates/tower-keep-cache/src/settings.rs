//! A cache's store and settings, before it is built.

use std::{fmt, sync::Arc, time::Duration};

use tower_keep_core::{ConfigError, Vault, time::Clock};

use crate::{cache::Cache, store::SharedStore, value::Value};

/// Makes a [`Cache`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct CacheBuilder {
    pub(crate) store: Option<Kept>,
    pub(crate) capacity: u64,
    pub(crate) near: bool,
    pub(crate) near_ttl: Duration,
    pub(crate) vault: Option<Vault>,
    pub(crate) compress_above: usize,
    pub(crate) max_entry_bytes: usize,
    pub(crate) clock: Clock,
    pub(crate) fill_lease: Option<Duration>,
}

/// Where entries are kept.
#[derive(Clone)]
pub(crate) enum Kept {
    /// In this process.
    Memory,
    /// In a store that processes share.
    Shared(Arc<dyn SharedStore>),
}

impl CacheBuilder {
    /// A cache with the defaults; its store is still to be named.
    pub fn new() -> Self {
        Self {
            store: None,
            capacity: 64 << 20,
            near: true,
            near_ttl: Duration::from_secs(5),
            vault: None,
            compress_above: 1024,
            max_entry_bytes: 1 << 20,
            clock: Clock::system(),
            fill_lease: None,
        }
    }

    /// Keeps entries in this process, and nowhere else.
    pub fn memory(mut self) -> Self {
        self.store = Some(Kept::Memory);
        self
    }

    /// Keeps entries in a store that processes share.
    pub(crate) fn shared(mut self, store: Arc<dyn SharedStore>) -> Self {
        self.store = Some(Kept::Shared(store));
        self
    }

    /// How many bytes entries may take in this process: all of them in memory mode, near copies
    /// otherwise. 64 MiB unless told otherwise.
    pub const fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Whether near copies of a shared store's entries are kept in this process. They are used
    /// only while the bus is live. On unless told otherwise.
    pub const fn near(mut self, near: bool) -> Self {
        self.near = near;
        self
    }

    /// How long near copies are used: 5 s unless told otherwise.
    pub const fn near_ttl(mut self, ttl: Duration) -> Self {
        self.near_ttl = ttl;
        self
    }

    /// Seals entries before a shared store gets them, and opens only those that are sealed.
    pub fn vault(mut self, vault: Vault) -> Self {
        self.vault = Some(vault);
        self
    }

    /// Bodies over this many bytes are compressed for a shared store where that makes them a tenth
    /// smaller: 1024 unless told otherwise.
    pub const fn compress_above(mut self, bytes: usize) -> Self {
        self.compress_above = bytes;
        self
    }

    /// The longest entry that is kept, in bytes: as a shared store has it, compressed; in memory by
    /// its [length](crate::Value::length). 1 MiB unless told otherwise.
    pub const fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.max_entry_bytes = bytes;
        self
    }

    /// Where the time is taken from.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Has one process at a time make an entry that is not there, for this long at most: see
    /// [`Lease`](crate::Lease). Off unless told otherwise; needs Redis 7. Nothing in memory, where
    /// there is one process only.
    pub const fn fill_lease(mut self, lasting: Option<Duration>) -> Self {
        self.fill_lease = lasting;
        self
    }

    /// The cache.
    ///
    /// # Errors
    ///
    /// When no store was named, or when a shared one was and no tokio runtime is running here.
    pub fn build<V: Value>(self) -> Result<Cache<V>, ConfigError> {
        Cache::new(&self)
    }
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("capacity", &self.capacity)
            .field("near", &self.near)
            .finish_non_exhaustive()
    }
}
