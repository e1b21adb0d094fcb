use proptest::prelude::*;

use super::*;
use crate::policy::testing::{self, fields, stored};

#[test]
fn the_place_of_a_part_is_clear_or_it_is_none() {
    for (range, length, expected) in [
        ("bytes 4-9/10", 6, Some((4, 9, 10))),
        ("bytes 0-0/1", 1, Some((0, 0, 1))),
        ("Bytes 0-4/10", 5, Some((0, 4, 10))),
        ("bytes 4-9/10", 5, None),
        ("bytes 4-9/10", 7, None),
        ("bytes 4-9/*", 6, None),
        ("bytes */10", 6, None),
        ("bytes 9-4/10", 6, None),
        ("bytes 4-10/10", 7, None),
        ("bytes=4-9/10", 6, None),
        ("lines 4-9/10", 6, None),
        ("bytes 4-9", 6, None),
        ("bytes -9/10", 10, None),
        ("bytes 0-18446744073709551615/18446744073709551616", 0, None),
        (
            "bytes 0-18446744073709551614/18446744073709551615",
            u64::MAX,
            Some((0, u64::MAX - 1, u64::MAX)),
        ),
        ("", 0, None),
    ] {
        let found = parse(&fields(&[("content-range", range)]), length, false);
        let expected = expected.map(|(first, last, total)| Part { first, last, total });
        assert_eq!(found, expected, "{range} with {length}");
    }
    assert_eq!(parse(&fields(&[]), 6, false), None);
    let twice = [("content-range", "bytes 0-0/1"), ("content-range", "bytes 0-0/1")];
    assert_eq!(parse(&fields(&twice), 1, false), None);
    let multipart =
        [("content-range", "bytes 0-0/1"), ("content-type", "Multipart/ByteRanges; boundary=x")];
    assert_eq!(parse(&fields(&multipart), 1, false), None);
}

#[test]
fn leniently_the_whole_ends_where_its_last_part_does() {
    let lenient = |range: &str, said: &str, length| {
        parse(&fields(&[("content-range", range), ("content-length", said)]), length, true)
    };
    let early = lenient("bytes 4-9/10", "5", 5);
    assert_eq!(early, Some(Part { first: 4, last: 8, total: 9 }));
    assert_eq!(lenient("bytes 4-9/10", "6", 6), Some(Part { first: 4, last: 9, total: 10 }));
    // Broken off, not to the end, too long, or empty.
    assert_eq!(lenient("bytes 4-9/10", "6", 5), None);
    assert_eq!(lenient("bytes 4-8/10", "4", 4), None);
    assert_eq!(lenient("bytes 4-9/10", "7", 7), None);
    assert_eq!(lenient("bytes 4-9/10", "0", 0), None);
    assert_eq!(parse(&fields(&[("content-range", "bytes 4-9/10")]), 5, true), None);

    let part = Stored {
        part: early,
        body: Bytes::from_static(b"01234"),
        status: StatusCode::PARTIAL_CONTENT,
        ..stored(&[], "")
    };
    for (range, expected) in [("-5", "01234"), ("6-8", "234"), ("6-", "234"), ("-1", "4")] {
        let request = fields(&[("range", &format!("bytes={range}"))]);
        let Ranges::One(found) = range::wanted(&Method::GET, &request, &part) else { panic!() };
        assert_eq!(range::slice(&part, found).unwrap(), expected, "{range}");
    }
}

