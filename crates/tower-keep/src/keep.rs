//! The handle that owns the store and hands out layers.

use std::sync::Arc;

use tower_keep_core::{ConfigError, StoreError};
use tower_keep_rate_limit::{MemoryStore, RateLimitLayer, RateLimitLayerBuilder, RuleNames};

use crate::{
    config::Config,
    health::{Health, Status, StoreKind},
};

/// One store, shared by all layers: a Redis connection, or this process's memory. Cheap to
/// clone; the connection is closed when the last clone and the last layer are gone.
#[derive(Clone, Debug)]
pub struct Keep {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    /// Counts in memory mode, and while Redis is away.
    limits: Arc<MemoryStore>,
    /// The rules of all rate-limit layers, which count together.
    names: Arc<RuleNames>,
    config: Config,
}

#[derive(Debug)]
pub(crate) enum Store {
    Memory,
    #[cfg(feature = "redis")]
    Redis(crate::redis::Redis),
}

impl Keep {
    /// As the environment says ([`Config`] lists the variables): Redis if `REDIS_URL` or
    /// `REDIS_HOST` is set, else memory. One log line says what is used and why.
    ///
    /// Redis need not be up; see [`Keep::require_connection`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names every variable which cannot be used, and when Redis is to be
    /// used outside a tokio runtime.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::new(Config::from_env()?)
    }

    /// As `config` says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when Redis is to be used outside a tokio runtime or with settings that
    /// cannot be.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unnecessary_wraps, reason = "the same with and without Redis")
    )]
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = config.redis.clone() {
            return Self::with_redis(redis, config);
        }
        Ok(Self::in_memory(config))
    }

    /// Keeps everything in this process, whatever the environment says.
    pub fn memory() -> Self {
        Self::in_memory(Config::default())
    }

    fn in_memory(config: Config) -> Self {
        tracing::info!("keeping state in this process's memory, because {}", config.because());
        Self::with(Store::Memory, config)
    }

    pub(crate) fn with(store: Store, config: Config) -> Self {
        let limits = Arc::new(MemoryStore::new());
        Self { shared: Arc::new(Shared { store, limits, names: Arc::default(), config }) }
    }

    /// Begins a rate-limit layer on this keep's store.
    ///
    /// Given no rule, it has one for each user of a tenant on each endpoint: `RATE_LIMIT_MAX`
    /// requests (100) per `RATE_LIMIT_WINDOW` (900 s). Any rule replaces that one. Layers of one
    /// keep count together where they have a rule of the same name and scope, on Redis and in
    /// memory alike; such rules must have the same window, else `build` refuses the second.
    ///
    /// ```
    /// # use tower_keep::Keep;
    /// let layer = Keep::memory().rate_limit().build()?;
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn rate_limit(&self) -> RateLimitLayerBuilder {
        let Shared { store, limits, names, config } = &*self.shared;
        let builder = RateLimitLayer::builder()
            .default_rule(config.rate_limit.default_rule())
            .key_life(config.rate_limit.ttl)
            .names(Arc::clone(names))
            .trusted_proxies(config.trusted_proxies.clone());
        match store {
            Store::Memory => builder.memory_store(Arc::clone(limits)),
            #[cfg(feature = "redis")]
            Store::Redis(redis) => builder.store_with_fallback(redis.limits(), Arc::clone(limits)),
        }
    }

    /// How this keep is, without waiting for anybody.
    pub fn health(&self) -> Health {
        match &self.shared.store {
            Store::Memory => Health {
                status: Status::Ok,
                store: StoreKind::Memory,
                #[cfg(feature = "redis")]
                redis: None,
                #[cfg(feature = "redis")]
                bus: None,
            },
            #[cfg(feature = "redis")]
            Store::Redis(redis) => redis.health(),
        }
    }

    /// Waits until Redis answers, at most `REDIS_CONNECT_TIMEOUT_MS`. A keep in memory is ready
    /// at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: `NotSent` when Redis did not answer in time, `Refused` when it refuses us
    /// (a wrong password, say). The keep goes on trying either way.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_async, reason = "the same with and without Redis")
    )]
    pub async fn require_connection(&self) -> Result<(), StoreError> {
        match &self.shared.store {
            Store::Memory => Ok(()),
            #[cfg(feature = "redis")]
            Store::Redis(redis) => redis.connection.require().await,
        }
    }
}
