//! Fields that are for the next hop alone (RFC 9110, 7.6.1), in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields of one hop, beside those that `Connection` names. `TE` and `Upgrade` are dealt with apart.
const OF_ONE_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    // Whoever asks a gateway takes it for the service itself, so that there is no proxy to log in to.
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    // CGI programs take it for their environment's HTTP_PROXY.
    HeaderName::from_static("proxy"),
];

/// Fields that stay though `Connection` names them: the first two are for everybody on the way, so
/// that no hop may have them removed; the others are dealt with apart.
const LEFT: [HeaderName; 4] = [header::HOST, header::CACHE_CONTROL, header::TE, header::UPGRADE];

/// Removes the fields of one hop, and those that `Connection` names; all but `TE` and `Upgrade`.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if let header::Entry::Occupied(connection) = headers.entry(header::CONNECTION) {
        let (_, values) = connection.remove_entry_mult();
        let named: Vec<HeaderName> = values.flat_map(|value| names(&value)).collect();
        for name in named.iter().filter(|name| !LEFT.contains(name)) {
            headers.remove(name);
        }
    }
    for name in &OF_ONE_HOP {
        headers.remove(name);
    }
}

/// The fields that a `Connection` line names. What is no field's name is nobody's.
fn names(value: &HeaderValue) -> Vec<HeaderName> {
    tokens(value).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// The elements of a list without quotes.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a field names `wanted`, in any case, on any of its lines.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    values.any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes())))
}

/// Whether a request has a transfer coding that was not taken off on its way here: any but
/// `chunked`, which is.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    lines.next().is_some_and(|value| {
        lines.next().is_some() || !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
    })
}

/// Whether an answer has a transfer coding that would have to be taken off and is not, for nobody has
/// asked for one. A name that no coding has says nothing: the body is taken as it is.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    const CODINGS: [&[u8]; 6] =
        [b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut codings: Vec<&[u8]> = lines.flat_map(tokens).collect();
    // The last one is taken off, if it is this one.
    codings.pop_if(|last| last.eq_ignore_ascii_case(b"chunked"));
    codings.into_iter().any(|coding| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        CODINGS.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        fields.iter().map(field).collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().fold(
            HeaderMap::new(),
            |mut map, (name, value)| {
                map.append(name, value);
                map
            },
        )
    }

    #[test]
    fn what_connection_names_is_removed_and_so_is_connection() {
        let mut headers = map(&[
            ("connection", "close, X-One, upgrade"),
            ("connection", "x-two,,@, host, cache-control"),
            ("x-one", "1"),
            ("x-two", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("host", "a"),
            ("cache-control", "private"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy", "http://evil"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
        ]);
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "host", "upgrade", "x-three"]);
    }

    #[test]
    fn an_answer_with_a_coding_left_on_is_told() {
        for (values, encoded) in [
            (&[][..], false),
            (&["chunked"], false),
            (&["identity"], false),
            (&["nonsense"], false),
            (&["nonsense", "Chunked"], false),
            (&["gzip"], true),
            (&["GZIP;q=1, chunked"], true),
            (&["deflate", "chunked"], true),
            (&["chunked, nonsense"], true),
            (&["chunked", "chunked"], true),
        ] {
            let fields: Vec<_> = values.iter().map(|it| ("transfer-encoding", *it)).collect();
            assert_eq!(is_encoded(&map(&fields)), encoded, "{values:?}");
        }
    }

    #[test]
    fn codings_that_are_left_on_are_told() {
        for (values, coded) in [
            (&[][..], false),
            (&["chunked"], false),
            (&["Chunked "], false),
            (&["gzip, chunked"], true),
            (&["gzip", "chunked"], true),
            (&["chunked", "chunked"], true),
            (&["identity"], true),
        ] {
            let fields: Vec<_> = values.iter().map(|it| ("transfer-encoding", *it)).collect();
            assert_eq!(is_coded(&map(&fields)), coded, "{values:?}");
        }
    }
}
