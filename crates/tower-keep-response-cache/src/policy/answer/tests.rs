use proptest::prelude::*;

use super::*;
use crate::policy::testing::{self, RECEIVED, fields, stored};

fn get(request: &[(&str, &str)], stored: &Stored) -> Response<Bytes> {
    answer(&Method::GET, &fields(request), stored, RECEIVED)
}

#[test]
fn all_of_it_is_sent_and_head_gets_the_head() {
    let page = stored(&[("a", "1"), ("link", "x"), ("link", "y")], "0123456789");
    let told =
        fields(&[("a", "1"), ("link", "x"), ("link", "y"), ("age", "0"), ("content-length", "10")]);
    let sent = get(&[], &page);
    assert_eq!(
        (sent.status(), sent.headers(), &sent.body()[..]),
        (StatusCode::OK, &told, &b"0123456789"[..])
    );
    let head = answer(&Method::HEAD, &fields(&[("range", "bytes=0-1")]), &page, RECEIVED);
    assert_eq!((head.status(), head.headers(), head.body().len()), (StatusCode::OK, &told, 0));
}

#[test]
fn who_has_it_is_told_so() {
    let page = stored(
        &[
            ("etag", "\"a\""),
            ("cache-control", "max-age=60"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-length", "10"),
            ("vary", "a"),
        ],
        "0123456789",
    );
    for method in [Method::GET, Method::HEAD] {
        let request = fields(&[("if-none-match", "\"a\""), ("range", "bytes=0-1")]);
        let sent = answer(&method, &request, &page, RECEIVED);
        assert_eq!((sent.status(), sent.body().len()), (StatusCode::NOT_MODIFIED, 0));
        let told = fields(&[
            ("etag", "\"a\""),
            ("cache-control", "max-age=60"),
            ("vary", "a"),
            ("age", "0"),
        ]);
        assert_eq!(*sent.headers(), told);
    }
}

#[test]
fn one_range_is_sent() {
    let page = stored(
        &[
            ("a", "1"),
            ("content-range", "nonsense"),
            ("content-length", "11"),
            ("content-digest", "x"),
        ],
        "0123456789A",
    );
    for (range, place, body) in [
        ("bytes=0-1", "bytes 0-1/11", "01"),
        ("bytes=1-", "bytes 1-10/11", "123456789A"),
        ("bytes=-1", "bytes 10-10/11", "A"),
        ("bytes=2-3,5-6", "bytes 2-6/11", "23456"),
    ] {
        let sent = get(&[("range", range)], &page);
        assert_eq!(sent.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(sent.body(), body);
        let length = body.len().to_string();
        let told = fields(&[
            ("a", "1"),
            ("content-range", place),
            ("content-length", &length),
            ("age", "0"),
        ]);
        assert_eq!(*sent.headers(), told, "{range}");
    }
}

#[test]
fn a_part_is_never_told_as_the_whole() {
    let part = testing::part(stored(&[("a", "1")], "0123456789"), 4, 8);
    for request in [&[][..], &[("range", "bytes=0-9")], &[("range", "bytes=4-8")]] {
        let sent = get(request, &part);
        assert_eq!((sent.status(), &sent.body()[..]), (StatusCode::PARTIAL_CONTENT, &b"45678"[..]));
        assert_eq!(sent.headers()["content-range"], "bytes 4-8/10");
        assert_eq!(sent.headers()["content-length"], "5");
    }
    let sent = get(&[("range", "bytes=6-7")], &part);
    assert_eq!(
        (&sent.headers()["content-range"], &sent.body()[..]),
        (&HeaderValue::from_static("bytes 6-7/10"), &b"67"[..])
    );
}

#[test]
fn several_ranges_are_sent_in_parts() {
    let mut page = stored(&[("content-type", "text/x"), ("content-length", "300")], "");
    page.body = (0..300_usize).map(|i| b"0123456789"[i % 10]).collect();
    let sent = get(&[("range", "bytes=290-294,0-1")], &page);
    assert_eq!(sent.status(), StatusCode::PARTIAL_CONTENT);
    assert!(!sent.headers().contains_key(CONTENT_RANGE));
    let kind = sent.headers()[CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let expected = format!(
        "\r\n--{boundary}\r\nContent-Type: text/x\r\nContent-Range: bytes 290-294/300\r\n\r\n01234\
         \r\n--{boundary}\r\nContent-Type: text/x\r\nContent-Range: bytes 0-1/300\r\n\r\n01\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(sent.body(), expected.as_bytes());
    assert_eq!(sent.headers()[CONTENT_LENGTH], expected.len().to_string().as_str());
    let again = get(&[("range", "bytes=290-294,0-1")], &page);
    assert_ne!(again.headers()[CONTENT_TYPE], kind);
}

#[test]
fn what_is_not_there_is_not_sent() {
    let page = stored(&[("cache-control", "max-age=60"), ("vary", "a"), ("etag", "\"a\"")], "0123");
    let sent = get(&[("range", "bytes=4-")], &page);
    assert_eq!((sent.status(), sent.body().len()), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
    let told = fields(&[
        ("vary", "a"),
        ("age", "0"),
        ("content-length", "0"),
        ("content-range", "bytes */4"),
    ]);
    assert_eq!(*sent.headers(), told);
}

proptest! {
    #[test]
    fn every_answer_is_as_long_as_it_says(
        range in "bytes=([0-9]{0,3}-[0-9]{0,3},?){0,4}",
        total in 0..400_usize,
        at in (0..400_usize, 0..400_usize),
    ) {
        let mut page = stored(&[], "");
        page.body = vec![b'x'; total].into();
        if at.0 <= at.1 && at.1 < total {
            page = testing::part(page, at.0 as u64, at.1 as u64);
        }
        let sent = get(&[("range", &range)], &page);
        let said: usize = sent.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        prop_assert_eq!(said, sent.body().len());
        prop_assert!(sent.status() != StatusCode::OK || page.part.is_none());
    }
}