#[test]
fn the_rest_is_asked_for() {
    let date = ("date", "Mon, 01 Jan 2024 00:00:00 GMT");
    let modified = ("last-modified", "Sun, 31 Dec 2023 23:00:00 GMT");
    let ten = "0123456789";
    for (headers, first, last, expected, range, if_range) in [
        (&[][..], 0, 4, Rest::Unsure, Some("bytes=5-"), None),
        (&[("etag", "\"a\"")], 0, 4, Rest::IfSame, Some("bytes=5-"), Some("\"a\"")),
        (&[("etag", "\"a\"")], 4, 9, Rest::IfSame, Some("bytes=0-3"), Some("\"a\"")),
        (&[modified, date], 0, 4, Rest::IfSame, Some("bytes=5-"), Some(modified.1)),
        (&[modified], 0, 4, Rest::No, None, None),
        (&[("etag", "W/\"a\"")], 0, 4, Rest::No, None, None),
        (&[("etag", "W/\"a\""), modified, date], 0, 4, Rest::No, None, None),
        (&[("etag", "\"a\"")], 1, 4, Rest::No, None, None),
    ] {
        let part = testing::part(stored(headers, ten), first, last);
        let mut request = fields(&[("if-none-match", "\"x\""), ("accept", "a")]);
        assert_eq!(ask_for_rest(&mut request, &part), expected, "{headers:?} {first}-{last}");
        let value = |name| request.get(name).map(|value: &HeaderValue| value.to_str().unwrap());
        assert_eq!((value(RANGE), value(IF_RANGE)), (range, if_range), "{headers:?}");
        assert_eq!(value(IF_NONE_MATCH).is_some(), expected == Rest::No);
    }
    let mut ranged = fields(&[("range", "bytes=0-7")]);
    let part = testing::part(stored(&[("etag", "\"a\"")], ten), 0, 4);
    assert_eq!(ask_for_rest(&mut ranged, &part), Rest::No);
    assert_eq!(ask_for_rest(&mut fields(&[]), &stored(&[], ten)), Rest::No);
}

fn tagged(first: u64, last: u64, headers: &[(&str, &str)]) -> Stored {
    let headers = [headers, &[("etag", "\"a\"")]].concat();
    testing::part(stored(&headers, "0123456789"), first, last)
}

#[test]
fn parts_of_the_same_are_joined() {
    let bytes = |stored: &Stored| String::from_utf8(stored.body.to_vec()).unwrap();
    for (old, new, expected) in [
        ((0, 4), (5, 9), "0123456789"),
        ((5, 9), (0, 4), "0123456789"),
        ((0, 5), (3, 9), "0123456789"),
        ((2, 3), (4, 5), "2345"),
        ((2, 7), (4, 5), "234567"),
        ((4, 5), (2, 7), "234567"),
    ] {
        let joined = combine(&tagged(old.0, old.1, &[]), &tagged(new.0, new.1, &[])).unwrap();
        assert_eq!(bytes(&joined), expected, "{old:?} {new:?}");
        let whole = expected.len() == 10;
        assert_eq!(joined.status, if whole { 200 } else { 206 });
        assert_eq!(joined.part.is_none(), whole);
        if let Some(part) = joined.part {
            assert_eq!(
                (part.first, part.last, part.total),
                (old.0.min(new.0), old.1.max(new.1), 10)
            );
        }
    }
}

#[test]
fn the_newer_fields_are_told_and_the_others_kept() {
    let mut old = tagged(0, 4, &[("a", "1"), ("b", "1"), ("content-length", "5")]);
    let mut new = tagged(5, 9, &[("a", "2"), ("a", "3"), ("content-range", "bytes 5-9/10")]);
    old.stamp.version = 3;
    new.stamp.version = 5;
    new.freshness.lifetime = 77;
    old.tags = vec![tower_keep_cache::Tag::new("t", b"1")];
    let joined = combine(&old, &new).unwrap();
    assert_eq!(joined.headers, fields(&[("b", "1"), ("a", "2"), ("a", "3"), ("etag", "\"a\"")]));
    assert_eq!((joined.stamp.version, joined.freshness.lifetime), (3, 77));
    assert_eq!(joined.tags, old.tags);
    // A part can update the fields of the whole.
    let whole = stored(&[("etag", "\"a\""), ("a", "1")], "0123456789");
    let updated = combine(&whole, &new).unwrap();
    assert_eq!((updated.status, &updated.body[..]), (StatusCode::OK, &b"0123456789"[..]));
    assert_eq!(updated.headers["a"], "2");
}

