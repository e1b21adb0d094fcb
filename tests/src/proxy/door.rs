//! The port of a proxy: open, closed, or so full that the kernel drops whoever knocks.

use std::{
    collections::HashSet,
    io, iter,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rustix::net::{SocketFlags, accept_with};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::wait_until;

/// What the kernel takes from a client before the proxy reads it; it doubles the number.
const RECEIVE: u32 = 16 * 1024;
const BACKLOG: u32 = 1024;
/// For a port that was free a moment ago.
const REOPEN: Duration = Duration::from_secs(10);
/// An attempt on loopback that takes longer than this was dropped.
const DROPPED: Duration = Duration::from_millis(100);
/// More than the kernel lets in after it was told to queue nobody.
const FILLERS: usize = 8;

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
        self.listener = None;
    }

    /// Fills the queue of those who wait to be let in: of whoever comes then the kernel drops each
    /// `SYN`.
    pub(super) async fn fill(&mut self) {
        self.accept().await;
        let Some(listener) = &self.listener else { return };
        rustix::net::listen(listener, 0).expect("the queue could not be made short");
        self.full = true;
        let mut dropped = false;
        for _ in 0..FILLERS {
            match timeout(DROPPED, TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))).await {
                Ok(filler) => self.fillers.push(filler.expect("its own port refused the proxy")),
                // Perhaps only late: another one tells.
                Err(_) if self.fillers.is_empty() => dropped = true,
                Err(_) => return,
            }
        }
        // Some kernels queue nobody at all, not even the first.
        assert!(dropped, "this kernel queues whoever comes: no SYN is dropped");
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
