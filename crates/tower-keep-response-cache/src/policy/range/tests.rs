use proptest::prelude::*;

use super::*;
use crate::policy::testing::{self, fields, stored};

fn asked(range: &str, total: u64) -> String {
    match parse(range.as_bytes(), total) {
        Ranges::Whole => "whole".to_owned(),
        Ranges::One(Range { first, last }) => format!("{first}-{last}"),
        Ranges::Many(ranges) => {
            let ranges: Vec<_> =
                ranges.iter().map(|Range { first, last }| format!("{first}-{last}")).collect();
            ranges.join(" ")
        }
        Ranges::Unsatisfiable => "none".to_owned(),
        Ranges::Elsewhere => "elsewhere".to_owned(),
    }
}

#[test]
fn ranges_are_read() {
    for (range, total, expected) in [
        ("bytes=0-1", 11, "0-1"),
        ("bytes=1-", 11, "1-10"),
        ("bytes=-1", 11, "10-10"),
        ("bytes=-5", 10, "5-9"),
        ("bytes=-99", 10, "0-9"),
        ("bytes=0-99", 10, "0-9"),
        ("bytes=9-9", 10, "9-9"),
        ("BYTES=0-0", 10, "0-0"),
        ("bytes= 0-0 ", 10, "0-0"),
        ("bytes=,0-0,,", 10, "0-0"),
        ("bytes=007-8", 10, "7-8"),
        ("bytes=10-", 10, "none"),
        ("bytes=10-20", 10, "none"),
        ("bytes=-0", 10, "none"),
        ("bytes=99999999999999999999-", 10, "none"),
        ("bytes=0-99999999999999999999999", 10, "0-9"),
        ("bytes=-99999999999999999999999", 10, "0-9"),
        ("bytes=0-", 0, "none"),
        ("bytes=-1", 0, "whole"),
        ("bytes=5-4", 10, "whole"),
        ("bytes=", 10, "whole"),
        ("bytes=-", 10, "whole"),
        ("bytes=a-b", 10, "whole"),
        ("bytes=1", 10, "whole"),
        ("bytes=1-2-3", 10, "whole"),
        ("bytes=--1", 10, "whole"),
        ("bytes=+1-2", 10, "whole"),
        ("bytes=0-1,x", 10, "whole"),
        ("bytes 0-1", 10, "whole"),
        ("lines=0-1", 10, "whole"),
        ("", 10, "whole"),
        ("bytes=0-1,20-", 10, "0-1"),
        ("bytes=0-1, 500-501", 1000, "0-1 500-501"),
        ("bytes=500-501,0-1", 1000, "500-501 0-1"),
        ("bytes=0-1,-1", 1000, "0-1 999-999"),
        // Which nearly touch, overlap, or lie in one another.
        ("bytes=0-1,81-82", 1000, "0-82"),
        ("bytes=0-1,82-83", 1000, "0-1 82-83"),
        ("bytes=500-600,0-10,550-700", 1000, "0-10 500-700"),
        ("bytes=0-,0-,0-", 1000, "0-999"),
        ("bytes=20-,30-", 10, "none"),
    ] {
        assert_eq!(asked(range, total), expected, "{range} of {total}");
    }
}

#[test]
fn who_asks_for_very_many_gets_the_whole() {
    let many = |count: u64| {
        let ranges: Vec<_> = (0..count).map(|i| format!("{}-{}", i * 1000, i * 1000)).collect();
        parse(format!("bytes={}", ranges.join(",")).as_bytes(), 1_000_000)
    };
    assert!(matches!(many(MAX_RANGES as u64), Ranges::Many(ranges) if ranges.len() == MAX_RANGES));
    assert_eq!(many(MAX_RANGES as u64 + 1), Ranges::Whole);
}

#[test]
fn ranges_are_for_get_and_for_what_is_there() {
    let request = fields(&[("range", "bytes=0-1")]);
    let mut whole = stored(&[], "0123456789");
    let one = Ranges::One(Range { first: 0, last: 1 });
    assert_eq!(wanted(&Method::GET, &request, &whole), one);
    assert_eq!(wanted(&Method::HEAD, &request, &whole), Ranges::Whole);
    let twice = fields(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]);
    assert_eq!(wanted(&Method::GET, &twice, &whole), Ranges::Whole);
    whole.status = StatusCode::NOT_FOUND;
    assert_eq!(wanted(&Method::GET, &request, &whole), Ranges::Whole);
}

