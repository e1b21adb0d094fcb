//! The client's address, as far as it can be believed.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, request::Parts};
use ipnet::IpNet;

use crate::ConfigError;

/// The forwarding header that is read.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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

/// The proxies whose word about the client's address is taken.
///
/// Only where the socket's other end is one of them is `X-Forwarded-For` read: from the right,
/// past every trusted proxy, to the first address that is none. What stands left of it was
/// written by the client and is never looked at. An entry that is no address ends the walk at
/// the proxy that wrote it. With no trusted proxy the header is ignored.
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
pub struct TrustedProxies(Box<[IpNet]>);

impl TrustedProxies {
    /// No proxy is trusted: the client is the socket's other end.
    pub fn none() -> Self {
        Self::default()
    }

    /// The client of the request with this head, or `None` when the server told no address.
    pub fn client(&self, head: &Parts) -> Option<ClientAddr> {
        let peer = peer(head)?;
        Some(ClientAddr::new(self.walk(peer, &head.headers)))
    }

    fn walk(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer;
        if self.0.is_empty() {
            return nearest;
        }
        // Several header lines are one list, in order (RFC 9110, 5.3).
        let mut lines = headers.get_all(X_FORWARDED_FOR).iter();
        while self.trusts(nearest) {
            let Some(line) = lines.next_back() else { break };
            let Ok(line) = line.to_str() else { break };
            for entry in line.rsplit(',') {
                match parse_entry(entry) {
                    Some(ip) => nearest = ip,
                    None => return nearest,
                }
                if !self.trusts(nearest) {
                    return nearest;
                }
            }
        }
        nearest
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
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
        error.into_result(Self(networks.into()))
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

fn peer(head: &Parts) -> Option<IpAddr> {
    let told = head.extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let told = told.or_else(|| {
        use axum::extract::ConnectInfo;
        head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    });
    told.map(|address| address.ip())
}

/// One entry of `X-Forwarded-For`: an address, with or without port and brackets.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(ip);
    }
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    entry.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let proxies: TrustedProxies =
            if trusted.is_empty() { TrustedProxies::none() } else { trusted.parse().unwrap() };
        let mut request = http::Request::builder();
        for line in lines {
            request = request.header("x-forwarded-for", *line);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        head.extensions.insert(PeerAddr(SocketAddr::new(peer.parse().unwrap(), 1)));
        proxies.client(&head).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let lan = "10.0.0.0/8";
        for (trusted, peer, lines, expected) in [
            ("", "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            (lan, "192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            (lan, "10.0.0.1", &[], "10.0.0.1"),
            (lan, "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            (lan, "10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            (lan, "10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.9.9.9"], "203.0.113.9"),
            (lan, "10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            (lan, "10.0.0.1", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2"),
            (lan, "10.0.0.1", &["1.1.1.1, _hidden"], "10.0.0.1"),
            (lan, "10.0.0.1", &["1.1.1.1,"], "10.0.0.1"),
            (lan, "10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            (lan, "10.0.0.1", &["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
            (lan, "10.0.0.1", &["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
            (lan, "10.0.0.1", &["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
            (lan, "10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            (lan, "::ffff:10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
            ("::1/128", "::1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.0/104", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ] {
            assert_eq!(client(trusted, peer, lines), expected, "{trusted} {peer} {lines:?}");
        }
    }

    #[test]
    fn no_address_is_no_client() {
        let (head, ()) = http::Request::new(()).into_parts();
        assert_eq!(TrustedProxies::none().client(&head), None);
    }

    #[test]
    fn a_line_that_is_no_text_ends_the_walk() {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.extensions.insert(PeerAddr(([10, 0, 0, 1], 1).into()));
        let value = http::HeaderValue::from_bytes(b"\xff, 203.0.113.9").unwrap();
        head.headers.insert("x-forwarded-for", value);
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        assert_eq!(proxies.client(&head).unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn every_bad_entry_of_the_list_is_named() {
        let error = "10.0.0.0/8,nonsense, 10.0.0.0/33 ,".parse::<TrustedProxies>().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.problems().len(), 3, "{text}");
        assert!(text.contains("`nonsense`") && text.contains("`10.0.0.0/33`"), "{text}");
    }
}
