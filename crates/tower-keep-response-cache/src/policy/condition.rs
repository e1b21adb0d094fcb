//! Conditional requests, answered from what is stored.

use http::{
    HeaderMap,
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use tower_keep_core::time::UnixMillis;

use super::{date, validator::EntityTag};
use crate::stored::Stored;

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It wants the response.
    Send,
    /// It has it already.
    NotModified,
}

/// Evaluates `If-None-Match` or else `If-Modified-Since` of a GET or HEAD (RFC 9111 §4.3.2).
/// `If-Match` and `If-Unmodified-Since` are for the service.
pub(crate) fn evaluate(request: &HeaderMap, stored: &Stored, now: UnixMillis) -> Condition {
    let has = stored.status.is_success()
        && if request.contains_key(IF_NONE_MATCH) {
            has_tag(request, stored)
        } else {
            is_since(request, stored, now)
        };
    if has { Condition::NotModified } else { Condition::Send }
}

fn has_tag(request: &HeaderMap, stored: &Stored) -> bool {
    let lines = || request.get_all(IF_NONE_MATCH).iter().map(http::HeaderValue::as_bytes);
    if lines().all(|line| line.trim_ascii() == b"*") {
        return true;
    }
    if lines().any(|line| Some(line) == stored.headers.get(ETAG).map(http::HeaderValue::as_bytes)) {
        return true;
    }
    EntityTag::of(&stored.headers)
        .is_some_and(|own| lines().flat_map(EntityTag::list).any(|tag| tag.is_like(own)))
}

/// Whether the response is not newer than the client's. Where nothing says when it was last
/// modified, that is when it was made: it may have been modified until then.
fn is_since(request: &HeaderMap, stored: &Stored, now: UnixMillis) -> bool {
    let Some(since) = date::field(request, IF_MODIFIED_SINCE, now) else { return false };
    if !stored.headers.contains_key(LAST_MODIFIED) {
        return stored.date.0 / 1000 <= since.0 / 1000;
    }
    date::field(&stored.headers, LAST_MODIFIED, now).is_some_and(|modified| modified <= since)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::testing::{self, RECEIVED, fields, stored};

    const NEW_YEAR: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
    const BEFORE: &str = "Sun, 31 Dec 2023 23:10:00 GMT";
    const LONG_BEFORE: &str = "Sun, 31 Dec 2023 22:00:00 GMT";

    #[test]
    fn conditions_come_to() {
        use Condition::{NotModified, Send};
        let etag = |value: &'static str| ("etag", value);
        let inm = |value: &'static str| ("if-none-match", value);
        let ims = |value: &'static str| ("if-modified-since", value);
        let lm = |value: &'static str| ("last-modified", value);
        for (response, request, expected) in [
            (&[etag("\"a\"")][..], &[][..], Send),
            (&[etag("\"a\"")], &[inm("\"a\"")], NotModified),
            (&[etag("\"a\"")], &[inm("W/\"a\"")], NotModified),
            (&[etag("W/\"a\"")], &[inm("W/\"a\"")], NotModified),
            (&[etag("w/\"a\"")], &[inm("w/\"a\"")], NotModified),
            (&[etag("W\\\"a\"")], &[inm("W\\\"a\"")], NotModified),
            (&[etag("W\"a\"")], &[inm("W\"a\"")], NotModified),
            (&[etag("\"\u{fc}\"")], &[inm("\"\u{fc}\"")], NotModified),
            (&[etag("\"a\"")], &[inm("a")], NotModified),
            (&[etag("a")], &[inm("a")], NotModified),
            (&[etag("a")], &[inm("\"a\"")], NotModified),
            (&[etag("\"a\"")], &[inm("\"a\", \"1\", \"5\"")], NotModified),
            (&[etag("\"a\"")], &[inm("\"1\", \"a\", \"5\"")], NotModified),
            (&[etag("\"a\"")], &[inm("\"1\", \"5\", \"a\"")], NotModified),
            (&[etag("\"a\"")], &[inm("\"1\""), inm("\"a\"")], NotModified),
            (&[etag("\"a\"")], &[inm("\"b\"")], Send),
            (&[etag("\"a\"")], &[inm("\"A\"")], Send),
            (&[etag("\"a\"")], &[inm("")], Send),
            // A comma between quotes ends no tag.
            (&[etag("\"a\"")], &[inm("\"x,a\"")], Send),
            (&[etag("\"a\"")], &[inm("*")], NotModified),
            (&[], &[inm("*")], NotModified),
            (&[], &[inm("\"*\"")], Send),
            (&[etag("\"a\"")], &[inm("\"b\", *")], Send),
            (&[], &[inm("\"a\"")], Send),
            // The tag goes before the date, whichever of them says yes.
            (&[etag("\"a\""), lm(BEFORE)], &[inm("\"a\""), ims(LONG_BEFORE)], NotModified),
            (&[etag("\"a\""), lm(BEFORE)], &[inm("\"b\""), ims(BEFORE)], Send),
            (&[lm(BEFORE)], &[ims(BEFORE)], NotModified),
            (&[lm(BEFORE)], &[ims("Sunday, 31-Dec-23 23:10:00 GMT")], NotModified),
            (&[lm(BEFORE)], &[ims(NEW_YEAR)], NotModified),
            (&[lm(BEFORE)], &[ims(LONG_BEFORE)], Send),
            (&[lm(BEFORE)], &[ims("yesterday")], Send),
            (&[lm(BEFORE)], &[ims(NEW_YEAR), ims(NEW_YEAR)], Send),
            (&[lm("nonsense")], &[ims(NEW_YEAR)], Send),
            // Without a date of modification it is as old as it is.
            (&[], &[ims(NEW_YEAR)], NotModified),
            (&[], &[ims(BEFORE)], Send),
        ] {
            let stored = stored(response, "");
            let found = evaluate(&fields(request), &stored, RECEIVED);
            assert_eq!(found, expected, "{response:?} {request:?}");
        }
    }

    #[test]
    fn only_successes_are_had_already() {
        let request = fields(&[("if-none-match", "\"a\"")]);
        let mut stored = stored(&[("etag", "\"a\"")], "0123");
        assert_eq!(
            evaluate(&request, &testing::part(stored.clone(), 1, 2), RECEIVED),
            Condition::NotModified
        );
        stored.status = StatusCode::NOT_FOUND;
        assert_eq!(evaluate(&request, &stored, RECEIVED), Condition::Send);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            a in proptest::collection::vec(any::<u8>(), 0..30),
            b in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let value = |bytes: &[u8]| http::HeaderValue::from_bytes(bytes).ok();
            if let (Some(a), Some(b)) = (value(&a), value(&b)) {
                let mut stored = stored(&[], "");
                stored.headers.insert(ETAG, a.clone());
                stored.headers.insert(LAST_MODIFIED, a.clone());
                let mut request = HeaderMap::new();
                request.insert(IF_MODIFIED_SINCE, b.clone());
                let _ = evaluate(&request, &stored, RECEIVED);
                request.insert(IF_NONE_MATCH, b);
                let _ = evaluate(&request, &stored, RECEIVED);
                request.insert(IF_NONE_MATCH, a);
                prop_assert_eq!(evaluate(&request, &stored, RECEIVED), Condition::NotModified);
            }
        }
    }
}
