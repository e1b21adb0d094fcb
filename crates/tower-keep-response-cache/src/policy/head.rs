//! What of a response's head is kept, and what is told of it.

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{
        AGE, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use tower_keep_core::{decimal, time::UnixMillis};

use crate::stored::Stored;

/// Fields that are for one hop only, or for a proxy.
const HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The fields of a response that are stored: none that are for one hop only or that `Connection`
/// names, none of `drop` (`no-cache="…"`), no `Age`, and of a part nothing that says which part
/// it is.
pub(crate) fn keep(status: StatusCode, response: &HeaderMap, drop: &[HeaderName]) -> HeaderMap {
    let mut kept = response.clone();
    without_hop(&mut kept, response);
    for field in drop {
        kept.remove(field);
    }
    kept.remove(AGE);
    if status == StatusCode::PARTIAL_CONTENT {
        kept.remove(CONTENT_RANGE);
        kept.remove(CONTENT_LENGTH);
    }
    kept
}

/// Takes out what was for the hop to us only.
pub(super) fn without_hop(headers: &mut HeaderMap, response: &HeaderMap) {
    for line in response.get_all(CONNECTION) {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                headers.remove(name);
            }
        }
    }
    for field in &HOP {
        headers.remove(field);
    }
}

/// The fields that are told of what is stored, in an answer with all of its body.
pub(crate) fn tell(stored: &Stored, now: UnixMillis) -> HeaderMap {
    let mut headers = stored.headers.clone();
    headers.insert(AGE, decimal(stored.freshness.age(now)));
    // One that is there was found to be so when the body came in.
    if stored.part.is_none()
        && stored.status != StatusCode::NO_CONTENT
        && !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, decimal(stored.body.len() as u64));
    }
    headers
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::policy::testing::{RECEIVED, fields, stored};

    #[test]
    fn what_is_for_one_hop_is_not_kept() {
        let response = fields(&[
            ("connection", "a, B"),
            ("connection", "close, , no name"),
            ("a", "1"),
            ("b", "2"),
            ("b", "3"),
            ("c", "4"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "d"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("age", "5"),
            ("content-length", "3"),
        ]);
        let kept = keep(StatusCode::OK, &response, &[]);
        assert_eq!(kept, fields(&[("c", "4"), ("content-length", "3")]));
    }

    #[test]
    fn everything_else_is_kept_as_it_came() {
        let response = fields(&[
            ("link", "<a>"),
            ("link", "<b>"),
            ("content-range", "whatever"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x-text", "\u{fc}"),
            ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
            ("cache-status", "other; hit"),
        ]);
        assert_eq!(keep(StatusCode::OK, &response, &[]), response);
    }

    #[test]
    fn fields_that_may_not_be_reused_are_not_kept() {
        let response = fields(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("a", "1")]);
        let kept = keep(StatusCode::OK, &response, &[http::header::SET_COOKIE]);
        assert_eq!(kept, fields(&[("a", "1")]));
    }

    #[test]
    fn of_a_part_its_place_is_kept_elsewhere() {
        let response = fields(&[("content-range", "bytes 0-1/2"), ("content-length", "2")]);
        assert!(keep(StatusCode::PARTIAL_CONTENT, &response, &[]).is_empty());
    }

    #[test]
    fn age_and_length_are_told() {
        let mut ten = stored(&[("date", "x"), ("link", "a"), ("link", "b")], "0123456789");
        ten.freshness.initial_age = 30;
        let told = tell(&ten, UnixMillis(RECEIVED.0 + 3900));
        let mut expected = ten.headers.clone();
        expected.insert(AGE, HeaderValue::from_static("33"));
        expected.insert(CONTENT_LENGTH, HeaderValue::from_static("10"));
        assert_eq!(told, expected);
        ten.status = StatusCode::NO_CONTENT;
        assert!(!tell(&ten, RECEIVED).contains_key(CONTENT_LENGTH));
    }
}
