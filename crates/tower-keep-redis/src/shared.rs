//! What all handles of one connection share, and the path of a command through it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        ClusterHash, CustomCommand, Value,
        config::{Options, Server},
    },
};
use tokio::sync::{Notify, SemaphorePermit, watch};
use tower_keep_core::StoreError;
use tracing::{info, warn};

use crate::{
    breaker::{Breaker, Change, ConnectionState, Ticket},
    client::Clients,
    config::RedisConfig,
    error::Failure,
    gate::Gate,
};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) endpoint: String,
    pub(crate) clustered: bool,
    /// Its limits are ours; its address is too, unless the client is the caller's.
    pub(crate) config: RedisConfig,
    pub(crate) clients: Clients,
    pub(crate) breaker: Breaker,
    gate: Gate,
    /// Prebuilt: an open breaker refuses at the cost of two counters.
    refusals: [StoreError; 2],
    last_error: Mutex<Option<StoreError>>,
    /// Why connecting fails; forgotten once it succeeds.
    trouble: Mutex<Option<Failure>>,
    /// Asks the watch for a probe now.
    pub(crate) suspicion: Arc<Notify>,
    /// Tells of changes; its end tells the background tasks to end.
    pub(crate) states: watch::Sender<ConnectionState>,
}

/// One command of one round trip.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) hash: ClusterHash,
    pub(crate) node: Option<Server>,
    pub(crate) args: Vec<Value>,
}

/// Leave to send, and a place among those under way.
pub(crate) struct Pass<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    _place: SemaphorePermit<'a>,
    /// Whether most of the deadline was left once there was a place.
    timely: bool,
    finished: bool,
}

impl Shared {
    pub(crate) fn new(config: RedisConfig, endpoint: String, clients: Clients) -> Self {
        let clustered = clients.all().any(ClientLike::is_clustered);
        let connected = clients.all().any(ClientLike::is_connected);
        let state = if connected { ConnectionState::Up } else { ConnectionState::Connecting };
        let refusals = ["not connected yet", "the connection is down"]
            .map(|why| StoreError::not_sent(format!("{endpoint}: {why}")));
        Self {
            endpoint,
            clustered,
            clients,
            breaker: Breaker::new(state, Instant::now()),
            gate: Gate::new(config.max_in_flight),
            refusals,
            last_error: Mutex::default(),
            trouble: Mutex::default(),
            config,
            suspicion: Arc::default(),
            states: watch::Sender::new(state),
        }
    }

    /// Leave to send a command, at once if there is a place, else as soon as there is one.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Pass<'_>, StoreError> {
        self.breaker.admit().ok_or_else(|| self.refusal())?;
        let place = self.gate.enter(deadline).await?;
        // It may have opened while this one waited.
        let ticket = self.breaker.admit().ok_or_else(|| self.refusal())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let timely = left > self.config.timeout / 2;
        Ok(Pass { shared: self, ticket, _place: place, timely, finished: false })
    }

    /// Sends a command as every command is sent: with a deadline, refused when fred is not
    /// connected, replayed never, redirected once.
    pub(crate) async fn exchange(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // To fred, zero is no deadline at all.
            return Err(Failure::late());
        }
        let options = Options {
            timeout: Some(left),
            fail_fast: true,
            max_attempts: Some(2),
            cluster_node: request.node,
            ..Options::default()
        };
        let command = CustomCommand::new_static(request.name, request.hash, false);
        let answer = client.with_options(&options).custom(command, request.args).await;
        answer.map_err(Failure::from)
    }

    /// Whether the server answers a `PING`; of a cluster, every node that is connected.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let client = self.clients.pick();
        let nodes = if self.clustered { client.active_connections() } else { Vec::new() };
        let nodes: Vec<_> =
            if nodes.is_empty() { vec![None] } else { nodes.into_iter().map(Some).collect() };
        let deadline = Instant::now() + self.config.timeout;
        for node in nodes {
            let (name, hash, args) = ("PING", ClusterHash::Random, Vec::new());
            self.exchange(client, Request { name, hash, node, args }, deadline).await?;
        }
        Ok(())
    }

    /// The server answers: commands may go out.
    pub(crate) fn recovered(&self) {
        *lock(&self.trouble) = None;
        if let Some(change) = self.breaker.close(Instant::now()) {
            self.announce(change, None);
        }
    }

    /// The server does not answer: commands are refused from here on.
    pub(crate) fn lost(&self, failure: &Failure) {
        if let Some(change) = self.breaker.open(Instant::now()) {
            self.announce(change, Some(failure));
        }
    }

    /// A probe was not answered.
    pub(crate) fn unanswered(&self, failure: &Failure) {
        self.remember(failure);
        // Before the first connection there is nothing to lose.
        if self.breaker.state() == ConnectionState::Up {
            self.lost(failure);
        }
    }

    /// fred failed to connect, or lost a connection.
    pub(crate) fn troubled(&self, failure: Failure) {
        self.remember(&failure);
        match self.breaker.state() {
            ConnectionState::Connecting => self.lost(&failure),
            // It may be back within a moment: ask.
            ConnectionState::Up => self.suspicion.notify_one(),
            ConnectionState::Down => {}
        }
        *lock(&self.trouble) = Some(failure);
    }

    pub(crate) fn trouble(&self) -> Option<Failure> {
        lock(&self.trouble).clone()
    }

    pub(crate) fn remember(&self, failure: &Failure) {
        *lock(&self.last_error) = Some(failure.error().clone());
    }

    pub(crate) fn last_error(&self) -> Option<StoreError> {
        // While it cannot connect, why not says more than that a command found it so.
        self.trouble().map(Failure::into_error).or_else(|| lock(&self.last_error).clone())
    }

    fn refusal(&self) -> StoreError {
        let [connecting, down] = &self.refusals;
        let connecting =
            (self.breaker.state() == ConnectionState::Connecting).then_some(connecting);
        connecting.unwrap_or(down).clone()
    }

    fn announce(&self, change: Change, failure: Option<&Failure>) {
        use ConnectionState::{Connecting, Up};
        let endpoint = self.endpoint.as_str();
        // What fred said of its connection tells more than the timeout of one command.
        let cause = failure.map(|failure| self.trouble().unwrap_or_else(|| failure.clone()));
        let reason = cause.as_ref().map(|cause| cause.error().message()).unwrap_or_default();
        match (change.from, change.to) {
            (Connecting, Up) => info!(endpoint, after = ?change.lasted, "connected to Redis"),
            (_, Up) => info!(endpoint, down_for = ?change.lasted, "Redis answers again"),
            (Connecting, _) => {
                warn!(endpoint, reason, "cannot connect to Redis; trying again in the background");
            }
            _ => warn!(endpoint, reason, "lost Redis; its commands are refused until it answers"),
        }
        self.states.send_replace(change.to);
    }
}

impl Pass<'_> {
    /// Takes note of the outcome.
    pub(crate) fn finish(mut self, outcome: Result<Value, Failure>) -> Result<Value, StoreError> {
        self.finished = true;
        let failure = match outcome {
            Ok(value) => {
                self.shared.breaker.succeeded(self.ticket);
                return Ok(value);
            }
            Err(failure) => failure,
        };
        self.shared.remember(&failure);
        if !failure.trips() {
            self.shared.breaker.succeeded(self.ticket);
        } else if self.timely {
            let change = self.shared.breaker.failed(self.ticket, Instant::now());
            if let Some(change) = change {
                self.shared.announce(change, Some(&failure));
            }
        }
        Err(failure.into_error())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Given up by the caller, perhaps because it took too long: nobody learns how it ended.
        if !self.finished {
            self.shared.suspicion.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
