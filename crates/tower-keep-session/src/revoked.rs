//! Who is told that a session was ended.

use std::future::pending;

use tokio::sync::broadcast::{self, error::RecvError};
use tower_keep_core::Revocation;

/// Events that wait for a listener who does not take them, before it is told of a gap instead.
const WAITING: usize = 256;

/// Tells those who listen, in this process, which sessions were ended. A store has one: in memory
/// it tells itself, on Redis the bus does.
#[derive(Clone, Debug)]
pub struct Revocations(broadcast::Sender<RevocationEvent>);

/// What a listener is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationEvent {
    /// These sessions were ended.
    Ended(Revocation),
    /// Something may have been missed: look yourself.
    Gap,
}

impl Revocations {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }

    /// Tells everybody.
    pub fn tell(&self, event: RevocationEvent) {
        // Nobody may listen.
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    pub fn listen(&self) -> RevocationEvents {
        RevocationEvents(self.0.subscribe())
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

/// What one listener is told, in order.
#[derive(Debug)]
pub struct RevocationEvents(broadcast::Receiver<RevocationEvent>);

impl RevocationEvents {
    /// The next event. Never returns once nobody is left who could tell.
    pub async fn recv(&mut self) -> RevocationEvent {
        match self.0.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => RevocationEvent::Gap,
            Err(RecvError::Closed) => pending().await,
        }
    }
}
