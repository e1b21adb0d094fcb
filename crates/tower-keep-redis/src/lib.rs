//! One shared, guarded Redis connection: a command is answered within its deadline or refused,
//! and a server that is down costs its callers nothing.
//!
//! It is a thin wall around [`fred`], so that no layer has to know that client's traps.
//!
//! 1. [`Connection::connect`] returns at once and needs no server: connecting goes on in the
//!    background, for ever. [`Connection::require`] waits.
//! 2. A command takes at most [`RedisConfig::with_timeout`], waiting for a place included.
//! 3. At most [`RedisConfig::with_max_in_flight`] commands are under way; further ones wait their
//!    turn within their own deadline. A burst on a healthy server is served whole.
//! 4. Five failures in a row open the breaker: commands are then refused at once, untouched by
//!    fred, while a `PING` is tried every 100 ms, give or take half. Its answer closes the
//!    breaker. If it keeps opening, the probes slow down to every 400 ms.
//! 5. A lost connection, or a caller that gave up, is reason for a `PING` as well, so that an
//!    outage is noticed without any traffic, and a hang although nobody waits for its end. In a
//!    cluster or a pool a failure is too: others' successes must not hide the one that hangs. If
//!    such a `PING` is not answered within the deadline, the breaker opens.
//! 6. What the server refuses (`OOM`, `READONLY`, `NOPERM`, `LOADING`, …) never opens the breaker:
//!    it answered. One log line a minute says so, in the server's words.
//! 7. Nothing is carried out twice. `MOVED` and `ASK` are followed, by this crate and not by fred,
//!    to where the slot's owner itself says that it is moving. While it moves, a script over
//!    several keys is tried again for half of its deadline if not all are in one place, and refused
//!    (`TRYAGAIN`) if they do not come together: new keys never do until the whole slot has moved.
//!    Refused is also any command for a key that went to a node which had no slot before: leave no
//!    slot half moved.
//! 8. Clients that are stuck, on a full socket or in an attempt to connect, are replaced by fresh
//!    ones, which begin to try beside them after 600 ms without a word from fred. So is a client
//!    that fred has given up for good, although the others of its pool work.
//! 9. Large values have a connection of their own: [`Connection::bulk`].
//! 10. Scripts run by their hash, and once in full where the server does not have them.
//! 11. The state changes with one log line, `WARN` or `INFO`; a request logs nothing.
//!     [`Connection::health`] tells more, and waits for nothing.
//! 12. The connection, and all that runs for it, ends with the last [`Connection`].
//!
//! ```no_run
//! use tower_keep_redis::{Connection, RedisConfig, Script};
//!
//! static COUNT: Script = Script::new("return redis.call('INCR', KEYS[1])");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = RedisConfig::from_url("redis://:secret@127.0.0.1:6379/0")?;
//! let connection = Connection::connect(config)?;
//! connection.require().await?; // only if the program cannot do without
//! let visits = connection.run_script(&COUNT, vec!["visits".into()], vec![]).await?;
//! println!("{}: {visits:?}", connection.endpoint());
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | port | 6379 |
//! | database | 0 |
//! | per command | 75 ms |
//! | per attempt to connect, and [`Connection::require`] | 5 s |
//! | multiplexed connections per node | 1 |
//! | commands in flight | 1024 |
//! | between attempts to reconnect | 10 ms, doubled up to 250 ms |
//! | protocol | RESP3, so Redis 6 or Valkey |
//!
//! # When Redis fails
//!
//! Every failed command says what is known about it:
//!
//! | class | what happened | carried out? |
//! |---|---|---|
//! | [`NotSent`](ErrorClass::NotSent) | breaker open, no place within the deadline, not connected | no, and never will be |
//! | [`Unknown`](ErrorClass::Unknown) | deadline over, connection lost, `CLUSTERDOWN`, no login any more | perhaps, perhaps later |
//! | [`Refused`](ErrorClass::Refused) | the server answered with an error | no |
//!
//! - A command that times out on a hung server may be carried out when the server goes on. Send
//!   only what may safely be done although it was reported `Unknown`.
//! - A script that raises an error after a write has done that write, though it is `Refused`.
//! - There is one breaker. A cluster node that hangs costs the first commands to it their deadline;
//!   from then on all are refused until every node answers.
//!
//! # Rights
//!
//! An ACL user needs `+ping +eval +evalsha`, `+select` for a database other than 0,
//! `+asking +client|id +cluster|slots +cluster|nodes +cluster|info` in a cluster, `+role` behind
//! sentinels, `&keep:bus +subscribe +publish` for the [`Bus`], and what its scripts do. SECURITY.md has the
//! whole lines.

mod breaker;
mod bulk;
mod bus;
mod client;
mod clients;
mod command;
mod config;
mod connection;
mod deployment;
mod endpoint;
mod error;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod health;
mod known;
mod moving;
mod probe;
mod redirect;
mod script;
mod server;
mod shared;
mod state;
mod tls;
mod url;
mod validate;
mod vitals;
mod watchdog;

pub use fred;
pub use tower_keep_core::{ConfigError, ErrorClass, StoreError};

pub use self::{
    breaker::ConnectionState,
    bus::{Bus, BusEvent, BusEvents, BusMessage, BusState, SharedBus},
    command::Command,
    config::RedisConfig,
    connection::Connection,
    health::{ConnectionHealth, LastError, ServerInfo, ServerRole},
    script::Script,
    tls::Pem,
};
