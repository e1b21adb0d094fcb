//! The settings that fred must have.

use std::time::Duration;

use fred::{
    clients::Client,
    socket2::TcpKeepalive,
    types::{
        Builder,
        config::{Config, ReconnectPolicy, TcpConfig},
    },
};
use tower_keep_core::ConfigError;

use crate::{
    clients::Clients,
    config::RedisConfig,
    server::{fred_config, turned},
};

/// A hung attempt to connect is given up after this long by clients in a hurry.
const HURRY: Duration = Duration::from_millis(400);

/// What clients are made from, at first and when they are to be replaced.
pub(crate) struct Blueprint {
    server: Config,
    config: RedisConfig,
}

impl Blueprint {
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self { server: fred_config(config)?, config: config.clone() })
    }

    /// The same with a single client.
    pub(crate) fn single(&self) -> Self {
        Self { server: self.server.clone(), config: self.config.clone().with_pool_size(1) }
    }

    /// Clients that take the whole connect timeout for an attempt.
    pub(crate) fn patient(&self) -> Result<Clients, ConfigError> {
        self.build(self.config.connect_timeout, false)
    }

    /// Clients that soon give up an attempt that hangs, and begin another: on a link that
    /// swallows packets they notice soonest that it works again. `None` if patient ones are as
    /// quick.
    pub(crate) fn hasty(&self) -> Option<Result<Clients, ConfigError>> {
        (HURRY < self.config.connect_timeout).then(|| self.build(HURRY, true))
    }

    fn build(&self, attempt: Duration, hasty: bool) -> Result<Clients, ConfigError> {
        let refused = |error: fred::error::Error| ConfigError::new("REDIS_URL", error.details());
        let build = |_| self.builder(attempt).build();
        let clients: Result<Vec<Client>, _> = (0..self.config.pool_size).map(build).collect();
        Clients::own(clients.map_err(refused)?, hasty)
            .ok_or_else(|| ConfigError::new("REDIS_POOL_SIZE", "is 0"))
    }

    fn builder(&self, attempt: Duration) -> Builder {
        let mut builder = Builder::from_config(turned(&self.server));
        builder
            .with_connection_config(|fred| {
                fred.connection_timeout = attempt;
                fred.internal_command_timeout = attempt;
                // Nothing is sent twice.
                fred.max_command_attempts = 1;
                // We follow them: fred gives callers each other's answers when it does.
                fred.max_redirections = 0;
                // Anything above 0 breaks the flushing of commands after one refusal.
                fred.max_command_buffer_len = 0;
                fred.reconnect_on_auth_error = true;
                fred.tcp = TcpConfig {
                    nodelay: Some(true),
                    keepalive: Some(
                        TcpKeepalive::new()
                            .with_time(Duration::from_secs(15))
                            .with_interval(Duration::from_secs(5)),
                    ),
                    ..TcpConfig::default()
                };
            })
            .with_performance_config(|fred| {
                fred.default_command_timeout = self.config.timeout;
                fred.broadcast_channel_capacity = 1024;
            })
            // For ever. Without a policy every command hangs after the first drop.
            .set_policy(ReconnectPolicy::Exponential {
                attempts: 0,
                max_attempts: 0,
                min_delay: 10,
                max_delay: 250,
                base: 2,
                jitter: 20,
            });
        builder
    }
}
