//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::{ForwardingHeader, PeerAddr, TrustedProxies};

/// Two lines of a forwarding header. What a client wrote into the first changes nothing of what
/// proxies have appended, in a line of their own or in the same.
pub fn client_address(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (left, right) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    // What is no line of a header never comes this far.
    if HeaderValue::from_bytes(left).is_err() {
        return;
    }
    let Ok(proxies) = "10.0.0.0/8, fd00::/8".parse::<TrustedProxies>() else { return };
    for header in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded] {
        let proxies = proxies.clone().with_header(header);
        let Some(alone) = client(&proxies, &[right]) else { return };
        let joined = [left, b",", right].concat();
        let others = [client(&proxies, &[left, right]), client(&proxies, &[&joined])];
        if !proxies.trusts(alone) {
            assert_eq!(others, [Some(alone); 2], "{header:?}");
        }
    }
}

/// The client of a request from a trusted proxy with these lines; `None` if they are no lines.
fn client(proxies: &TrustedProxies, lines: &[&[u8]]) -> Option<IpAddr> {
    let name = match proxies.header() {
        ForwardingHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
        ForwardingHeader::Forwarded => HeaderName::from_static("forwarded"),
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name.clone(), HeaderValue::from_bytes(line).ok()?);
    }
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    request.extensions_mut().insert(PeerAddr(([10, 0, 0, 1], 80).into()));
    proxies.client(&request).map(crate::ClientAddr::ip)
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("client_address", client_address);
    }
}
