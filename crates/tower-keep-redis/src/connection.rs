//! The handle.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{ClusterHash, Value},
    util::redis_keyslot,
};
use tokio::{runtime::Handle, time::sleep};
use tower_keep_core::{ConfigError, StoreError};

use crate::{
    breaker::ConnectionState,
    client::Clients,
    config::RedisConfig,
    endpoint,
    error::Failure,
    probe,
    script::Script,
    shared::{Request, Shared},
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
    shared: Arc<Shared>,
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
        let mut clients = Clients::build(&config)?;
        let events = clients.all().map(probe::listen).collect();
        clients.connect(runtime.clone());
        let endpoint = config.endpoint();
        let shared = Arc::new(Shared::new(config, endpoint, clients));
        probe::start(&shared, events, &runtime);
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
    /// `max_command_buffer_len` above 0 (one refusal stops the flushing of all later commands); or
    /// when no tokio runtime is running here.
    pub fn from_fred(client: Client) -> Result<Self, ConfigError> {
        let mut found = ConfigError::default();
        if !client.has_reconnect_policy() {
            found.push("fred client", "it has no reconnect policy: set one with `set_policy`");
        }
        if client.connection_config().max_command_buffer_len > 0 {
            found.push("fred client", "its `max_command_buffer_len` is not 0");
        }
        found.into_result(())?;
        let runtime = runtime()?;
        let mut config = RedisConfig::default();
        let timeout = client.perf_config().default_command_timeout;
        if !timeout.is_zero() {
            config = config.with_timeout(timeout);
        }
        let endpoint = endpoint::of_client(&client);
        let events = vec![probe::listen(&client)];
        let shared = Arc::new(Shared::new(config, endpoint, Clients::borrow(client)));
        probe::start(&shared, events, &runtime);
        Ok(Self { shared })
    }

    /// Waits until the server has answered a `PING`, at most the connect timeout.
    ///
    /// # Errors
    ///
    /// `Refused`, with the server's words, as soon as it says something that waiting will not
    /// mend, such as a wrong password or a missing right. `NotSent` when the time is over.
    pub async fn require(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let deadline = Instant::now() + shared.config.connect_timeout;
        loop {
            let failure = match shared.ping().await {
                Ok(()) => {
                    shared.recovered();
                    return Ok(());
                }
                Err(failure) => shared.trouble().unwrap_or(failure),
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
                () = probe::connected(shared.clients.pick()) => {}
                () = sleep(left.min(Duration::from_millis(20))) => {}
            }
        }
    }

    /// The fred client, for what the layers do not do. It is a clone: take it anew for each use,
    /// it may be another one after an outage. It ends with this connection, and has none of its
    /// guards.
    ///
    /// [`RedisConfig::with_pool_size`] above 1 makes it the next in turn.
    pub fn client(&self) -> Client {
        self.shared.clients.pick().clone()
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
        self.shared.last_error()
    }

    /// What it is connected to, without the password.
    pub fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    /// Runs a script by its hash, and once in full where the server does not have it.
    ///
    /// In a cluster all keys must be on one node: give them the same hash tag.
    ///
    /// # Errors
    ///
    /// See the crate's "When Redis fails". A script that raises an error after a write has done
    /// that write, though it is `Refused`.
    pub fn run_script(
        &self,
        script: &'static Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            let pass = shared.enter(deadline).await?;
            let client = shared.clients.pick();
            let hash = shared.slot(keys.first().map(String::as_str));
            let mut full = script.arguments(keys, args);
            let request = |name, args| Request { name, hash: hash.clone(), node: None, args };
            let by_hash = request("EVALSHA", full.clone());
            let mut outcome = shared.exchange(client, by_hash, deadline).await;
            if outcome.as_ref().is_err_and(Failure::is_noscript) {
                script.spell_out(&mut full);
                outcome = shared.exchange(client, request("EVAL", full), deadline).await;
            }
            pass.finish(outcome)
        }
    }

    /// Sends one command; in a cluster, to the node that has `key`, or to any if there is none.
    ///
    /// `key` only chooses the node: it is to be among `args` as well.
    ///
    /// # Errors
    ///
    /// See the crate's "When Redis fails".
    pub fn command(
        &self,
        name: &'static str,
        key: Option<&str>,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let hash = shared.slot(key);
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            let pass = shared.enter(deadline).await?;
            let client = shared.clients.pick();
            let request = Request { name, hash, node: None, args };
            let outcome = shared.exchange(client, request, deadline).await;
            pass.finish(outcome)
        }
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

impl Shared {
    /// Where in a cluster the key is.
    fn slot(&self, key: Option<&str>) -> ClusterHash {
        match key.filter(|_| self.clustered) {
            Some(key) => ClusterHash::Custom(redis_keyslot(key.as_bytes())),
            None => ClusterHash::Random,
        }
    }
}

fn runtime() -> Result<Handle, ConfigError> {
    Handle::try_current().map_err(|_| {
        ConfigError::new("runtime", "a Redis connection needs a running tokio runtime around it")
    })
}
