//! Who is told of sessions that ended: all processes that share a Redis, or this one alone.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{runtime::Handle, task::AbortHandle};
use tower_keep_core::{
    ConfigError, ErrorClass, Revocation, Revoked, StoreError,
    key::{BUS_SESSIONS, SessionKey},
};
use tower_keep_redis::{Bus, BusEvent, BusState};

use crate::revoked::{RevocationEvent, Revocations};

/// A store's bus, and the task that passes on what is heard there. It ends with the store.
#[derive(Debug)]
pub(crate) struct Announcer {
    bus: Bus,
    listener: AbortHandle,
}

impl Announcer {
    /// Passes on to `revocations` what is heard on `bus`.
    pub(crate) fn beside(bus: &Bus, revocations: &Revocations) -> Result<Arc<Self>, ConfigError> {
        let runtime = Handle::try_current()
            .map_err(|_| ConfigError::new("runtime", "to hear the bus takes a tokio runtime"))?;
        let (mut events, revocations) = (bus.events(), revocations.clone());
        let listening = runtime.spawn(async move {
            loop {
                let event = match events.recv().await {
                    BusEvent::Gap => Some(RevocationEvent::Gap),
                    BusEvent::Message(message) if message.kind == BUS_SESSIONS => {
                        // What cannot be read is a later version's: something has ended.
                        let read = Revocation::decode(&message.payload);
                        Some(read.map_or(RevocationEvent::Gap, RevocationEvent::Ended))
                    }
                    BusEvent::Message(_) => None,
                };
                if let Some(event) = event {
                    revocations.tell(event);
                }
            }
        });
        Ok(Arc::new(Self { bus: bus.clone(), listener: listening.abort_handle() }))
    }

    /// Whether what is published is heard here, or a gap will be.
    fn is_heard(&self) -> bool {
        self.bus.state() == BusState::Live
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What there is to tell once sessions have ended.
pub(crate) struct Announcement {
    key: String,
    which: Revoked,
    announcer: Option<Arc<Announcer>>,
    revocations: Revocations,
}

impl Announcement {
    pub(crate) fn new(
        key: &SessionKey<'_>,
        which: Revoked,
        announcer: Option<Arc<Announcer>>,
        revocations: &Revocations,
    ) -> Self {
        Self { key: key.spell(), which, announcer, revocations: revocations.clone() }
    }

    /// For the script to publish; empty if there is nothing to publish it with.
    pub(crate) fn message(&self) -> Bytes {
        let payload = || Revocation::new(&self.key, self.which).encode();
        let publish = |it: &Arc<Announcer>| it.bus.message(BUS_SESSIONS, &payload());
        self.announcer.as_ref().and_then(publish).unwrap_or_default()
    }

    /// The script has ended these, and published it or not. Who listens here hears it from the bus,
    /// or else from us.
    pub(crate) fn ended(&self, which: Revoked, published: bool) {
        if !(published && self.is_heard()) {
            let ended = Revocation::new(&self.key, which);
            self.revocations.tell(RevocationEvent::Ended(ended));
        }
    }

    /// The script may have ended some.
    pub(crate) fn failed(&self, error: &StoreError) {
        if error.class() == ErrorClass::Unknown && !self.is_heard() {
            self.revocations.tell(RevocationEvent::Gap);
        }
    }

    fn is_heard(&self) -> bool {
        self.announcer.as_ref().is_some_and(|announcer| announcer.is_heard())
    }
}
