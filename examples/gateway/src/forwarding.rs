//! For whom a request is: what trusted proxies tell of it, and what the upstream is told.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_keep::{ForwardingHeader, TrustedProxies};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The other end of a connection: looked at once, written into each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether it is a trusted proxy.
    pub(crate) trusted: bool,
    header: ForwardingHeader,
    /// How it stands in that header.
    written: HeaderValue,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, proxies: &TrustedProxies) -> Self {
        let (ip, header) = (address.ip().to_canonical(), proxies.header());
        let text = match (header, ip) {
            (ForwardingHeader::Forwarded, IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            (ForwardingHeader::Forwarded, IpAddr::V4(ip)) => format!("for={ip}"),
            _ => ip.to_string(),
        };
        let unknown = || HeaderValue::from_static("unknown"); // An address is always a value.
        let written = HeaderValue::try_from(text).unwrap_or_else(|_| unknown());
        Self { address, trusted: proxies.trusts(ip), header, written }
    }

    /// Leaves of the forwarding fields only what trusted proxies have written, and adds this peer.
    /// Layers see what the upstream sees, so that a cache never keys on a client's word.
    ///
    /// Of a trusted proxy the other forwarding header is removed all the same: what it passes on
    /// unread is the client's word.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let (ours, others) = match self.header {
            ForwardingHeader::Forwarded => (header::FORWARDED, "x-forwarded"),
            _ => (X_FORWARDED_FOR, "forwarded"),
        };
        let doomed = |name: &HeaderName| {
            let name = name.as_str().as_bytes();
            let told = is_like(name, "x-forwarded", true) || is_like(name, "forwarded", true);
            // A name with `_` for `-` is the same one to many a program.
            let goes = !self.trusted || is_like(name, others, true) || name.contains(&b'_');
            told && goes || is_like(name, "x-real-ip", false)
        };
        if headers.keys().any(doomed) {
            let names: Vec<HeaderName> =
                headers.keys().filter(|name| doomed(name)).cloned().collect();
            for name in names {
                headers.remove(name);
            }
        }
        let mut own = self.written.clone();
        if self.header == ForwardingHeader::Forwarded {
            own = with_host(&own, headers.get(header::HOST));
        }
        match headers.entry(ours) {
            header::Entry::Vacant(none) => {
                none.insert(own);
            }
            header::Entry::Occupied(mut before) => {
                let all = joined(before.iter(), &own);
                before.insert(all);
            }
        }
    }

    /// Tells the upstream what it has no other way to know, where no trusted proxy has told it. No
    /// cache needs this for telling answers apart: the host is in its key, the scheme is always
    /// the same.
    pub(crate) fn complete(header: ForwardingHeader, headers: &mut HeaderMap) {
        if header == ForwardingHeader::Forwarded {
            return;
        }
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    }
}

/// Whether a field has this name, or a longer one that begins so, by a reader who takes `_` for `-`.
fn is_like(name: &[u8], wanted: &str, longer: bool) -> bool {
    let same = |(a, b): (&u8, &u8)| *a == *b || (*a == b'_' && *b == b'-');
    (name.len() == wanted.len() || longer && name.len() > wanted.len())
        && name.iter().zip(wanted.as_bytes()).all(same)
}

/// The element of `Forwarded` with what the upstream may want to know besides.
fn with_host(own: &HeaderValue, host: Option<&HeaderValue>) -> HeaderValue {
    let mut text = own.to_str().unwrap_or_default().to_owned();
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        // A valid host has neither quotes nor backslashes.
        let _ = write!(text, ";host=\"{host}\"");
    }
    text.push_str(";proto=http");
    HeaderValue::try_from(text).unwrap_or_else(|_| own.clone())
}

/// All lines as one, since some readers look at the first line alone.
fn joined<'a>(lines: impl Iterator<Item = &'a HeaderValue>, last: &'a HeaderValue) -> HeaderValue {
    let mut bytes = Vec::new();
    for line in lines.chain([last]) {
        if !bytes.is_empty() {
            bytes.extend_from_slice(b", ");
        }
        bytes.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| last.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(peer: &str, proxies: &str, header: &str, fields: &[(&str, &str)]) -> Vec<String> {
        let proxies: TrustedProxies = match proxies {
            "" => TrustedProxies::none(),
            list => list.parse().unwrap(),
        };
        let proxies = proxies.with_header(header.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        Peer::new(peer.parse().unwrap(), &proxies).write(&mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    const SPOOFED: &[(&str, &str)] = &[
        ("host", "example.com"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-for", "203.0.113.2"),
        ("x-forwarded-host", "inner"),
        ("x_forwarded_for", "203.0.113.3"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.4"),
        ("x-real-ip", "203.0.113.5"),
        ("x-other", "stays"),
    ];

    #[test]
    fn nobody_but_trusted_proxies_is_believed() {
        assert_eq!(
            written("198.51.100.7:1", "10.0.0.0/8", "x-forwarded-for", SPOOFED),
            ["host: example.com", "x-forwarded-for: 198.51.100.7", "x-other: stays"]
        );
        assert_eq!(
            written("[2001:db8::7]:1", "", "forwarded", SPOOFED),
            [
                "forwarded: for=\"[2001:db8::7]\";host=\"example.com\";proto=http",
                "host: example.com",
                "x-other: stays"
            ]
        );
    }

    #[test]
    fn trusted_proxies_are_appended_to_in_their_one_header() {
        assert_eq!(
            written("[::ffff:10.0.0.1]:1", "10.0.0.0/8", "x-forwarded-for", SPOOFED),
            [
                "host: example.com",
                "x-forwarded-for: 203.0.113.1, 203.0.113.2, 10.0.0.1",
                "x-forwarded-host: inner",
                "x-forwarded-proto: https",
                "x-other: stays"
            ]
        );
        assert_eq!(
            written("10.0.0.1:1", "10.0.0.0/8", "forwarded", SPOOFED),
            [
                "forwarded: for=203.0.113.4, for=10.0.0.1;host=\"example.com\";proto=http",
                "host: example.com",
                "x-other: stays"
            ]
        );
    }

    #[test]
    fn the_upstream_is_told_host_and_scheme_once() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "a:1".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        Peer::complete(ForwardingHeader::XForwardedFor, &mut headers);
        assert_eq!(headers["x-forwarded-host"], "a:1");
        assert_eq!(headers["x-forwarded-proto"], "https");
    }
}
