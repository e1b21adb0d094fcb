//! The client's address, as far as it can be believed.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::request::Parts;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(IpAddr);

impl ClientAddr {
    /// The client that `ip` stands for.
    pub fn new(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// The IPv4 address, or the first address of the IPv6 network.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

fn peer(head: &Parts) -> Option<IpAddr> {
    let told = head.extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let told = told.or_else(|| {
        use axum::extract::ConnectInfo;
        head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    });
    told.map(|address| address.ip())
}
