//! What a request is for: its method, its target and its `Host`, made one and the same for all
//! layers and the upstream.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts, uri};
use tower_keep::Rejection;

use crate::failure;

/// Leaves the target in origin form and one `Host` that holds the authority asked for: that of the
/// target where it has one (RFC 9112, 3.2.2; RFC 9113, 8.3.1), else the one told in `Host`. Neither
/// has a say in who is asked. `own` is told for those who name none, which HTTP/1.0 allows.
pub(crate) fn settle(head: &mut Parts, own: &HeaderValue) -> Result<(), Box<Rejection>> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        let what = "CONNECT and TRACE are not for a gateway";
        return Err(failure::refuse(StatusCode::NOT_IMPLEMENTED, what));
    }
    if head.uri.authority().is_some() {
        let host = asked(&head.uri)?;
        head.headers.insert(header::HOST, host);
        head.uri = origin_form(std::mem::take(&mut head.uri));
    } else {
        told(&mut head.headers, head.version, own)?;
    }
    match head.uri.path().as_bytes() {
        [b'/', ..] => Ok(()),
        [b'*'] if head.method == Method::OPTIONS => Ok(()),
        _ => Err(bad("the target is no path")),
    }
}

/// The authority of a target that has one.
fn asked(target: &Uri) -> Result<HeaderValue, Box<Rejection>> {
    let (Some(authority), Some("http" | "https")) = (target.authority(), target.scheme_str())
    else {
        return Err(bad("the target is neither a path nor an http URL"));
    };
    HeaderValue::from_str(authority.as_str())
        .ok()
        .filter(|host| is_host(host.as_bytes()))
        .ok_or_else(|| bad("the target names no valid host"))
}

fn origin_form(target: Uri) -> Uri {
    let path = target.into_parts().path_and_query;
    path.unwrap_or_else(|| uri::PathAndQuery::from_static("/")).into()
}

/// Exactly one valid `Host` is there, or is put there.
fn told(
    headers: &mut HeaderMap,
    version: Version,
    own: &HeaderValue,
) -> Result<(), Box<Rejection>> {
    let mut lines = headers.get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(bad("the Host field is not a host")),
        (Some(_), Some(_)) => Err(bad("there is more than one Host field")),
        (None, _) if version == Version::HTTP_10 => {
            headers.insert(header::HOST, own.clone());
            Ok(())
        }
        (None, _) => Err(bad("there is no Host field")),
    }
}

/// Whether this is a host, with or without a port (RFC 3986, 3.2.2 and 3.2.3).
fn is_host(bytes: &[u8]) -> bool {
    let (host, port) = match bytes.iter().rposition(|byte| *byte == b':') {
        // Within brackets it belongs to the address.
        Some(at) if !bytes.ends_with(b"]") => {
            let (host, port) = bytes.split_at(at);
            (host, port.get(1..).unwrap_or_default())
        }
        _ => (bytes, &[][..]),
    };
    let named = match host {
        [b'[', inside @ .., b']'] => {
            !inside.is_empty()
                && inside.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }
        _ => !host.is_empty() && host.iter().all(|byte| in_name(*byte)),
    };
    named && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'')
        || matches!(byte, b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn bad(what: &'static str) -> Box<Rejection> {
    failure::refuse(StatusCode::BAD_REQUEST, what)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// Target and `Host` after it, or the status of the refusal.
    fn ask(method: &str, target: &str, hosts: &[&str], version: Version) -> Result<String, u16> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        match settle(&mut head, &HeaderValue::from_static("own:1")) {
            Ok(()) => {
                let hosts: Vec<_> = head.headers.get_all("host").iter().collect();
                assert_eq!(hosts.len(), 1);
                Ok(format!("{} {}", head.uri, hosts[0].to_str().unwrap()))
            }
            Err(no) => Err(no
                .into_response::<http_body_util::Empty<bytes::Bytes>>(tower_keep::Dialect::Http)
                .status()
                .as_u16()),
        }
    }

    #[test]
    fn the_target_is_a_path_and_the_host_is_the_one_asked_for() {
        for (target, hosts, expected) in [
            ("/a?b", &["x"][..], "/a?b x"),
            ("//a", &["x:80"], "//a x:80"),
            ("/", &["[::1]:8080"], "/ [::1]:8080"),
            ("http://other/a", &["x"], "/a other"),
            ("http://other:81", &[], "/ other:81"),
            ("https://other/a?b=c", &["x", "y"], "/a?b=c other"),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(ask("GET", target, hosts, version), Ok(expected.to_owned()));
            }
        }
        assert_eq!(ask("GET", "/", &[], Version::HTTP_10), Ok("/ own:1".to_owned()));
        assert_eq!(ask("OPTIONS", "*", &["x"], Version::HTTP_11), Ok("* x".to_owned()));
    }

    #[test]
    fn what_is_no_request_for_a_resource_here_is_refused() {
        for (method, target, hosts, status) in [
            ("CONNECT", "other:443", &["x"][..], 501),
            ("TRACE", "/", &["x"], 501),
            ("GET", "/", &[], 400),
            ("GET", "/", &["x", "x"], 400),
            ("GET", "/", &[""], 400),
            ("GET", "/", &["x/y"], 400),
            ("GET", "/", &["u@x"], 400),
            ("GET", "/", &["x:y"], 400),
            ("GET", "/", &["x:123456"], 400),
            ("GET", "/", &["[::1"], 400),
            ("GET", "/", &["a b"], 400),
            ("GET", "other:443", &["x"], 400),
            ("GET", "*", &["x"], 400),
            ("GET", "ftp://other/", &["x"], 400),
            ("GET", "http://u:p@other/", &["x"], 400),
        ] {
            let answer = ask(method, target, hosts, Version::HTTP_11);
            assert_eq!(answer, Err(status), "{method} {target} {hosts:?}");
        }
    }
}
