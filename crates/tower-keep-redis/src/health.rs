//! What a connection knows of itself, told without asking the server.

use std::time::{Duration, Instant};

use fred::types::Value;
use tower_keep_core::StoreError;

use crate::{breaker::ConnectionState, shared::Shared};

/// How a connection is, as far as it knows without waiting; see [`Connection::health`].
///
/// [`Connection::health`]: crate::Connection::health
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionHealth {
    /// Whether commands are sent.
    pub state: ConnectionState,
    /// How long it has been in this state.
    pub lasting: Duration,
    /// How long the last answered command or `PING` took; `None` before the first.
    pub latency: Option<Duration>,
    /// How often it was lost after it had been up: the breaker opened.
    pub openings: u64,
    /// How often a lost connection to a node was made again.
    pub reconnects: u64,
    /// How often a client that was stuck was replaced by a fresh one.
    pub replacements: u64,
    /// Commands that have a place now, sent or about to be.
    pub in_flight: usize,
    /// The last thing that went wrong, even if all is well since.
    pub last_error: Option<LastError>,
    /// What answers at the other end, of a cluster or a pool one of them; `None` as long as it
    /// has not told.
    pub server: Option<ServerInfo>,
    /// How the connection for large values is; `None` as long as nobody has asked for it.
    pub bulk: Option<Box<Self>>,
}

/// What went wrong last.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastError {
    /// What it was.
    pub error: StoreError,
    /// How long ago.
    pub ago: Duration,
}

/// What a server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name, such as `redis` or `valkey`.
    pub name: String,
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// Whether it may be written to.
    pub role: ServerRole,
}

/// What a server is among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerRole {
    /// It takes reads and writes.
    Primary,
    /// It copies another one and refuses writes.
    Replica,
}

impl ConnectionHealth {
    pub(crate) fn of(shared: &Shared) -> Self {
        let (vitals, now) = (&shared.vitals, Instant::now());
        let ago = |since| now.saturating_duration_since(since);
        Self {
            state: shared.breaker.state(),
            lasting: ago(shared.breaker.since()),
            latency: vitals.latency(),
            openings: vitals.openings.get(),
            reconnects: vitals.reconnects.get(),
            replacements: vitals.replacements.get(),
            in_flight: shared.gate.taken(),
            last_error: vitals.last_error().map(|(error, at)| LastError { error, ago: ago(at) }),
            server: vitals.server(),
            bulk: shared.bulk.get().and_then(Option::as_ref).map(|bulk| Box::new(bulk.health())),
        }
    }
}

impl ServerRole {
    /// The role as a short label for logs and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl ServerInfo {
    /// Reads the answer to `HELLO`.
    pub(crate) fn read(hello: Value) -> Option<Self> {
        let fields = hello.into_map().ok()?.inner();
        let text = |name: &'static str| fields.get(&name.into()).and_then(Value::as_string);
        let role = match text("role")?.as_str() {
            "master" => ServerRole::Primary,
            _ => ServerRole::Replica,
        };
        Some(Self { name: text("server")?, version: text("version")?, role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_hello_is_read() {
        let hello = |role: &'static str| {
            let fields = ["server", "redis", "version", "7.0.15", "mode", "standalone", "role"];
            let mut all: Vec<Value> = fields.map(Value::from_static_str).to_vec();
            all.push(role.into());
            Value::Array(all)
        };
        let (name, version) = ("redis".to_owned(), "7.0.15".to_owned());
        let primary = ServerInfo { name, version, role: ServerRole::Primary };
        let replica = ServerInfo { role: ServerRole::Replica, ..primary.clone() };
        assert_eq!(ServerInfo::read(hello("master")), Some(primary));
        assert_eq!(ServerInfo::read(hello("replica")), Some(replica));
    }

    #[test]
    fn any_other_answer_is_no_answer() {
        let odd = Value::Array(vec!["server".into()]);
        let less = Value::Array(vec!["server".into(), "redis".into()]);
        for value in [Value::Null, "OK".into(), 7.into(), odd, less, Value::Array(Vec::new())] {
            assert_eq!(ServerInfo::read(value), None);
        }
    }
}
