//! The development harness of the integration tests: real servers, started and broken at will.
//!
//! 1. [`Server`], [`Cluster`] and [`Sentinel`] run Redis or Valkey ([`Flavor`]) as children of the
//!    test: on loopback, on a port of their own, without persistence, gone when they are dropped.
//! 2. [`Resp`] talks to them without any client library, so that a test can look at the server
//!    independently of the code under test.
//! 3. [`Monitor`] counts the commands that a client sent, exactly and without sleeping.
//! 4. [`AnyServer`] takes the server named by `REDIS_URL` where a plain server is enough.
//! 5. [`Proxy`] is a link to a server that can be made slow, cut, deaf or dumb.
//! 6. [`Certificates`] are a CA of the test's own, for [`ServerBuilder::tls`], and for a
//!    [`TlsFront`] where the server was built without.
//! 7. [`Cluster::begin_migration`] moves a slot in steps.
//! 8. [`engine`] is the Docker engine, if one runs: for servers in containers, and for networks
//!    from which they are cut off.
//! 9. [`Load`] is many callers of a rate-limited service, and [`Chatter`] one user of the bus.
//! 10. [`Program`] is a program of the workspace, started as its users do.
//! 11. [`wait_until`], [`prompt_once`] and [`free_port`] are the small change.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use tower_keep_tests::{Flavor, Server};
//!
//! let mut server = Server::start(Flavor::Redis).await;
//! let mut monitor = server.monitor().await;
//! // … drive the code under test with `server.url()` …
//! assert_eq!(monitor.count().await, 1);
//! server.command(&["FLUSHALL"]).await?; // the test's own hand: never counted
//! server.kill();
//! server.restart().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When something is missing
//! A test that cannot get its server fails and says how to get one (`scripts/setup`); it is never
//! skipped. What a server logged is part of the message when it does not come up.
//!
//! # Limits
//! Timeouts here are real time: a test with a paused tokio clock must not use the harness. A test
//! process that is killed outright leaves its servers to whoever killed it; they stay in its
//! process group, which is what test runners and terminals signal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness has one way to report: it fails the test that uses it"
)]

mod address;
mod any;
mod binary;
mod builder;
mod chatter;
mod cluster;
mod container;
mod hidden;
mod line;
mod load;
mod migration;
mod monitor;
mod port;
mod process;
mod program;
mod proxy;
mod resp;
mod sentinel;
mod server;
mod tls;
mod value;
mod wait;

#[cfg(test)]
mod harness_tests;

pub use any::AnyServer;
pub use binary::Flavor;
pub use builder::ServerBuilder;
pub use chatter::{Chatter, Heard};
pub use cluster::Cluster;
pub use container::{Container, Engine, Link, Network, engine};
pub use line::Line;
pub use load::{Answered, Load};
pub use migration::Migration;
pub use monitor::Monitor;
pub use port::free_port;
pub use program::Program;
pub use proxy::{Cut, Proxy};
pub use resp::Resp;
pub use sentinel::Sentinel;
pub use server::Server;
pub use tls::{Certificates, TlsFront};
pub use value::Value;
pub use wait::{prompt_once, wait_until};
