//! How a keep is.

use std::fmt;

/// Where state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// In this process.
    Memory,
    /// In Redis.
    Redis,
}

impl fmt::Display for StoreKind {
    /// `memory` or `redis`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        })
    }
}

/// Whether everything that is configured works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Everything works.
    Ok,
    /// A configured Redis is away; layers follow their policies for that.
    Degraded,
}

impl fmt::Display for Status {
    /// `ok` or `degraded`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
        })
    }
}

/// How a keep is, as known without asking anybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether everything that is configured works.
    pub status: Status,
    /// Where state is kept.
    pub store: StoreKind,
    /// How the connection to Redis is; `None` in memory mode.
    #[cfg(feature = "redis")]
    pub redis: Option<crate::ConnectionHealth>,
    /// How the bus to the other processes is; `None` while nobody uses it.
    #[cfg(feature = "redis")]
    pub bus: Option<crate::BusState>,
}
