//! The background tasks of a connection. They hold it weakly and end with its last handle.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
    time::Instant,
};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, EventInterface},
    types::config::Server,
};
use tokio::{
    runtime::Handle,
    sync::{
        Notify,
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::sleep,
};

use crate::{breaker::ConnectionState, error::Failure, shared::Shared};

type Events = Receiver<(Error, Option<Server>)>;

/// Listens to what fred tells of its connections from now on.
pub(crate) fn listen(client: &Client) -> Events {
    client.error_rx()
}

/// Starts the tasks.
pub(crate) fn start(shared: &Arc<Shared>, events: Vec<Events>, runtime: &Handle) {
    for events in events {
        runtime.spawn(relay(Arc::downgrade(shared), shared.states.subscribe(), events));
    }
    let suspicion = Arc::clone(&shared.suspicion);
    runtime.spawn(watch(Arc::downgrade(shared), shared.states.subscribe(), suspicion));
}

/// Passes on what fred tells.
async fn relay(shared: Weak<Shared>, states: watch::Receiver<ConnectionState>, mut events: Events) {
    loop {
        let event = tokio::select! {
            () = ended(states.clone()) => return,
            event = events.recv() => event,
        };
        let failure = match event {
            Ok((error, _)) => Failure::from(error),
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let Some(shared) = shared.upgrade() else { return };
        shared.troubled(failure);
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
        let client = strong.clients.pick().clone();
        drop(strong);
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return } else { continue },
            () = suspicion.notified(), if up => {}
            () = connected(&client), if !up => {}
            () = sleep(delay), if !up => {}
        }
        drop(client);
        let Some(strong) = shared.upgrade() else { return };
        match strong.ping().await {
            Ok(()) => strong.recovered(),
            Err(failure) => strong.unanswered(&failure),
        }
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