#[test]
fn what_may_be_of_another_is_not_joined() {
    let old = tagged(0, 4, &[]);
    let mut other = tagged(5, 9, &[]);
    other.headers.insert(ETAG, HeaderValue::from_static("\"b\""));
    let mut weak = tagged(5, 9, &[]);
    weak.headers.insert(ETAG, HeaderValue::from_static("W/\"a\""));
    let mut longer = tagged(5, 9, &[]);
    longer.part = Some(Part { first: 5, last: 9, total: 11 });
    let mut different = tagged(4, 9, &[]);
    different.body = Bytes::from_static(b"x56789");
    let mut purged = tagged(5, 9, &[]);
    purged.stamp.epoch = 1;
    let mut failed = tagged(5, 9, &[]);
    (failed.status, failed.part) = (StatusCode::NOT_FOUND, None);
    for (new, why) in [
        (other, "another tag"),
        (weak, "a weak tag"),
        (longer, "another length"),
        (tagged(6, 9, &[]), "a gap"),
        (different, "other bytes where they overlap"),
        (tagged(5, 9, &[("content-encoding", "gzip")]), "another coding"),
        (purged, "another epoch"),
        (failed, "not it at all"),
        (testing::part(stored(&[], "0123456789"), 5, 9), "nothing to know it by"),
    ] {
        assert!(combine(&old, &new).is_none(), "{why}");
        assert!(combine(&new, &old).is_none(), "{why}");
    }
}

proptest! {
    #[test]
    fn what_is_joined_is_what_there_was(
        total in 1..60_u64, a in 0..60_u64, b in 0..60_u64, c in 0..60_u64, d in 0..60_u64,
        changed in proptest::option::of(0..60_usize),
    ) {
        let (a, b, c, d) = (a % total, b % total, c % total, d % total);
        let all: Vec<u8> = (0..total).map(|i| u8::try_from(i).unwrap() + 1).collect();
        let part = |all: Vec<u8>, first: u64, last: u64| {
            let mut whole = stored(&[("etag", "\"a\"")], "");
            whole.body = all.into();
            testing::part(whole, first.min(last), first.max(last))
        };
        let mut others = all.clone();
        if let Some(byte) = changed.and_then(|at| others.get_mut(at)) {
            *byte = 0;
        }
        let (old, new) = (part(all.clone(), a, b), part(others, c, d));
        if let Some(joined) = combine(&old, &new) {
            let at = range::held(&joined).unwrap();
            let (old_at, new_at) = (range::held(&old).unwrap(), range::held(&new).unwrap());
            prop_assert_eq!(at.first, old_at.first.min(new_at.first));
            prop_assert_eq!(at.last, old_at.last.max(new_at.last));
            prop_assert_eq!(joined.part.is_none(), at.length() == total);
            prop_assert_eq!(joined.body.len() as u64, at.length());
            for place in at.first..=at.last {
                let one = Range { first: place, last: place };
                let found = range::slice(&joined, one).unwrap();
                let from = [range::slice(&old, one), range::slice(&new, one)];
                prop_assert!(from.iter().flatten().all(|byte| *byte == found));
                prop_assert!(from.iter().flatten().next().is_some());
            }
        }
    }

    #[test]
    fn no_content_range_panics(line in "(bytes )?[0-9]{0,22}-?[0-9]{0,22}/?[0-9*]{0,22}", length in any::<u64>(), lenient in any::<bool>()) {
        let headers = fields(&[("content-range", &line), ("content-length", &length.to_string())]);
        if let Some(part) = parse(&headers, length, lenient) {
            prop_assert!(part.first <= part.last && part.last < part.total);
            prop_assert_eq!(part.last - part.first + 1, length);
        }
    }
}