#[test]
fn a_part_is_used_for_what_lies_in_it() {
    let part = testing::part(stored(&[("etag", "\"a\"")], "0123456789"), 4, 8);
    for (request, expected) in [
        (&[][..], None),
        (&[("range", "bytes=4-8")][..], Some("45678")),
        (&[("range", "bytes=6-7")], Some("67")),
        (&[("range", "bytes=3-7")], None),
        (&[("range", "bytes=6-")], None),
        (&[("range", "bytes=-1")], None),
        (&[("range", "nonsense")], None),
        (&[("range", "bytes=6-7"), ("if-range", "\"a\"")], Some("67")),
        // It wants the whole if that is another.
        (&[("range", "bytes=6-7"), ("if-range", "\"b\"")], None),
    ] {
        let found = match wanted(&Method::GET, &fields(request), &part) {
            Ranges::One(range) => slice(&part, range),
            Ranges::Elsewhere => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{request:?}");
    }
    let beyond = fields(&[("range", "bytes=10-")]);
    assert_eq!(wanted(&Method::GET, &beyond, &part), Ranges::Unsatisfiable);
    assert_eq!(wanted(&Method::HEAD, &fields(&[]), &part), Ranges::Elsewhere);
}

#[test]
fn if_range_wants_the_same_bytes() {
    let date = ("date", "Mon, 01 Jan 2024 00:00:00 GMT");
    let modified = ("last-modified", "Sun, 31 Dec 2023 23:00:00 GMT");
    for (response, if_range, same) in [
        (&[("etag", "\"a\"")][..], &["\"a\""][..], true),
        (&[("etag", "\"a\"")], &["\"b\""], false),
        (&[("etag", "W/\"a\"")], &["W/\"a\""], false),
        (&[("etag", "\"a\"")], &["W/\"a\""], false),
        (&[("etag", "\"a\"")], &["a"], false),
        (&[("etag", "\"a\"")], &["\"a\", \"b\""], false),
        (&[("etag", "\"a\"")], &["\"a\"", "\"a\""], false),
        (&[], &["\"a\""], false),
        (&[modified, date], &["Sun, 31 Dec 2023 23:00:00 GMT"], true),
        (&[modified, date], &["Mon, 01 Jan 2024 00:00:00 GMT"], false),
        (&[modified], &["Sun, 31 Dec 2023 23:00:00 GMT"], false),
        (&[("last-modified", "nonsense"), date], &["nonsense"], false),
    ] {
        let mut request = vec![("range", "bytes=0-1")];
        request.extend(if_range.iter().map(|value| ("if-range", *value)));
        let found = wanted(&Method::GET, &fields(&request), &stored(response, "0123456789"));
        assert_eq!(found != Ranges::Whole, same, "{response:?} {if_range:?}");
    }
}

proptest! {
    #[test]
    fn what_is_sent_lies_in_the_body(
        range in "(bytes=)?([0-9]{0,3}-[0-9]{0,21},?){1,5}",
        total in 0..300_usize,
        part in proptest::option::of((0..300_usize, 0..300_usize)),
    ) {
        let body: Vec<u8> = (0..total).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut stored = stored(&[], "");
        stored.body = body.clone().into();
        if let Some((first, last)) = part
            && first <= last && last < total
        {
            stored = testing::part(stored, first as u64, last as u64);
        }
        let request = fields(&[("range", &range)]);
        let ranges = match wanted(&Method::GET, &request, &stored) {
            Ranges::One(range) => vec![range],
            Ranges::Many(ranges) => {
                prop_assert!(ranges.len() >= 2);
                ranges
            }
            Ranges::Whole => {
                prop_assert!(stored.part.is_none());
                vec![]
            }
            _ => vec![],
        };
        prop_assert!(ranges.iter().map(|range| range.length()).sum::<u64>() <= total as u64);
        for range in ranges {
            let found = slice(&stored, range).unwrap();
            let (first, last) = (usize::try_from(range.first).unwrap(), usize::try_from(range.last).unwrap());
            prop_assert_eq!(&found[..], &body[first..=last]);
        }
    }

    #[test]
    fn no_range_panics(
        line in proptest::collection::vec(any::<u8>(), 0..40),
        total in any::<u64>(),
        first in any::<u64>(),
        last in any::<u64>(),
        at in any::<u64>(),
    ) {
        let _ = parse(&line, total);
        let _ = parse(&[b"bytes=".as_slice(), &line].concat(), total);
        let mut stored = stored(&[], "0123");
        let range = Range { first, last };
        prop_assert!(slice(&stored, range).is_none_or(|found| found.len() as u64 == range.length()));
        stored.part = Some(crate::stored::Part { first: at, last: at.saturating_add(3), total });
        let _ = slice(&stored, range);
        let _ = held(&stored);
    }
}
