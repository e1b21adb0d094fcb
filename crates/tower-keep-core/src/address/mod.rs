//! The client's address, as far as it can be believed.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::Head;

mod forwarded;
mod header;
mod proxies;
mod x_forwarded_for;

pub use self::{header::ForwardingHeader, proxies::TrustedProxies};

/// Request extension: the address of the socket's other end.
///
/// Any server may set it. With the `axum` feature, axum's `ConnectInfo<SocketAddr>` is read too
/// where this one is missing.
///
/// ```
/// use tower_keep_core::PeerAddr;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4711).into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// An address that stands for one client: an IPv4 address, or the /64 network of an IPv6 address,
/// because whoever has one address of it has them all. An IPv4 address in IPv6 clothes
/// (`::ffff:192.0.2.1`) is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(Bits);

/// Of an IPv6 network its first half is enough. Both are of one size, so that an address is two
/// numbers in registers: it goes through many hands for each request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Bits {
    V4(u64),
    V6(u64),
}

impl ClientAddr {
    /// The client that `ip` stands for.
    #[inline]
    pub const fn new(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => Bits::V4(ip.to_bits() as u64),
            IpAddr::V6(ip) => Bits::V6((ip.to_bits() >> 64) as u64),
        })
    }

    /// The IPv4 address, or the first address of the IPv6 network.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an IPv4 address has 32 bits")]
    pub const fn ip(self) -> IpAddr {
        match self.0 {
            Bits::V4(bits) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            Bits::V6(bits) => IpAddr::V6(Ipv6Addr::from_bits((bits as u128) << 64)),
        }
    }
}

impl fmt::Debug for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientAddr").field(&self.ip()).finish()
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

#[inline]
fn peer(head: Head<'_>) -> Option<IpAddr> {
    let told = head.extensions().get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let told = told.or_else(|| {
        use axum::extract::ConnectInfo;
        head.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    });
    told.map(|address| address.ip())
}
