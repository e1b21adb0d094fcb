//! One direction of one connection.

use std::{
    io,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::Interest,
    net::TcpStream,
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    connection::Context,
    link::{Link, Mode},
    queue::Queue,
    segments::Tally,
};

/// How much may wait for a receiver that takes nothing.
const HELD: usize = 64 * 1024;
const READ: usize = 64 * 1024;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// Moves bytes from one socket to the other as the link allows, in order.
pub(super) struct Pump<'a> {
    way: Way,
    from: &'a TcpStream,
    to: &'a TcpStream,
    link: watch::Receiver<Link>,
    context: &'a Context,
    shared: &'a Shared,
    queue: Queue,
    /// The sender has said its last.
    ended: bool,
}

/// What the two directions of a connection know of each other.
#[derive(Debug)]
pub(super) struct Shared {
    /// The link has swallowed something.
    lost: AtomicBool,
    /// One direction has passed the end on.
    half_closed: AtomicBool,
    tally: Tally,
}

impl Shared {
    pub(super) fn of(client: &TcpStream) -> io::Result<Self> {
        let (lost, half_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { lost, half_closed, tally: Tally::of(client)? })
    }
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        way: Way,
        [client, server]: [&'a TcpStream; 2],
        context: &'a Context,
        shared: &'a Shared,
    ) -> Self {
        let (from, to) = match way {
            Way::ToServer => (client, server),
            Way::ToClient => (server, client),
        };
        let (link, queue) = (context.link.clone(), Queue::default());
        Self { way, from, to, link, context, shared, queue, ended: false }
    }

    /// Runs until the ends of both senders were passed on. An error is the connection's: it is to
    /// be reset.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        loop {
            let link = *self.link.borrow_and_update();
            if link.mode == Mode::HalfOpen {
                self.swallow();
            } else if self.shared.lost.load(Ordering::Relaxed) {
                // TCP never leaves bytes out: there is no going on after a loss.
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let due = self.queue.due();
            let is_due = due.is_some_and(|due| due <= Instant::now());
            let stalled = link.mode == Mode::Stalled && self.way == Way::ToServer;
            // A receiver that takes nothing is felt by the sender; one that is far away is not.
            let full = is_due && self.queue.len() >= HELD;
            let may_read = !(self.ended || stalled || full);
            let mut arrival = pin!(sleep_until(due.unwrap_or_else(Instant::now)));
            select! {
                biased;
                changed = self.link.changed() => changed.map_err(io::Error::other)?,
                ready = self.to.writable(), if is_due => {
                    ready?;
                    if self.write()? {
                        return self.linger().await;
                    }
                }
                () = &mut arrival, if due.is_some() && !is_due => {}
                ready = self.from.readable(), if may_read => {
                    let read = ready.and_then(|()| self.from.try_read(&mut buffer));
                    self.take(link, read, &buffer)?;
                }
            }
        }
    }

    /// After the end: a sender that is gone, and not only silent, resets who still sends to it.
    async fn linger(mut self) -> io::Result<()> {
        if self.shared.half_closed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        loop {
            let dead = self.link.borrow_and_update().mode == Mode::HalfOpen;
            select! {
                changed = self.link.changed() => changed.map_err(io::Error::other)?,
                _ = self.from.ready(Interest::ERROR), if !dead => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
        }
    }

    /// Writes what is due; `true` at the end.
    fn write(&mut self) -> io::Result<bool> {
        let Some(bytes) = self.queue.first() else {
            // A receiver that is gone already needs not be told.
            let _ = shutdown(self.to, Shutdown::Write);
            return Ok(true);
        };
        match self.to.try_write(bytes) {
            Ok(count) => self.queue.drop_first(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    /// Takes what was read.
    fn take(&mut self, link: Link, read: io::Result<usize>, buffer: &[u8]) -> io::Result<()> {
        let count = match read {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Swallowed like an end.
            Err(_) if link.mode == Mode::HalfOpen => 0,
            Err(error) => return Err(error),
        };
        self.ended = count == 0;
        match self.way {
            Way::ToServer => {
                if let Some(segments) = self.context.segments.as_ref().filter(|_| count > 0) {
                    self.context.counters.client_writes.add(self.shared.tally.more(segments));
                }
                self.context.counters.from_client.add(count);
            }
            Way::ToClient => self.context.counters.from_server.add(count),
        }
        self.queue.push(Instant::now() + self.delay(link), &buffer[..count]);
        Ok(())
    }

    fn delay(&self, link: Link) -> Duration {
        match self.way {
            Way::ToServer => link.to_server,
            Way::ToClient => link.to_client,
        }
    }

    /// What was under way is lost with the rest.
    fn swallow(&mut self) {
        if self.queue.clear() {
            self.shared.lost.store(true, Ordering::Relaxed);
        }
    }
}
