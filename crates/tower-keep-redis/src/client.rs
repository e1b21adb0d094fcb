//! The fred clients: the settings that fred must have, who owns them, and whose turn it is.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    socket2::TcpKeepalive,
    types::{
        Builder, ConnectHandle,
        config::{ReconnectPolicy, TcpConfig},
    },
};
use tokio::runtime::Handle;
use tower_keep_core::ConfigError;

use crate::{config::RedisConfig, server::fred_config};

/// How long saying goodbye may take.
const QUIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Clients {
    first: Client,
    more: Vec<Client>,
    turn: AtomicUsize,
    /// What ends ours with us; `None` for a client that belongs to the caller.
    owned: Option<(Handle, Vec<ConnectHandle>)>,
}

impl Clients {
    /// Clients that begin to connect with [`Clients::connect`].
    pub(crate) fn build(config: &RedisConfig) -> Result<Self, ConfigError> {
        let server = fred_config(config)?;
        let mut builder = Builder::from_config(server);
        builder
            .with_connection_config(|fred| {
                fred.connection_timeout = config.connect_timeout;
                fred.internal_command_timeout = config.connect_timeout;
                // Nothing is sent twice. Each command overrides it, to follow redirections.
                fred.max_command_attempts = 1;
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
                fred.default_command_timeout = config.timeout;
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
        let build =
            || builder.build().map_err(|error| ConfigError::new("REDIS_URL", error.details()));
        let more: Result<Vec<_>, _> = (1..config.pool_size).map(|_| build()).collect();
        Ok(Self { first: build()?, more: more?, turn: AtomicUsize::new(0), owned: None })
    }

    /// A client that belongs to the caller.
    pub(crate) fn borrow(client: Client) -> Self {
        Self { first: client, more: Vec::new(), turn: AtomicUsize::new(0), owned: None }
    }

    /// Starts the tasks that connect ours and stay connected. Needs a runtime.
    pub(crate) fn connect(&mut self, runtime: Handle) {
        self.owned = Some((runtime, self.all().map(ClientLike::connect).collect()));
    }

    /// The next client in turn, a connected one if there is one.
    pub(crate) fn pick(&self) -> &Client {
        if self.more.is_empty() {
            return &self.first;
        }
        let count = self.more.len() + 1;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let mut in_turn = self.all().cycle().skip(turn).take(count).peekable();
        let next = in_turn.peek().copied().unwrap_or(&self.first);
        in_turn.find(|client| client.is_connected()).unwrap_or(next)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Client> + Clone {
        std::iter::once(&self.first).chain(&self.more)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let Some((runtime, tasks)) = self.owned.take() else { return };
        for (client, task) in self.all().cloned().zip(tasks) {
            runtime.spawn(async move {
                // Says QUIT if it is connected. A client that is not cannot be asked to stop.
                let _ = tokio::time::timeout(QUIT, client.quit()).await;
                task.abort();
            });
        }
    }
}
