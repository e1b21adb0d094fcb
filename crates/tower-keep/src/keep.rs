//! The handle that owns the store and hands out layers.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tower_keep_ai_cache::{AiCacheLayer, AiCacheLayerBuilder, AiStore};
use tower_keep_core::{ConfigError, StoreError};
use tower_keep_query_cache::{QueryCache, QueryCacheBuilder, QueryStore, TtlClass};
use tower_keep_rate_limit::{
    CreationLimit, MemoryStore, RateLimitLayer, RateLimitLayerBuilder, RuleNames,
};
use tower_keep_response_cache::{
    CacheBuilder, ResponseCacheLayer, ResponseCacheLayerBuilder, ResponseStore,
};
use tower_keep_session::{SessionLayer, SessionLayerBuilder, SessionStore};

use crate::{
    ai,
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
    /// Sessions, where they are kept in this process.
    sessions: OnceLock<Arc<tower_keep_session::MemoryStore>>,
    /// What all response caches store in.
    responses: OnceLock<ResponseStore>,
    /// What all AI caches store in.
    answers: OnceLock<AiStore>,
    /// What all query caches keep values in.
    queries: OnceLock<QueryStore>,
    config: Config,
}

/// How many sessions visitors at one address may begin in this process, in what time.
const NEW_SESSIONS: (u64, Duration) = (100, Duration::from_secs(60));

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
        let (names, sessions) = (Arc::default(), OnceLock::new());
        let (responses, answers, queries) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let shared = Shared { store, limits, names, sessions, responses, answers, queries, config };
        Self { shared: Arc::new(shared) }
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
        let Shared { store, limits, names, config, .. } = &*self.shared;
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

    /// Begins a session layer on this keep's store, as the `SESSION_*` variables say. Layers of one
    /// keep share their sessions, and so do all processes on one Redis that have the same
    /// `SESSION_SECRET`.
    ///
    /// Without a secret sessions in memory are sealed by one that is made up, which a warning says;
    /// on Redis `build` refuses, since nobody would know them again after a restart. Visitors at
    /// one address may begin 100 sessions in a minute, as this process counts.
    ///
    /// ```
    /// # use tower_keep::Keep;
    /// let layer = Keep::memory().session().build()?;
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn session(&self) -> SessionLayerBuilder {
        let Shared { limits, config, .. } = &*self.shared;
        let settings = &config.session;
        let (store, outlives) = self.session_store();
        let mut builder = SessionLayer::builder()
            .store(store)
            .secrets(&settings.secrets)
            .ttl(settings.ttl)
            .trusted_proxies(config.trusted_proxies.clone());
        if settings.secrets.is_empty() && !outlives {
            tracing::warn!(
                "SESSION_SECRET is not set: sessions are sealed by a secret that this process made \
                 up, and end with it"
            );
            builder = builder.ephemeral_secret();
        }
        if !settings.cookie_secure {
            builder = builder.insecure_cookie();
        }
        if let Some(vault) = &settings.vault {
            builder = builder.vault(vault.clone());
        }
        let (most, window) = NEW_SESSIONS;
        match CreationLimit::new("new-session", most, window, Arc::clone(limits) as Arc<_>) {
            Ok(limit) => builder.admission(Arc::new(limit)),
            Err(_) => builder,
        }
    }

    /// Begins a response-cache layer on this keep's store, as the `CACHE_*` variables say. What says
    /// `public` but not for how long is fresh for `CACHE_TTL` (an hour); what says nothing of caching
    /// is not stored.
    ///
    /// Layers of one keep store together: in 64 MiB of this process's memory, or in Redis, with
    /// near copies in as many. What one of them purges, or a request through it makes invalid, none
    /// of them serves. A layer that is told something else of its store (`capacity`, `fill_lease` …)
    /// has one of its own beside it; in Redis that has the same entries.
    ///
    /// ```
    /// # use tower_keep::Keep;
    /// let layer = Keep::memory().response_cache().build()?;
    /// let responses = layer.responses(); // to be purged
    /// # let _ = responses;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn response_cache(&self) -> ResponseCacheLayerBuilder {
        let Shared { responses, config, .. } = &*self.shared;
        let store = responses.get_or_init(|| ResponseStore::new(self.cache()));
        ResponseCacheLayer::builder()
            .stored_in(store)
            .public_ttl(config.cache.ttl)
            .max_body(config.cache.max_entry_bytes)
    }

    /// Begins a layer that caches answers of language models on this keep's store. Answers are stored
    /// for `AI_CACHE_TTL` (half an hour), those of the other classes for `OCR_CACHE_TTL` (two hours)
    /// and `ANALYSIS_CACHE_TTL` (an hour).
    ///
    /// The layers of one keep store together, as those of [`response_cache`](Self::response_cache)
    /// do. On Redis one process asks for all what is not stored.
    ///
    /// ```
    /// # use tower_keep::Keep;
    /// let layer = Keep::memory().ai_cache().build()?;
    /// let answers = layer.answers(); // to be flushed
    /// # let _ = answers;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn ai_cache(&self) -> AiCacheLayerBuilder {
        let Shared { answers, config, .. } = &*self.shared;
        let lease = Some(AiCacheLayer::LEASE);
        let store = answers.get_or_init(|| AiStore::new(self.cache().fill_lease(lease)));
        let builder =
            AiCacheLayer::builder().stored_in(store).ttl(ai::TtlClass::Chat, config.cache.ai_ttl);
        let classes = [("ocr", ai::TtlClass::Ocr), ("analysis", ai::TtlClass::Analysis)];
        classes.into_iter().fold(builder, |builder, (name, class)| {
            match config.cache.classes.get(name) {
                Some(ttl) => builder.ttl(class, ttl),
                None => builder,
            }
        })
    }

    /// Begins a query cache on this keep's store, as the `CACHE_*` variables say.
    ///
    /// The caches of one keep are one: what one of them keeps the others find, and what one
    /// invalidates none gives any more. It takes 64 MiB of this process's memory, or is in Redis,
    /// with near copies in as many. A cache that is told something else of its store (`capacity`,
    /// `fill_lease` …) has one of its own beside it; in Redis that has the same entries.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_keep::{Keep, QueryKey, TenantId};
    ///
    /// let keep = Keep::memory();
    /// let (cache, class) = (keep.query_cache().build()?, keep.ttl_class("prescription"));
    /// let key = QueryKey::named(&TenantId::new("acme")?, "prescription", 17);
    /// let load = || async { Ok::<_, std::io::Error>("2 a day".to_owned()) }; // ask the database
    /// assert_eq!(**cache.get_or_load(&key, &class, load).await?, *"2 a day");
    /// # Ok(()) }
    /// ```
    pub fn query_cache(&self) -> QueryCacheBuilder {
        let store = self.shared.queries.get_or_init(|| QueryStore::new(self.cache()));
        QueryCache::builder().kept_in(store)
    }

    /// A class of values that are kept for as long as its variable `<CLASS>_CACHE_TTL` says: 300 s
    /// for `query`, 7200 s for `prescription` and `CACHE_TTL` for any other, if it says nothing. See
    /// [`ClassTtls`](crate::ClassTtls).
    pub fn ttl_class(&self, name: &'static str) -> TtlClass {
        let settings = &self.shared.config.cache;
        TtlClass::new(name, settings.classes.get(name).unwrap_or(settings.ttl))
    }

    /// Begins a cache on this keep's store.
    fn cache(&self) -> CacheBuilder {
        let Shared { store, config, .. } = &*self.shared;
        let settings = &config.cache;
        let mut builder = CacheBuilder::new()
            .compress_above(settings.compress_above)
            .max_entry_bytes(settings.max_entry_bytes);
        if let Some(vault) = &settings.vault {
            builder = builder.vault(vault.clone());
        }
        match store {
            Store::Memory => builder.memory(),
            #[cfg(feature = "redis")]
            Store::Redis(redis) => redis.cache(builder),
        }
    }

    /// Where sessions are kept, and whether they outlive this process there.
    fn session_store(&self) -> (Arc<dyn SessionStore>, bool) {
        let Shared { store, sessions, config, .. } = &*self.shared;
        match store {
            #[cfg(feature = "redis")]
            Store::Redis(redis) if config.session.store != Some(StoreKind::Memory) => {
                (redis.sessions(), true)
            }
            _ => {
                let _ = config;
                let sessions = sessions.get_or_init(Arc::default);
                (Arc::clone(sessions) as Arc<_>, false)
            }
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

#[cfg(test)]
mod tests;
