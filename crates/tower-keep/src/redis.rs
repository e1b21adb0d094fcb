//! The part of a keep that knows Redis.

use tower_keep_core::ConfigError;
pub use tower_keep_redis::{Connection, ConnectionState, RedisConfig, fred};

use self::fred::clients::Client;

use crate::{
    config::Config,
    health::{Health, Status, StoreKind},
    keep::{Keep, Store},
};

impl Keep {
    /// Keeps state in the Redis at `url` (`redis://`, `rediss://`, `redis-cluster://`), with the
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
    /// reconnect policy, or with `max_command_buffer_len` above 0; and outside a tokio runtime.
    pub fn from_fred(client: Client) -> Result<Self, ConfigError> {
        let connection = Connection::from_fred(client)?;
        tracing::info!("keeping state in Redis through the given client");
        Ok(Self::with(Store::Redis(connection), Config::default()))
    }

    pub(crate) fn with_redis(redis: RedisConfig, config: Config) -> Result<Self, ConfigError> {
        let (endpoint, timeout) = (redis.endpoint(), redis.timeout());
        let connection = Connection::connect(redis)?;
        tracing::info!(
            "keeping state in Redis at {endpoint}, at most {timeout:?} per command, because {}",
            config.because()
        );
        Ok(Self::with(Store::Redis(connection), config))
    }

    /// The shared fred client, or `None` in memory mode. It is a clone of the one in use now: ask
    /// again rather than store it.
    pub fn redis(&self) -> Option<Client> {
        match &self.shared.store {
            Store::Memory => None,
            Store::Redis(connection) => Some(connection.client()),
        }
    }
}

pub(crate) fn health(connection: &Connection) -> Health {
    let available = connection.is_available();
    Health {
        status: if available { Status::Ok } else { Status::Degraded },
        store: StoreKind::Redis,
        last_error: connection.last_error().filter(|_| !available).map(|error| error.to_string()),
    }
}
