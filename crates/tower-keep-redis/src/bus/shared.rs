//! One bus for all who use a connection.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering},
};

use tower_keep_core::ConfigError;

use super::{Bus, BusState, Inner, LATE};
use crate::connection::Connection;

/// Where the one [`Bus`] of a connection is found: made for its first user, ended with the last.
/// It keeps neither the bus nor the connection alive.
#[derive(Debug, Default)]
pub struct SharedBus {
    bus: Mutex<Weak<Inner>>,
    told: AtomicBool,
}

impl SharedBus {
    /// The bus beside this connection, which must be the same each time. When it is not `on`, as
    /// [`RedisConfig::pubsub`](crate::RedisConfig::pubsub) says, it is one that is off, and the
    /// first time a log line says so.
    ///
    /// # Errors
    ///
    /// When no tokio runtime is running here.
    pub fn get(&self, connection: &Connection, on: bool) -> Result<Bus, ConfigError> {
        let mut shared = self.bus.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = shared.upgrade() {
            return Ok(Bus { inner });
        }
        let bus = if on { Bus::new(connection)? } else { self.off(connection) };
        *shared = Arc::downgrade(&bus.inner);
        Ok(bus)
    }

    /// How the bus is, while anybody uses it. Does not wait.
    pub fn state(&self) -> Option<BusState> {
        let shared = self.bus.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().map(|inner| inner.state())
    }

    fn off(&self, connection: &Connection) -> Bus {
        let reason = "REDIS_PUBSUB_ENABLED is false";
        if !self.told.swap(true, Ordering::Relaxed) {
            let endpoint = connection.endpoint();
            tracing::info!(endpoint, reason, "not listening to other processes: {LATE}");
        }
        Bus::with(connection, BusState::Off { reason: reason.into() })
    }
}
