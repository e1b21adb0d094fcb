//! The state of a link.

use std::time::Duration;

/// What every connection of a proxy goes by; the default is a link that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) mode: Mode,
    pub(super) to_server: Duration,
    pub(super) to_client: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything passes.
    #[default]
    Whole,
    /// Nothing passes, and nobody is told.
    HalfOpen,
    /// Nothing is read from the client.
    Stalled,
}
