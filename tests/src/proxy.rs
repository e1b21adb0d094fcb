//! A link that can be made slow, cut, deaf or dumb.

mod connection;
mod counters;
mod door;
mod engine;
mod link;
mod pump;
mod queue;
mod segments;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use self::{
    counters::Counters,
    engine::{Engine, Order},
    link::{Link, Mode},
};
use crate::{address, free_port};

/// How many ports are tried.
const PORTS: usize = 10;

/// A TCP proxy on loopback before a server; it only passes bytes, so TLS goes through as well.
///
/// It begins as a link that changes nothing. Every switch is in force when its call returns: no
/// byte that was not passed on before goes the old way. A server that is down shows as
/// connections that are reset as soon as they are open; [`Proxy::refuse`] is a closed port.
/// What the server announces of itself (cluster nodes, sentinels) leads around the proxy, unless
/// it is told otherwise: see [`Sentinel::start_led`](crate::Sentinel::start_led).
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    engine: Engine,
    link: Mutex<Link>,
    counters: Arc<Counters>,
}

/// How [`Proxy::cut`] ends connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With RST: an error to whoever reads or writes.
    Reset,
    /// With FIN: the end of the stream.
    Close,
}

impl Proxy {
    /// Opens a port of its own that leads to this one on loopback; panics if there is none.
    ///
    /// It works in a thread of its own, and nothing of it is left once it is dropped.
    pub fn start(target: u16) -> Self {
        let counters = Arc::new(Counters::default());
        let attempt = || {
            let port = free_port()?;
            Ok((port, Engine::start(port, target, Arc::clone(&counters))?))
        };
        let started: io::Result<_> =
            (1..PORTS).map(|_| attempt()).find(Result::is_ok).unwrap_or_else(attempt);
        let (port, engine) = started.expect("the proxy did not start");
        Self { port, engine, link: Mutex::default(), counters }
    }

    /// Its port, the same for life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:port`
    pub fn url(&self) -> String {
        address::url_of("redis", "", None, self.port)
    }

    /// A server's URL, with its scheme and credentials, leading through the proxy.
    pub fn url_for(&self, server: &str) -> String {
        address::with_port(server, self.port)
    }

    /// Holds every byte back for so long, on the way to the server and on the way to the client.
    /// The order stays and any amount may be under way at once. What is under way already arrives
    /// as it would have.
    pub fn delay(&self, to_server: Duration, to_client: Duration) {
        self.set(|link| (link.to_server, link.to_client) = (to_server, to_client));
    }

    /// Ends every connection, and loses what was under way. New ones are accepted as before.
    pub fn cut(&self, how: Cut) {
        self.engine.order(Order::Cut(how));
    }

    /// Closes the port: new connections are refused. Those that are open go on.
    pub fn refuse(&self) {
        self.engine.order(Order::Refuse);
    }

    /// Answers no attempt to connect, not even with a refusal: each is dropped, and whoever makes
    /// it waits. Those that are open go on.
    pub fn swallow(&self) {
        self.engine.order(Order::Fill);
    }

    /// Opens the port again.
    pub fn accept(&self) {
        self.engine.order(Order::Accept);
    }

    /// Makes the link dead without anyone being told: connections stay open and new ones are
    /// accepted, what is sent either way is taken and swallowed, and so is an end or a reset.
    ///
    /// A connection of which something was lost is reset by the next switch.
    pub fn half_open(&self) {
        self.set(|link| link.mode = Mode::HalfOpen);
    }

    /// Reads nothing more from clients, so that their sockets fill up. Answers still pass. Nothing
    /// is lost: [`Proxy::heal`] lets all of it go on.
    pub fn stall_reads(&self) {
        self.set(|link| link.mode = Mode::Stalled);
    }

    /// A link that changes nothing, with its port open.
    pub fn heal(&self) {
        self.set(|link| *link = Link::default());
        self.accept();
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.get()
    }

    /// How many of these have not ended yet.
    pub fn open_connections(&self) -> u64 {
        // In this order, or one that begins and ends in between would be missing.
        let closed = self.counters.closed.get();
        self.counters.accepted.get() - closed
    }

    /// Bytes that clients sent, swallowed ones included.
    pub fn bytes_from_clients(&self) -> u64 {
        self.counters.from_client.get()
    }

    /// Bytes that the server sent, swallowed ones included.
    pub fn bytes_from_server(&self) -> u64 {
        self.counters.from_server.get()
    }

    /// How many writes clients made to their sockets, of what it has read.
    ///
    /// For clients that set `TCP_NODELAY`: it is the number of segments that they sent, as the
    /// kernel counted them, and not of the proxy's reads, which find several small writes in a row
    /// as one. It is never more than there were, apart from writes too big for one segment (32 KiB
    /// and more); on a very busy machine the kernel may join a few that are in a row.
    ///
    /// Panics where the kernel does not tell (Linux does, by `sock_diag`).
    pub fn client_writes(&self) -> u64 {
        if let Some(why) = self.counters.blind.get() {
            panic!("this kernel does not count segments for us (sock_diag, tcp_diag): {why}");
        }
        self.counters.client_writes.get()
    }

    fn set(&self, change: impl FnOnce(&mut Link)) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut link);
        self.engine.order(Order::Link(*link));
    }
}
