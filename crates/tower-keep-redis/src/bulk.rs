//! A connection for large values, so that small ones need not wait behind them.

use crate::connection::{Connection, runtime};

/// How many large values are under way at most. More would take no less time in all, and each
/// would take longer than its deadline.
const IN_FLIGHT: usize = 16;

impl Connection {
    /// A second connection to the same server, for large values. On a shared one a command waits
    /// for the answers before it: beside 64 readers of 1 MiB that was measured to be 300 ms for
    /// one in a hundred, against 50 ms with this.
    ///
    /// It begins to connect when it is first asked for, so ask early. It is the same for all
    /// handles, and has a breaker of its own and a health, [`ConnectionHealth::bulk`]. At most 16
    /// of its commands are under way; further ones wait within their deadline.
    ///
    /// It is this very connection where no second one can be made: over a client of the program's
    /// own, and where no tokio runtime is running.
    ///
    /// [`ConnectionHealth::bulk`]: crate::ConnectionHealth::bulk
    #[must_use]
    pub fn bulk(&self) -> Self {
        let shared = &self.shared;
        if let Some(bulk) = shared.bulk.get() {
            return bulk.as_ref().unwrap_or(self).clone();
        }
        let (Some(blueprint), Ok(runtime)) = (&shared.blueprint, runtime()) else {
            return self.clone();
        };
        let places = shared.config.max_in_flight.min(IN_FLIGHT);
        let config = shared.config.clone().with_pool_size(1).with_max_in_flight(places);
        let endpoint = format!("{} (bulk)", shared.endpoint);
        let bulk = Self::begin(config, endpoint, blueprint.single(), &runtime).ok();
        if let Some(bulk) = &bulk {
            // It is its own.
            let _ = bulk.shared.bulk.set(None);
        }
        // Should another have been quicker, this one ends here.
        shared.bulk.get_or_init(|| bulk).as_ref().unwrap_or(self).clone()
    }
}
