//! Stored responses, updated by a 304 or an answer to HEAD.

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED},
};

use super::{
    head,
    range::{self, number},
    validator::EntityTag,
};
use crate::stored::Stored;

/// What describes the bytes that are stored, which an answer without them does not change.
const OF_THE_BODY: [HeaderName; 4] =
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE];

/// Which of the stored responses that were asked about a 304 means (RFC 9111 §4.3.4): the index in
/// `asked`. `None` if it means none of them: the request has to be made again, without conditions.
pub(crate) fn meant(answer: &HeaderMap, asked: &[&Stored]) -> Option<usize> {
    let newest = |fits: &dyn Fn(&Stored) -> bool| {
        let fitting = asked.iter().enumerate().filter(|(_, stored)| fits(stored));
        fitting.max_by_key(|(_, stored)| stored.date).map(|(at, _)| at)
    };
    if answer.contains_key(ETAG) {
        let tag = EntityTag::of(answer)?;
        return newest(&|stored| {
            EntityTag::of(&stored.headers).is_some_and(|own| {
                if tag.weak || !tag.quoted { tag.is_like(own) } else { tag.is_same(own) }
            })
        });
    }
    if let Some(modified) = answer.get(LAST_MODIFIED) {
        return newest(&|stored| stored.headers.get(LAST_MODIFIED) == Some(modified));
    }
    // It says nothing, and can only mean the one.
    (asked.len() == 1).then_some(0)
}

/// The fields of a stored response after a 304 (RFC 9111 §3.2), `Age` included if it had one: as
/// those of a response that just came in, to be judged anew (`storable`, `Selecting::of`,
/// `head::keep`).
pub(crate) fn apply(stored: &Stored, answer: &HeaderMap) -> HeaderMap {
    let mut new = answer.clone();
    for field in &OF_THE_BODY {
        new.remove(field);
    }
    replace(&stored.headers, &new)
}

/// What a 200 to HEAD says of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByHead {
    /// It is the same: its fields are these now, to be judged as after [`apply`].
    Update(HeaderMap),
    /// It is another by now: what is stored is stale.
    Changed,
    /// Whether it is the same is not said.
    Untold,
}

/// Compares a stored response to a 200 that answered HEAD (RFC 9111 §4.3.5).
pub(crate) fn by_head(stored: &Stored, answer: &HeaderMap) -> ByHead {
    let same = |name: HeaderName| {
        !answer.contains_key(&name)
            || answer.get_all(&name).iter().eq(stored.headers.get_all(&name).iter())
    };
    let as_long = answer
        .get(CONTENT_LENGTH)
        .is_none_or(|length| number(length.as_bytes()) == Some(range::total(stored)));
    if !(as_long && same(ETAG) && same(LAST_MODIFIED)) {
        ByHead::Changed
    } else if answer.contains_key(ETAG) || answer.contains_key(LAST_MODIFIED) {
        ByHead::Update(apply(stored, answer))
    } else {
        ByHead::Untold
    }
}

