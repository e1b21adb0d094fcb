use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn of(fields: &[(&'static str, &str)]) -> RequestDirectives {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    RequestDirectives::of(&headers)
}

#[test]
fn all_that_is_known_is_read() {
    let expected = RequestDirectives {
        no_cache: true,
        no_store: true,
        only_if_cached: true,
        max_age: Some(1),
        min_fresh: Some(2),
        max_stale: Some(3),
        stale_if_error: Some(4),
    };
    let first = "No-Cache, no-store, only-if-cached, max-age=\"1\", no-transform";
    let second = "min-fresh=2, max-stale=3, stale-if-error=4";
    assert_eq!(of(&[("cache-control", first), ("cache-control", second)]), expected);
    assert_eq!(of(&[]), RequestDirectives::default());
}

#[test]
fn what_is_said_badly_or_twice_asks_for_more() {
    let said = |line| of(&[("cache-control", line)]);
    assert_eq!(said("max-age=x").max_age, Some(0));
    assert_eq!(said("max-age=60, max-age=5").max_age, Some(5));
    assert_eq!(said("min-fresh=x").min_fresh, Some(FOREVER));
    assert_eq!(said("min-fresh=60, min-fresh=5").min_fresh, Some(60));
    assert_eq!(said("max-stale").max_stale, Some(FOREVER));
    assert_eq!(said("max-stale=x").max_stale, Some(0));
    assert_eq!(said("max-stale, max-stale=5").max_stale, Some(5));
    assert_eq!(said("max-age=99999999999999999999").max_age, Some(FOREVER));
}

#[test]
fn pragma_counts_where_nothing_newer_is_said() {
    assert!(of(&[("pragma", "no-cache")]).no_cache);
    assert!(of(&[("pragma", "foo, No-Cache")]).no_cache);
    assert!(!of(&[("pragma", "foo")]).no_cache);
    assert!(!of(&[("pragma", "no-cache"), ("cache-control", "max-age=5")]).no_cache);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(line: Vec<u8>) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            headers.append(header::CACHE_CONTROL, value.clone());
            let _ = RequestDirectives::of(&headers);
            headers.clear();
            headers.append(header::PRAGMA, value);
            let _ = RequestDirectives::of(&headers);
        }
    }
}
