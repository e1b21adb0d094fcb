//! What successes and failures are taken to mean for the connection, and who is told.

use std::{sync::Arc, time::Instant};

use tokio::{runtime::Handle, time::sleep};
use tower_keep_core::ErrorClass;
use tracing::{debug, info, warn};

use crate::{
    breaker::{Change, ConnectionState},
    clients::Clients,
    error::Failure,
    shared::Shared,
};

impl Shared {
    /// The server answers: commands may go out.
    pub(crate) fn recovered(&self) {
        self.vitals.set_trouble(None);
        if let Some(change) = self.breaker.close(Instant::now()) {
            self.announce(change, None);
        }
    }

    /// The server does not answer: commands are refused from here on.
    fn lost(&self, failure: &Failure) {
        if let Some(change) = self.breaker.open(Instant::now()) {
            self.announce(change, Some(failure));
        }
    }

    /// A probe was not answered.
    pub(crate) fn unanswered(&self, failure: &Failure) {
        let (state, sent) = (self.breaker.state(), failure.error().class() != ErrorClass::NotSent);
        // Before the first connection that it is not connected is no error.
        if state != ConnectionState::Connecting || sent {
            self.vitals.failed(failure, Instant::now());
        }
        let speaks_against_it = match state {
            // It answers, if only to refuse the `PING`.
            ConnectionState::Up => !failure.is_refused(),
            // Nothing is lost that was not there.
            ConnectionState::Connecting => sent,
            ConnectionState::Down => false,
        };
        if speaks_against_it {
            self.lost(failure);
        }
    }

    /// The server answers, and refuses a command. That opens nothing, but it must not go unseen.
    pub(crate) fn refused(&self, failure: &Failure, now: Instant) {
        if !self.vitals.may_complain(now) {
            return;
        }
        let (endpoint, reason) = (self.endpoint.as_str(), failure.error().message());
        let redirected = reason.starts_with("MOVED") || reason.starts_with("CROSSSLOT");
        let hint = if redirected && !self.clustered {
            "; this is a cluster: use redis-cluster:// or rediss-cluster://"
        } else {
            ""
        };
        warn!(endpoint, reason, "Redis answers, but refuses a command{hint}");
    }

    /// fred failed to connect, or lost a connection.
    pub(crate) fn troubled(&self, failure: &Failure) {
        let now = Instant::now();
        self.vitals.hear(now);
        self.vitals.failed(failure, now);
        // Before the probe: an answer to it forgets the trouble.
        self.vitals.set_trouble(Some(failure.clone()));
        match self.breaker.state() {
            ConnectionState::Connecting => self.lost(failure),
            // It may be back within a moment: ask.
            ConnectionState::Up => self.suspicion.notify_one(),
            ConnectionState::Down => {}
        }
    }

    /// fred has made a connection, `again` to where it had one before.
    pub(crate) fn connected(&self, again: bool) {
        self.vitals.hear(Instant::now());
        if again {
            self.vitals.reconnects.count();
            self.vitals.meet_stranger();
            // The probe also learns who it is.
            self.suspicion.notify_one();
        }
    }

    /// These answer, and those in use do not: these are in use from here on.
    pub(crate) fn replace(&self, clients: Arc<Clients>) {
        self.clients.swap(clients).abandon();
        self.replaced("replaced a Redis client that was stuck");
        self.recovered();
    }

    /// These answer, and of those in use one has ended: the others see their commands through, and
    /// those of whoever has just picked one of them.
    pub(crate) fn relieve(&self, clients: Arc<Clients>) {
        let old = self.clients.swap(clients);
        let grace = self.config.timeout;
        Handle::current().spawn(async move {
            sleep(grace).await;
            drop(old);
        });
        self.replaced("replaced a Redis client that had ended");
    }

    /// No line for the log of a program: that it answers again is one already.
    fn replaced(&self, what: &'static str) {
        self.vitals.replacements.count();
        debug!(endpoint = self.endpoint.as_str(), "{what}");
        // It may be another server that answers: the probe learns who it is.
        self.vitals.meet_stranger();
        self.suspicion.notify_one();
    }

    /// Tells of a change of state. Those who wait for one are woken by it, and look for
    /// themselves: two changes may be told in the wrong order.
    pub(crate) fn announce(&self, change: Change, failure: Option<&Failure>) {
        use ConnectionState::{Connecting, Up};
        self.states.send_modify(|state| *state = self.breaker.state());
        let endpoint = self.endpoint.as_str();
        // What fred said of its connection tells more than the timeout of one command.
        let cause = failure.map(|failure| self.vitals.trouble().unwrap_or_else(|| failure.clone()));
        let reason = cause.as_ref().map(|cause| cause.error().message()).unwrap_or_default();
        match (change.from, change.to) {
            (Connecting, Up) => info!(endpoint, after = ?change.lasted, "connected to Redis"),
            (_, Up) => info!(endpoint, down_for = ?change.lasted, "Redis answers again"),
            (Connecting, _) => {
                warn!(endpoint, reason, "cannot connect to Redis; trying again in the background");
            }
            _ => {
                self.vitals.openings.count();
                warn!(endpoint, reason, "lost Redis; its commands are refused until it answers");
            }
        }
    }
}
