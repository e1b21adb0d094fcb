//! How many segments with data a client has sent, as the kernel counted them.
//!
//! With `TCP_NODELAY` a small write is one segment, however soon the next one follows; reads would
//! see two writes in a row as one. What is sent again (a busy machine is late with its
//! acknowledgements) is told apart at the sender's end only, so that is the one that is asked.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SOCK_DIAG, recv,
        send, socket_with,
    },
};

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const REPLY: usize = HEADER + 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;
// Where they are in the `struct tcp_info` of linux/tcp.h.
const TOTAL_RETRANS: usize = 100;
const DATA_SEGS_OUT: usize = 156;

/// Asks the kernel about connections on loopback.
#[derive(Debug)]
pub(super) struct Segments {
    netlink: OwnedFd,
}

impl Segments {
    /// Opened, and tried out on a connection of its own: not every system tells.
    pub(super) fn open() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
        let netlink = socket_with(family, kind, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        let segments = Self { netlink };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        segments.sent(client.local_addr()?.port(), listener.local_addr()?.port())?;
        Ok(segments)
    }

    /// What went out of the end of a connection that has the port `own`.
    fn sent(&self, own: u16, peer: u16) -> io::Result<u32> {
        send(&self.netlink, &request(own, peer), SendFlags::empty())?;
        let mut reply = vec![0; 4096];
        // The answer is there when the question has been sent.
        let (_, length) = recv(&self.netlink, reply.as_mut_slice(), RecvFlags::DONTWAIT)?;
        reply.truncate(length);
        data_segments(&reply).ok_or_else(|| io::Error::other("the kernel does not tell"))
    }
}

/// The segments of one connection that were not counted yet.
#[derive(Debug)]
pub(super) struct Tally {
    client: u16,
    proxy: u16,
    counted: AtomicU32,
}

impl Tally {
    /// For the client at the other end of this.
    pub(super) fn of(client: &tokio::net::TcpStream) -> io::Result<Self> {
        let (proxy, client) = (client.local_addr()?.port(), client.peer_addr()?.port());
        Ok(Self { client, proxy, counted: AtomicU32::new(0) })
    }

    /// How many were sent since the last call.
    pub(super) fn more(&self, segments: &Segments) -> usize {
        match segments.sent(self.client, self.proxy) {
            Ok(now) => now.saturating_sub(self.counted.fetch_max(now, Ordering::Relaxed)) as usize,
            // A client that has closed meanwhile is forgotten: something had come.
            Err(_) => 1,
        }
    }
}

/// A `struct nlmsghdr` and a `struct inet_diag_req_v2` for one connection.
fn request(own: u16, peer: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST);
    bytes.extend_from_slice(&u32::try_from(REQUEST).unwrap_or_default().to_ne_bytes());
    bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[AF_INET, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    bytes.extend_from_slice(&u32::MAX.to_ne_bytes());
    bytes.extend_from_slice(&own.to_be_bytes());
    bytes.extend_from_slice(&peer.to_be_bytes());
    for _ in ["source", "destination"] {
        bytes.extend_from_slice(&Ipv4Addr::LOCALHOST.octets());
        bytes.extend_from_slice(&[0; 12]);
    }
    bytes.extend_from_slice(&[0; 4]);
    // No cookie.
    bytes.extend_from_slice(&[0xff; 8]);
    bytes
}

/// Finds the number in a `struct nlmsghdr`, a `struct inet_diag_msg` and its attributes.
fn data_segments(reply: &[u8]) -> Option<u32> {
    let number = |at: &[u8]| Some(u16::from_ne_bytes(at.get(..2)?.try_into().ok()?));
    if number(reply.get(4..)?)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let mut attributes = reply.get(REPLY..)?;
    loop {
        let length = usize::from(number(attributes)?).max(4);
        if number(attributes.get(2..)?)? == INET_DIAG_INFO {
            let info = attributes.get(4..length)?;
            let field = |at| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
            return field(DATA_SEGS_OUT)?.checked_sub(field(TOTAL_RETRANS)?);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}
