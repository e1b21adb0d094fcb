//! What all handles of one connection share, and the path of a command through it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use arc_swap::ArcSwap;
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

use crate::{
    breaker::{Breaker, ConnectionState, Ticket},
    client::Blueprint,
    clients::Clients,
    config::RedisConfig,
    connection::Connection,
    error::Failure,
    gate::Gate,
    known::{Known, Sending},
    moving::Moving,
    vitals::Vitals,
};

pub(crate) struct Shared {
    pub(crate) endpoint: String,
    pub(crate) clustered: bool,
    /// Its limits are ours; its address is too, unless the client is the caller's.
    pub(crate) config: RedisConfig,
    /// Those in use; others once these were found stuck.
    pub(crate) clients: ArcSwap<Clients>,
    /// What to replace them by; `None` for a client that is the caller's.
    pub(crate) blueprint: Option<Blueprint>,
    /// For large values; made when it is first asked for. `None` is this very one.
    pub(crate) bulk: OnceLock<Option<Connection>>,
    pub(crate) breaker: Breaker,
    pub(crate) gate: Gate,
    pub(crate) vitals: Vitals,
    /// Of a cluster, the slots that are on their way.
    pub(crate) moving: Moving,
    /// Prebuilt: an open breaker refuses at the cost of two counters.
    refusals: [StoreError; 2],
    /// Asks the watch for a probe now.
    pub(crate) suspicion: Arc<Notify>,
    /// Tells of changes; its end tells the background tasks to end.
    pub(crate) states: watch::Sender<ConnectionState>,
}

/// One command of one round trip.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) hash: ClusterHash,
    /// Boxed: it is rare, and requests are moved a lot.
    pub(crate) node: Option<Box<Server>>,
    pub(crate) args: Vec<Value>,
}

impl Request {
    /// A command without arguments, to this node or any.
    pub(crate) fn plain(name: &'static str, node: Option<Server>) -> Self {
        let node = node.map(Box::new);
        Self { name, hash: ClusterHash::Random, node, args: Vec::new() }
    }
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
    pub(crate) fn new(
        config: RedisConfig,
        endpoint: String,
        clients: Arc<Clients>,
        blueprint: Option<Blueprint>,
    ) -> Self {
        let clustered = clients.all().any(ClientLike::is_clustered);
        let connected = clients.all().any(ClientLike::is_connected);
        let state = if connected { ConnectionState::Up } else { ConnectionState::Connecting };
        let refusals = ["not connected yet", "the connection is down"]
            .map(|why| StoreError::not_sent(format!("{endpoint}: {why}")));
        Self {
            endpoint,
            clustered,
            clients: ArcSwap::new(clients),
            blueprint,
            bulk: OnceLock::new(),
            breaker: Breaker::new(state, Instant::now()),
            gate: Gate::new(config.max_in_flight),
            vitals: Vitals::new(Instant::now()),
            moving: Moving::default(),
            refusals,
            config,
            suspicion: Arc::default(),
            states: watch::Sender::new(state),
        }
    }

    /// The client whose turn it is.
    pub(crate) fn client(&self) -> Client {
        self.clients.load().pick().clone()
    }

    /// Leave to send a command, at once if there is a place, else as soon as there is one. The
    /// deadline is one that begins now.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Pass<'_>, StoreError> {
        let ticket = self.breaker.admit().ok_or_else(|| self.refusal())?;
        if let Some(place) = self.gate.try_enter() {
            return Ok(Pass { shared: self, ticket, _place: place, timely: true, finished: false });
        }
        // Boxed: it is rare, and not to be a part of every command's future.
        let place = Box::pin(self.gate.enter(deadline)).await?;
        // It may have opened while this one waited.
        let ticket = self.breaker.admit().ok_or_else(|| self.refusal())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let timely = left > self.config.timeout / 2;
        Ok(Pass { shared: self, ticket, _place: place, timely, finished: false })
    }

    /// Sends a command as every command is sent: with a deadline, refused when fred is not
    /// connected, replayed never, and redirected never by fred.
    pub(crate) async fn exchange(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        if left.is_zero() {
            // To fred, zero is no deadline at all.
            return Err(Failure::late());
        }
        let Request { name, hash, node, args } = request;
        let client = {
            let options = Options {
                timeout: Some(left),
                fail_fast: true,
                // With more, fred sends again what it had in flight when it makes all its
                // connections anew, as it does for one command that it finds no connection for.
                max_attempts: Some(1),
                cluster_node: node.map(|node| *node),
                ..Options::default()
            };
            client.with_options(&options)
        };
        // Boxed, as fred's futures have some kilobytes.
        let answer: Sending<'_> = match Known::of(name, &args) {
            Some(known) => {
                drop(args);
                known.send(&client)
            }
            None => Box::pin(client.custom(CustomCommand::new_static(name, hash, false), args)),
        };
        let answer = answer.await.map_err(Failure::from);
        if answer.as_ref().err().is_none_or(Failure::is_refused) {
            self.vitals.answered(begun.elapsed());
        }
        answer
    }

    fn refusal(&self) -> StoreError {
        let [connecting, down] = &self.refusals;
        let connecting =
            (self.breaker.state() == ConnectionState::Connecting).then_some(connecting);
        connecting.unwrap_or(down).clone()
    }
}

/// Nothing of how we log in: it may be printed wherever a [`Connection`] is held.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("endpoint", &self.endpoint)
            .field("state", &self.breaker.state())
            .finish_non_exhaustive()
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
        let now = Instant::now();
        self.shared.vitals.failed(&failure, now);
        if !failure.trips() {
            self.shared.breaker.succeeded(self.ticket);
            if failure.is_refused() {
                self.shared.refused(&failure, now);
            }
        } else if self.timely {
            if let Some(change) = self.shared.breaker.failed(self.ticket, now) {
                self.shared.announce(change, Some(&failure));
            } else if self.shared.clustered || self.shared.clients.load().is_pool() {
                // The others' successes in between may hide one that hangs: ask each.
                self.shared.suspicion.notify_one();
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
