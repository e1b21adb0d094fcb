//! `SessionLayer` as its users see it: a browser, handlers, and what lies in the store.

pub(crate) mod browser;
mod clones;
mod cookies;
mod failures;
mod keep;
mod lives;
mod logins;
mod values;

use std::{sync::Arc, time::Duration};

use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_session::{MemoryStore, SessionLayer, SessionLayerBuilder};

/// Long enough.
pub(crate) const SECRET: &str = "the secret of all tests and never of a service";

/// When the tests' clocks begin.
const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// A layer in memory whose time is set by hand.
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) store: Arc<MemoryStore>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(START);
        let store = Arc::new(MemoryStore::new().with_clock(clock.clone()));
        Self { clock, store }
    }

    pub(crate) fn builder(&self) -> SessionLayerBuilder {
        let builder = SessionLayer::builder().store(self.store.clone()).secrets([SECRET]);
        builder.clock(self.clock.clone()).expose_outcome(true)
    }

    pub(crate) fn layer(&self) -> SessionLayer {
        self.builder().build().unwrap()
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
