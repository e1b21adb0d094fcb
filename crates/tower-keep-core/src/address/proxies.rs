//! The proxies that are trusted, and the client behind them.

use std::{
    net::IpAddr,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;

use super::{ClientAddr, ForwardingHeader, forwarded, peer, x_forwarded_for};
use crate::{ConfigError, Head};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many more requests are looked at for a proxy that is not named: after so many without one
/// there is none.
static LOOKS: AtomicU32 = AtomicU32::new(10_000);

/// The proxies whose word about the client's address is taken, and the header they tell it in.
///
/// Only where the socket's other end is one of them is that header read, `X-Forwarded-For` unless
/// [`with_header`](Self::with_header) names the other: from the right, past every trusted proxy,
/// to the first address that is none. What stands left of it was written by the client and is
/// never looked at. An entry that is no address ends the walk at the proxy that wrote it. With no
/// trusted proxy no header is read.
///
/// ```
/// use tower_keep_core::{ClientAddr, PeerAddr, TrustedProxies};
///
/// let proxies: TrustedProxies = "10.0.0.0/8, ::1".parse()?;
/// let (mut head, ()) = http::Request::builder()
///     .header("x-forwarded-for", "203.0.113.9 , 198.51.100.7, 10.0.0.2")
///     .body(()).unwrap().into_parts();
/// head.extensions.insert(PeerAddr(([10, 0, 0, 1], 80).into()));
/// let client = proxies.client(&head).unwrap();
/// assert_eq!(client.to_string(), "198.51.100.7");
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Box<[IpNet]>,
    header: ForwardingHeader,
}

impl TrustedProxies {
    /// No proxy is trusted: the client is the socket's other end.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same proxies, which tell the client's address in `header`. Any other forwarding header
    /// is ignored. Name the one that every trusted proxy sets or appends to.
    ///
    /// ```
    /// use tower_keep_core::{ForwardingHeader, PeerAddr, TrustedProxies};
    ///
    /// let proxies: TrustedProxies = "10.0.0.0/8".parse()?;
    /// let proxies = proxies.with_header(ForwardingHeader::Forwarded);
    /// let (mut head, ()) = http::Request::builder()
    ///     .header("forwarded", r#"for=198.51.100.7, for="[2001:db8::1]:4711";proto=https"#)
    ///     .header("x-forwarded-for", "203.0.113.9")
    ///     .body(()).unwrap().into_parts();
    /// head.extensions.insert(PeerAddr(([10, 0, 0, 1], 80).into()));
    /// assert_eq!(proxies.client(&head).unwrap().to_string(), "2001:db8::/64");
    /// # Ok::<_, tower_keep_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_header(self, header: ForwardingHeader) -> Self {
        Self { header, ..self }
    }

    /// The one header in which they tell the client's address.
    pub const fn header(&self) -> ForwardingHeader {
        self.header
    }

    /// The client of the request with this head, or `None` when the server told no address.
    #[inline]
    pub fn client<'a>(&self, head: impl Into<Head<'a>>) -> Option<ClientAddr> {
        let head = head.into();
        let peer = peer(head)?;
        if LOOKS.load(Ordering::Relaxed) > 0 {
            self.look_for_a_stranger(&LOOKS, peer, head.headers());
        }
        let nearest =
            if self.networks.is_empty() { peer } else { self.behind(peer, head.headers()) };
        Some(ClientAddr::new(nearest))
    }

    /// Warns, once, where somebody tells a client's address who is not trusted: if it is a proxy,
    /// all its clients count as one. Whether it warned.
    #[cold]
    fn look_for_a_stranger(&self, looks: &AtomicU32, peer: IpAddr, headers: &HeaderMap) -> bool {
        let tells = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED);
        let is_stranger = tells && !self.trusts(peer);
        let after = |left: u32| if is_stranger { 0 } else { left.saturating_sub(1) };
        let before =
            looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(after(left)));
        let warns = is_stranger && before.is_ok_and(|left| left > 0);
        if warns {
            tracing::warn!(
                %peer,
                "a request came with X-Forwarded-For or Forwarded from an address that is no trusted \
                 proxy: if it is a proxy of yours, name it in TRUSTED_PROXIES, or all its clients count \
                 as one for limits by address and for new sessions"
            );
        }
        warns
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // Several header lines are one list, in order (RFC 9110, 5.3).
        match self.header {
            ForwardingHeader::XForwardedFor => {
                let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
                self.walk(peer, lines.flat_map(|it| x_forwarded_for::from_the_right(it.as_bytes())))
            }
            ForwardingHeader::Forwarded => {
                let lines = headers.get_all(FORWARDED).iter().rev();
                self.walk(peer, lines.flat_map(|it| forwarded::from_the_right(it.as_bytes())))
            }
        }
    }

    /// Goes from `peer` on as long as whoever tells the next address is trusted.
    fn walk(&self, peer: IpAddr, mut told: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut nearest = peer;
        while self.trusts(nearest)
            && let Some(Some(next)) = told.next()
        {
            nearest = next;
        }
        nearest
    }

    /// Whether what comes from `ip` is a trusted proxy's word. For a program that does more with it
    /// than find out the client's address.
    ///
    /// ```
    /// let proxies: tower_keep_core::TrustedProxies = "10.0.0.0/8".parse()?;
    /// assert!(proxies.trusts([10, 0, 0, 1].into()) && !proxies.trusts([192, 0, 2, 1].into()));
    /// # Ok::<_, tower_keep_core::ConfigError>(())
    /// ```
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

impl FromStr for TrustedProxies {
    type Err = ConfigError;

    /// Reads a comma-separated list of networks (`10.0.0.0/8`) and addresses (`::1`).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names each entry which is neither.
    fn from_str(list: &str) -> Result<Self, ConfigError> {
        let mut error = ConfigError::default();
        let mut networks = Vec::new();
        for entry in list.split(',').map(str::trim) {
            let network = entry.parse::<IpNet>().ok();
            match network.or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(network) => networks.push(canonical(network)),
                None => error.push(
                    "TRUSTED_PROXIES",
                    format!(
                        "`{}` is neither an address nor a network; accepted: a comma-separated \
                         list such as `10.0.0.0/8,192.168.1.1,fd00::/8`",
                        entry.escape_debug()
                    ),
                ),
            }
        }
        error.into_result(Self { networks: networks.into(), header: ForwardingHeader::default() })
    }
}

/// A network of IPv4 addresses in IPv6 clothes is the IPv4 network; its host bits are cleared.
fn canonical(network: IpNet) -> IpNet {
    let folded = match network.addr().to_canonical() {
        IpAddr::V4(ip) if network.addr().is_ipv6() => {
            let length = network.prefix_len().checked_sub(96);
            length.and_then(|length| IpNet::new(ip.into(), length).ok())
        }
        _ => None,
    };
    folded.unwrap_or(network).trunc()
}

#[cfg(test)]
mod tests;
