//! Asking the server whether it answers, and hearing what fred tells. The background tasks hold
//! the connection weakly and end with its last handle.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, EventInterface},
    types::config::Server,
};
use futures_util::future::{join, join_all, try_join_all};
use tokio::{
    runtime::Handle,
    sync::{
        Notify,
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::sleep,
};

use crate::{
    breaker::ConnectionState,
    clients::Clients,
    error::Failure,
    health::ServerInfo,
    shared::{Request, Shared},
    watchdog,
};

/// What fred tells of one client's connections.
pub(crate) struct Events {
    errors: Receiver<(Error, Option<Server>)>,
    connects: Receiver<Server>,
    /// Where it was connected already.
    known: HashSet<Server>,
    clustered: bool,
}

/// Listens to what fred tells of these from now on.
pub(crate) fn listen(clients: &Clients) -> Vec<Events> {
    let events = |client: &Client| Events {
        errors: client.error_rx(),
        connects: client.reconnect_rx(),
        known: client.active_connections().into_iter().collect(),
        clustered: client.is_clustered(),
    };
    clients.all().map(events).collect()
}

/// Starts the tasks of a new connection.
pub(crate) fn start(shared: &Arc<Shared>, events: Vec<Events>, runtime: &Handle) {
    attend(shared, events, runtime);
    let suspicion = Arc::clone(&shared.suspicion);
    runtime.spawn(watch(Arc::downgrade(shared), shared.states.subscribe(), suspicion));
    if shared.blueprint.is_some() {
        runtime.spawn(watchdog::guard(Arc::downgrade(shared), shared.states.subscribe()));
    }
}

/// Starts the tasks that pass on what fred tells of the clients in use.
pub(crate) fn attend(shared: &Arc<Shared>, events: Vec<Events>, runtime: &Handle) {
    let clients = Arc::downgrade(&shared.clients.load());
    for events in events {
        let (shared, states) = (Arc::downgrade(shared), shared.states.subscribe());
        runtime.spawn(relay(shared, Weak::clone(&clients), states, events));
    }
}

/// Passes on what fred tells, while these clients are in use.
async fn relay(
    shared: Weak<Shared>,
    clients: Weak<Clients>,
    states: watch::Receiver<ConnectionState>,
    mut events: Events,
) {
    loop {
        let event = tokio::select! {
            () = ended(states.clone()) => return,
            error = events.errors.recv() => error.map(|(error, _)| Err(Failure::from(error))),
            server = events.connects.recv() => server.map(|server| Ok(events.known.insert(server))),
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let (Some(shared), Some(_)) = (shared.upgrade(), clients.upgrade()) else { return };
        match event {
            // Without a cluster another address is another primary: what was before is lost.
            Ok(new) => shared.connected(!new || (!events.clustered && events.known.len() > 1)),
            Err(failure) => shared.troubled(&failure.of_connection()),
        }
    }
}

impl Shared {
    /// Asks the clients in use whether the server answers, and acts on what they say.
    ///
    /// An answer has as long as that to any command, however long that is: a server that is slow,
    /// and allowed to be, is not lost.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        let clients = self.clients.load_full();
        let answer = self.greet(&clients, Instant::now() + self.config.timeout).await;
        match &answer {
            Ok(()) => self.recovered(),
            // They may have been replaced for this very reason meanwhile.
            Err(failure) if Arc::ptr_eq(&clients, &self.clients.load()) => {
                self.unanswered(failure);
            }
            Err(_) => {}
        }
        answer
    }

    /// Whether the clients in use are answered after all, within this time. If not, that says
    /// nothing new.
    pub(crate) async fn revives(&self, patience: Duration) -> bool {
        let clients = self.clients.load_full();
        let answered = self.greet(&clients, Instant::now() + patience).await.is_ok();
        if answered {
            self.recovered();
        }
        answered
    }

    /// [`Shared::ping`], and asks a server that was not met yet what it is.
    pub(crate) async fn greet(&self, clients: &Clients, deadline: Instant) -> Result<(), Failure> {
        join(self.ping(clients, deadline), self.meet(clients.pick(), deadline)).await.0
    }

    /// Whether the server answers a `PING`; of a cluster, whether every node does. Of several
    /// clients one is enough, if none hangs: fred sees to one that has lost its connection, and
    /// commands are given to the others, but what hangs would be given its share of them.
    pub(crate) async fn ping(&self, clients: &Clients, deadline: Instant) -> Result<(), Failure> {
        let pings = clients.all().map(|client| self.ping_one(client, deadline));
        let answers = join_all(pings).await;
        let answered = answers.iter().any(Result::is_ok);
        let grave = |failure: &Failure| failure.is_timeout() || !answered;
        answers.into_iter().filter_map(Result::err).find(grave).map_or(Ok(()), Err)
    }

    async fn ping_one(&self, client: &Client, deadline: Instant) -> Result<(), Failure> {
        let nodes = if self.clustered { client.active_connections() } else { Vec::new() };
        let nodes: Vec<_> =
            if nodes.is_empty() { vec![None] } else { nodes.into_iter().map(Some).collect() };
        let ping = |node| self.exchange(client, Request::plain("PING", node), deadline);
        try_join_all(nodes.into_iter().map(ping)).await.map(drop)
    }

    /// Asks a server that was not met yet what it is. Not being told is no failure.
    async fn meet(&self, client: &Client, deadline: Instant) {
        if !self.vitals.take_stranger() {
            return;
        }
        match self.exchange(client, Request::plain("HELLO", None), deadline).await {
            Ok(answer) => self.vitals.set_server(ServerInfo::read(answer)),
            Err(failure) if failure.is_refused() => self.vitals.set_server(None),
            Err(_) => self.vitals.meet_stranger(),
        }
    }
}

/// Asks with a `PING` whether the server answers: while it does not, again and again; while it
/// does, only when there is reason to doubt it.
async fn watch(
    shared: Weak<Shared>,
    mut states: watch::Receiver<ConnectionState>,
    suspicion: Arc<Notify>,
) {
    let random = RandomState::new();
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let up = strong.breaker.state() == ConnectionState::Up;
        let delay = strong.breaker.probe_delay(random.hash_one(Instant::now()));
        let client = strong.client();
        drop(strong);
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return } else { continue },
            () = suspicion.notified(), if up => {}
            () = connected(&client), if !up => {}
            () = sleep(delay), if !up => {}
        }
        drop(client);
        let Some(strong) = shared.upgrade() else { return };
        let _ = strong.probe().await;
        drop(strong);
        if up {
            // Callers that give up at a high rate are not answered with as many probes.
            sleep(delay).await;
        }
    }
}

/// Returns when a client that is not connected now will be; never for one that is.
pub(crate) async fn connected(client: &Client) {
    if client.is_connected() || client.wait_for_connect().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when the last handle is gone.
async fn ended(mut states: watch::Receiver<ConnectionState>) {
    while states.changed().await.is_ok() {}
}