/// `old` with all lines of the fields that are in `new` replaced, apart from those for one hop.
pub(super) fn replace(old: &HeaderMap, new: &HeaderMap) -> HeaderMap {
    let mut fresh = new.clone();
    head::without_hop(&mut fresh, new);
    let mut headers = old.clone();
    for name in fresh.keys() {
        headers.remove(name);
    }
    headers.extend(fresh);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{fields, stored};

    const DAY: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
    const EARLIER: &str = "Sun, 31 Dec 2023 00:00:00 GMT";

    #[test]
    fn a_304_replaces_fields_and_leaves_those_of_the_body() {
        let page = stored(
            &[
                ("a", "1"),
                ("a", "2"),
                ("kept", "1"),
                ("cache-control", "max-age=1"),
                ("vary", "a"),
                ("content-length", "36"),
                ("content-encoding", "x"),
                ("content-type", "text/plain"),
                ("content-range", "x"),
                ("content-location", "/foo"),
                ("expires", "x"),
            ],
            "",
        );
        let answer = fields(&[
            ("a", "3"),
            ("a", "4"),
            ("new", "1"),
            ("age", "7"),
            ("cache-control", "max-age=3600"),
            ("vary", "b"),
            ("vary", "c"),
            ("content-length", "10"),
            ("content-encoding", "y"),
            ("content-type", "text/html"),
            ("content-range", "y"),
            ("content-foo", "1"),
            ("content-location", "/bar"),
            ("expires", "y"),
            ("connection", "hop"),
            ("hop", "1"),
            ("transfer-encoding", "chunked"),
        ]);
        let expected = fields(&[
            ("a", "3"),
            ("a", "4"),
            ("kept", "1"),
            ("new", "1"),
            ("age", "7"),
            ("cache-control", "max-age=3600"),
            ("vary", "b"),
            ("vary", "c"),
            ("content-length", "36"),
            ("content-encoding", "x"),
            ("content-type", "text/plain"),
            ("content-range", "x"),
            ("content-foo", "1"),
            ("content-location", "/bar"),
            ("expires", "y"),
        ]);
        assert_eq!(apply(&page, &answer), expected);
    }

    #[test]
    fn a_304_that_nominates_what_is_stored_leaves_it() {
        let page = stored(&[("a", "1")], "");
        let answer = fields(&[("connection", "a"), ("a", "2")]);
        assert_eq!(apply(&page, &answer), fields(&[("a", "1")]));
    }

    #[test]
    fn a_304_means() {
        let pages = [
            &[("etag", "\"a\"")][..],
            &[("etag", "W/\"b\"")],
            &[("etag", "\"c\""), ("last-modified", DAY)],
            &[("last-modified", EARLIER)],
            &[],
        ]
        .map(|headers| stored(headers, ""));
        let all: Vec<_> = pages.iter().collect();
        for (answer, expected) in [
            (&[("etag", "\"a\"")][..], Some(0)),
            (&[("etag", "W/\"a\"")], Some(0)),
            (&[("etag", "W/\"b\"")], Some(1)),
            // Strong, and the stored one is not.
            (&[("etag", "\"b\"")], None),
            (&[("etag", "\"x\"")], None),
            (&[("etag", "\"x\""), ("last-modified", DAY)], None),
            (&[("last-modified", DAY)], Some(2)),
            (&[("last-modified", EARLIER)], Some(3)),
            (&[("last-modified", "x")], None),
            (&[], None),
        ] {
            assert_eq!(meant(&fields(answer), &all), expected, "{answer:?}");
        }
        for one in &pages {
            assert_eq!(meant(&fields(&[("a", "1")]), &[one]), Some(0));
        }
        assert_eq!(meant(&fields(&[("etag", "\"x\"")]), &[&pages[0]]), None);
        assert_eq!(meant(&fields(&[]), &[]), None);
    }

    #[test]
    fn of_the_same_the_newest_is_meant() {
        let mut pages = [1, 3, 2].map(|_| stored(&[("etag", "\"a\"")], ""));
        for (page, date) in pages.iter_mut().zip([1, 3, 2]) {
            page.date.0 = date;
        }
        let all: Vec<_> = pages.iter().collect();
        assert_eq!(meant(&fields(&[("etag", "\"a\"")]), &all), Some(1));
    }

    #[test]
    fn head_updates_the_same_and_outdates_another() {
        let page = stored(&[("etag", "\"a\""), ("last-modified", DAY), ("a", "1")], "0123");
        for (answer, same) in [
            (&[][..], true),
            (&[("content-length", "4"), ("etag", "\"a\""), ("last-modified", DAY)], true),
            (&[("a", "2")], true),
            (&[("content-length", "5")], false),
            (&[("content-length", "x")], false),
            (&[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], false),
            (&[("etag", "\"a\""), ("last-modified", EARLIER)], false),
        ] {
            let found = by_head(&page, &fields(answer));
            assert_eq!(found != ByHead::Changed, same, "{answer:?}");
        }
        let told = [("etag", "\"a\""), ("a", "2"), ("age", "3")];
        let ByHead::Update(headers) = by_head(&page, &fields(&told)) else { panic!("changed") };
        let expected = [("etag", "\"a\""), ("last-modified", DAY), ("a", "2"), ("age", "3")];
        assert_eq!(headers, fields(&expected));
        assert_eq!(by_head(&page, &fields(&[("a", "2")])), ByHead::Untold);
        let untagged = stored(&[], "0123");
        assert_eq!(by_head(&untagged, &fields(&[("etag", "\"a\"")])), ByHead::Changed);
    }
}
