//! The part of a keep that knows Redis.

use std::sync::{Arc, OnceLock};

use tower_keep_core::ConfigError;
use tower_keep_rate_limit::RedisStore;
use tower_keep_redis::SharedBus;
pub use tower_keep_redis::{
    Bus, BusEvent, BusEvents, BusMessage, BusState, Connection, ConnectionHealth, ConnectionState,
    LastError, Pem, RedisConfig, ServerInfo, ServerRole, fred,
};

use tower_keep_response_cache::CacheBuilder;

use self::fred::clients::Client;

use crate::{
    config::Config,
    health::{Health, Status, StoreKind},
    keep::{Keep, Store},
};

/// What a keep in Redis owns.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) connection: Connection,
    /// Whether the bus is wanted.
    pubsub: bool,
    bus: SharedBus,
    /// Counts for all rate-limit layers; made for the first.
    limits: OnceLock<Arc<RedisStore>>,
    /// The same for all session layers.
    sessions: OnceLock<Arc<tower_keep_session::RedisStore>>,
}

impl Redis {
    fn new(connection: Connection, pubsub: bool) -> Self {
        let (limits, sessions) = (OnceLock::new(), OnceLock::new());
        Self { connection, pubsub, bus: SharedBus::default(), limits, sessions }
    }

    /// The store of all rate-limit layers. It remembers whom it has denied, unless there is no
    /// runtime here for the bus that this takes.
    pub(crate) fn limits(&self) -> Arc<RedisStore> {
        let store = || {
            let plain = RedisStore::new(self.connection.clone());
            let bus = self.bus.get(&self.connection, self.pubsub);
            let remembering = bus.and_then(|bus| plain.clone().remember_denials(&bus));
            Arc::new(remembering.unwrap_or(plain))
        };
        Arc::clone(self.limits.get_or_init(store))
    }

    /// The store of all session layers. It tells the other processes what it has ended, unless
    /// there is no runtime here for the bus that this takes.
    pub(crate) fn sessions(&self) -> Arc<tower_keep_session::RedisStore> {
        let store = || {
            let plain = tower_keep_session::RedisStore::new(self.connection.clone());
            let bus = self.bus.get(&self.connection, self.pubsub);
            let telling = bus.and_then(|bus| plain.clone().announce_on(&bus));
            Arc::new(telling.unwrap_or(plain))
        };
        Arc::clone(self.sessions.get_or_init(store))
    }

    /// A cache here. Its near copies are used while the bus is live.
    pub(crate) fn cache(&self, builder: CacheBuilder) -> CacheBuilder {
        // Without a runtime there is neither bus nor cache: building says so.
        let bus = self.bus.get(&self.connection, self.pubsub).ok();
        builder.redis(&self.connection, bus.as_ref())
    }

    pub(crate) fn health(&self) -> Health {
        let connection = self.connection.health();
        let up = connection.state == ConnectionState::Up;
        Health {
            status: if up { Status::Ok } else { Status::Degraded },
            store: StoreKind::Redis,
            redis: Some(connection),
            bus: self.bus.state(),
        }
    }
}

impl Keep {
    /// Keeps state in the Redis at `url` (`redis://`, `redis-cluster://`, `redis-sentinel://`), with the
    /// default settings, whatever the environment says. Redis need not be up.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when `url` cannot be used, and outside a tokio runtime.
    pub fn connect(url: &str) -> Result<Self, ConfigError> {
        Self::with_redis(RedisConfig::from_url(url)?, Config::default())
    }

    /// Keeps state through a client that the program has made and initialised. It is used as it
    /// is, and never replaced.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a client that would hang or be poisoned by an outage: one without a
    /// reconnect policy, with `max_command_buffer_len` above 0, or in a cluster with
    /// `max_redirections` above 0; and outside a tokio runtime.
    pub fn from_fred(client: Client) -> Result<Self, ConfigError> {
        let connection = Connection::from_fred(client)?;
        let endpoint = connection.endpoint();
        tracing::info!("keeping state in Redis at {endpoint}, through the program's own client");
        Ok(Self::with(Store::Redis(Redis::new(connection, true)), Config::default()))
    }

    pub(crate) fn with_redis(redis: RedisConfig, config: Config) -> Result<Self, ConfigError> {
        let (endpoint, timeout, pubsub) = (redis.endpoint(), redis.timeout(), redis.pubsub());
        let connection = Connection::connect(redis)?;
        tracing::info!(
            "keeping state in Redis at {endpoint}, at most {timeout:?} per command, because {}",
            config.because()
        );
        Ok(Self::with(Store::Redis(Redis::new(connection, pubsub)), config))
    }

    /// The shared fred client, or `None` in memory mode. It is a clone of the one in use now: ask
    /// again rather than store it.
    pub fn redis(&self) -> Option<Client> {
        match &self.shared.store {
            Store::Memory => None,
            Store::Redis(redis) => Some(redis.connection.client()),
        }
    }

    /// The bus on which the processes that share a Redis tell each other what happened; `None` in
    /// memory mode. It is opened for its first user, shared by all, and closed with the last.
    ///
    /// Where the server forbids it, or `REDIS_PUBSUB_ENABLED` is `false`, it is off: one log line
    /// says so, and [`Keep::health`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] outside a tokio runtime.
    pub fn bus(&self) -> Result<Option<Bus>, ConfigError> {
        match &self.shared.store {
            Store::Memory => Ok(None),
            Store::Redis(redis) => redis.bus.get(&redis.connection, redis.pubsub).map(Some),
        }
    }
}
