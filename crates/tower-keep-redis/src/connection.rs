//! The handle.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use fred::{clients::Client, interfaces::ClientLike};
use tokio::{runtime::Handle, time::sleep};
use tower_keep_core::{ConfigError, StoreError};

use crate::{
    breaker::ConnectionState, client::Blueprint, clients::Clients, config::RedisConfig, endpoint,
    health::ConnectionHealth, probe, shared::Shared,
};

/// A handle on one shared, guarded connection. Cheap to clone; the connection ends with its last
/// handle.
///
/// # Dropped futures
///
/// A command whose future is dropped may still be carried out: use one only where that
/// over-counts at most, and let a write that must be seen through run in a task of its own.
#[derive(Clone)]
pub struct Connection {
    pub(crate) shared: Arc<Shared>,
}

impl Connection {
    /// Begins to connect, and goes on for as long as a handle is left. Redis need not be up:
    /// until it is, commands are refused at once as not sent.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with `config`; or that no tokio runtime is running here.
    pub fn connect(config: RedisConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let runtime = runtime()?;
        let blueprint = Blueprint::new(&config)?;
        let endpoint = config.endpoint();
        Self::begin(config, endpoint, blueprint, &runtime)
    }

    /// Begins to connect to what the blueprint says.
    pub(crate) fn begin(
        config: RedisConfig,
        endpoint: String,
        blueprint: Blueprint,
        runtime: &Handle,
    ) -> Result<Self, ConfigError> {
        let clients = Arc::new(blueprint.patient()?);
        let events = probe::listen(&clients);
        clients.connect(runtime.clone());
        let shared = Arc::new(Shared::new(config, endpoint, clients, Some(blueprint)));
        probe::start(&shared, events, runtime);
        Ok(Self { shared })
    }

    /// Shares a client that the program has already: one on which `init` or `connect` was called.
    /// It is used as it is, never replaced, and left alone when the last handle is dropped.
    ///
    /// Commands have its `default_command_timeout`, or 75 ms if it has none.
    ///
    /// # Errors
    ///
    /// When the client has no reconnect policy (every command hangs after the first drop), or a
    /// `max_command_buffer_len` above 0 (one refusal stops the flushing of all later commands), or
    /// in a cluster `max_redirections` above 0 (callers get each other's answers); or when no
    /// tokio runtime is running here.
    pub fn from_fred(client: Client) -> Result<Self, ConfigError> {
        let mut found = ConfigError::default();
        if !client.has_reconnect_policy() {
            found.push("fred client", "it has no reconnect policy: set one with `set_policy`");
        }
        if client.connection_config().max_command_buffer_len > 0 {
            found.push("fred client", "its `max_command_buffer_len` is not 0");
        }
        if client.is_clustered() && client.connection_config().max_redirections > 0 {
            found.push("fred client", "its `max_redirections` is not 0, and it is a cluster's");
        }
        found.into_result(())?;
        let runtime = runtime()?;
        let mut config = RedisConfig::default();
        let timeout = client.perf_config().default_command_timeout;
        if !timeout.is_zero() {
            config = config.with_timeout(timeout);
        }
        let endpoint = endpoint::of_client(&client);
        let clients = Arc::new(Clients::borrow(client));
        let events = probe::listen(&clients);
        let shared = Arc::new(Shared::new(config, endpoint, clients, None));
        probe::start(&shared, events, &runtime);
        Ok(Self { shared })
    }

    /// Waits until the server has answered a `PING`, at most the connect timeout.
    ///
    /// # Errors
    ///
    /// `Refused`, with the server's words, as soon as it says something that waiting will not
    /// mend, such as a wrong password or a missing right. `NotSent` as soon as one side does not
    /// trust the other's certificate, and when the time is over.
    pub async fn require(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let deadline = Instant::now() + shared.config.connect_timeout;
        loop {
            let clients = shared.clients.load_full();
            let patience = deadline.min(Instant::now() + shared.config.timeout);
            let failure = match shared.greet(&clients, patience).await {
                Ok(()) => {
                    shared.recovered();
                    return Ok(());
                }
                Err(failure) => shared.vitals.trouble().unwrap_or(failure.of_connection()),
            };
            if failure.is_lasting() {
                return Err(failure.into_error());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (waited, why) = (shared.config.connect_timeout, failure.error().message());
                let text = format!("{}: no answer within {waited:?}: {why}", shared.endpoint);
                return Err(StoreError::not_sent(text));
            }
            tokio::select! {
                () = probe::connected(clients.pick()) => {}
                () = sleep(left.min(Duration::from_millis(20))) => {}
            }
        }
    }

    /// The fred client, for what the layers do not do. It is a clone: take it anew for each use,
    /// it may be another one after an outage. It ends with this connection, has none of its
    /// guards, and in a cluster follows no redirections.
    ///
    /// [`RedisConfig::with_pool_size`] above 1 makes it the next in turn.
    pub fn client(&self) -> Client {
        self.shared.client()
    }

    /// Whether it speaks to a cluster.
    pub fn is_clustered(&self) -> bool {
        self.shared.clustered
    }

    /// Whether commands are sent now, and not refused. Does not wait.
    pub fn is_available(&self) -> bool {
        self.state() == ConnectionState::Up
    }

    /// What is known about the connection. Does not wait.
    pub fn state(&self) -> ConnectionState {
        self.shared.breaker.state()
    }

    /// The last thing that went wrong, even if all is well since.
    pub fn last_error(&self) -> Option<StoreError> {
        self.shared.vitals.last_error().map(|(error, _)| error)
    }

    /// How it is, as far as it knows. Does not wait, and asks no server.
    pub fn health(&self) -> ConnectionHealth {
        ConnectionHealth::of(&self.shared)
    }

    /// What it is connected to, without the password.
    pub fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

pub(crate) fn runtime() -> Result<Handle, ConfigError> {
    Handle::try_current().map_err(|_| {
        ConfigError::new("runtime", "a Redis connection needs a running tokio runtime around it")
    })
}
