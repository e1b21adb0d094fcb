//! The port of a proxy: open, closed, or so full that the kernel drops whoever knocks.

use std::{
    collections::HashSet,
    io, iter,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rustix::net::{SocketFlags, accept_with};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::wait_until;

/// What the kernel takes from a client before the proxy reads it; it doubles the number.
const RECEIVE: u32 = 16 * 1024;
const BACKLOG: u32 = 1024;
/// For a port that was free a moment ago.
const REOPEN: Duration = Duration::from_secs(10);
/// How long it may take until a queue is full.
const FULL: Duration = Duration::from_secs(10);
/// An attempt on loopback that takes longer than this was dropped.
const DROPPED: Duration = Duration::from_millis(100);
/// After so many that were dropped it is believed that the queue is full, although nobody is in it.
const VAIN: usize = 8;
/// Between two that are let in: a busy kernel may let in more than it was told to, and not for long.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Door {
    port: u16,
    listener: Option<TcpListener>,
    /// Whether the queue is full: nobody is let in.
    full: bool,
    /// Ours, that fill it, if the kernel let any in.
    fillers: Vec<TcpStream>,
    /// Where those came from that were sent away since.
    gone: HashSet<SocketAddr>,
}

impl Door {
    pub(super) fn open(port: u16) -> io::Result<Self> {
        let listener = Some(listen(port)?);
        Ok(Self { port, listener, full: false, fillers: Vec::new(), gone: HashSet::new() })
    }

    /// The next client; pending while nobody is let in. Dropping the future loses nobody.
    pub(super) async fn next(&mut self) -> io::Result<TcpStream> {
        let Some(listener) = self.listener.as_ref().filter(|_| !self.full) else {
            return std::future::pending().await;
        };
        loop {
            let (client, from) = listener.accept().await?;
            if !self.gone.remove(&from) {
                return Ok(client);
            }
        }
    }

    /// Those whom the kernel has let in already, although nobody here has heard of them yet.
    pub(super) fn waiting(&mut self) -> Vec<TcpStream> {
        let Some(listener) = self.listener.as_ref().filter(|_| !self.full) else {
            return Vec::new();
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        iter::from_fn(|| accept_with(listener, flags).ok())
            .filter_map(|client| TcpStream::from_std(client.into()).ok())
            .filter(|client| client.peer_addr().is_ok_and(|from| !self.gone.remove(&from)))
            .collect()
    }

    pub(super) fn refuse(&mut self) {
        self.full = false;
        self.fillers.clear();
        self.gone.clear();
        self.listener = None;
    }

    /// Fills the queue of those who wait to be let in: of whoever comes then the kernel drops each
    /// `SYN`.
    pub(super) async fn fill(&mut self) {
        self.accept().await;
        let Some(listener) = &self.listener else { return };
        rustix::net::listen(listener, 0).expect("the queue could not be made short");
        self.full = true;
        let (begun, mut vain) = (Instant::now(), 0);
        // Some kernels queue nobody at all, not even the first.
        while vain < VAIN {
            assert!(begun.elapsed() < FULL, "this kernel queues whoever comes: no SYN is dropped");
            let filler = TcpSocket::new_v4().expect("there are no sockets left");
            filler.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("no port is free");
            let from = filler.local_addr().expect("a socket that is bound has an address");
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            if let Ok(filler) = timeout(DROPPED, filler.connect(here)).await {
                self.fillers.push(filler.expect("its own port refused the proxy"));
                sleep(PAUSE).await;
                continue;
            }
            // It may have been let in all the same, too late.
            self.gone.insert(from);
            if !self.fillers.is_empty() {
                return;
            }
            // Perhaps only late: another one tells.
            vain += 1;
        }
    }

    /// Lets in whoever comes, and who has come meanwhile.
    pub(super) async fn accept(&mut self) {
        self.full = false;
        if let Some(listener) = &self.listener {
            let queue = i32::try_from(BACKLOG).unwrap_or(i32::MAX);
            rustix::net::listen(listener, queue).expect("the queue could not be made long");
            let from = self.fillers.drain(..).filter_map(|filler| filler.local_addr().ok());
            self.gone.extend(from);
            return;
        }
        let (port, listener) = (self.port, &mut self.listener);
        let reopened = wait_until(REOPEN, || {
            *listener = listen(port).ok();
            std::future::ready(listener.is_some())
        });
        assert!(reopened.await, "another program has taken port {port}");
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(RECEIVE)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}
