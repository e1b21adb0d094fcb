use proptest::prelude::*;

use super::*;

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
const OURS: HeaderName = HeaderName::from_static("keep-cache-control");

fn of(lines: &[(&HeaderName, &str)]) -> Option<Directives> {
    let mut headers = HeaderMap::new();
    for (name, line) in lines {
        headers.append(*name, HeaderValue::from_str(line).unwrap());
    }
    directives(&headers, &[OURS, CDN])
}

#[test]
fn the_first_target_that_says_something_counts() {
    let lifetime = |lines: &[(&HeaderName, &str)]| of(lines).map(|said| said.lifetime());
    assert_eq!(lifetime(&[]), None);
    assert_eq!(lifetime(&[(&CDN, "max-age=1")]), Some(Some(1)));
    assert_eq!(lifetime(&[(&CDN, "max-age=1"), (&OURS, "max-age=2")]), Some(Some(2)));
    assert_eq!(lifetime(&[(&CDN, "max-age=1"), (&OURS, "")]), Some(Some(1)));
    assert_eq!(lifetime(&[(&CDN, "max-age=1"), (&OURS, "max-age = 2")]), Some(Some(1)));
    assert_eq!(lifetime(&[(&CDN, "max-age=1"), (&OURS, "foo")]), Some(None));
    let elsewhere = HeaderName::from_static("fastly-cache-control");
    assert_eq!(lifetime(&[(&elsewhere, "max-age=1")]), None);
}

#[test]
fn one_that_cannot_be_read_is_ignored_whole() {
    for line in [
        "",
        "max-age=10, &&&&&",
        "Max-Age=10",
        "no-store, max-age =10",
        "max-age= 10",
        "max-age=10,",
        "max-age=10;",
        "max-age=1234567890123456",
        "no-cache=\"a",
        "a=\u{e9}",
    ] {
        assert_eq!(of(&[(&CDN, line)]), None, "{line}");
    }
}

#[test]
fn values_have_the_types_they_must_have() {
    let said = |line| of(&[(&CDN, line)]).unwrap();
    for (line, lifetime) in [
        ("max-age=10", Some(10)),
        ("max-age=10;foo=bar", Some(10)),
        ("max-age=1, max-age=10", Some(10)),
        ("max-age=99999999999", Some(crate::freshness::FOREVER)),
        ("max-age=\"10\"", Some(0)),
        ("max-age=10.0", Some(0)),
        ("max-age=-10", Some(0)),
        ("max-age", Some(0)),
        ("max-age=(10)", Some(0)),
        ("max-age=ten", Some(0)),
        ("s-maxage=ten, max-age=10", Some(0)),
        ("foo", None),
    ] {
        assert_eq!(said(line).lifetime(), lifetime, "{line}");
    }
    assert!(
        said("no-store").no_store && said("no-store=?1").no_store && said("no-store=1").no_store
    );
    assert!(!said("no-store=?0, max-age=5").no_store);
    assert!(
        said("private").private && said("private=(\"a\")").private && said("private=a").private
    );
    assert_eq!(said("private=\"a, b\"").private_fields, ["a", "b"]);
    assert_eq!(said("no-cache=\"a\"").no_cache_fields, ["a"]);
    assert!(said("no-cache, must-revalidate").no_cache);
}

#[test]
fn lines_are_one_dictionary() {
    let said = of(&[(&CDN, "max-age=10"), (&CDN, "private")]).unwrap();
    assert!(said.private && said.max_age == Some(10));
    assert_eq!(of(&[(&CDN, "max-age=10"), (&CDN, "&&&")]), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(line: Vec<u8>, other in "[a-z0-9=\"();:?*., -]{0,40}") {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            headers.append(OURS, value);
        }
        headers.append(CDN, HeaderValue::from_str(&other).unwrap());
        let _ = directives(&headers, &[OURS, CDN]);
    }
}
