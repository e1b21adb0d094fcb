use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// 2026-11-22.
const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

fn at(seconds: i64) -> UnixMillis {
    UnixMillis(NOW.0.saturating_add_signed(seconds * 1000))
}

fn fields(fields: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    fields.iter().cloned().collect()
}

#[test]
fn age_is_the_greater_of_what_is_said_and_what_is_seen() {
    let age = |date: Option<i64>, said: Option<&'static str>, delay: i64| {
        let mut headers = HeaderMap::new();
        if let Some(date) = date {
            headers.insert(header::DATE, date::format(at(date)));
        }
        if let Some(said) = said {
            headers.insert(header::AGE, HeaderValue::from_static(said));
        }
        initial_age(&headers, at(-delay), NOW)
    };
    assert_eq!(age(None, None, 0), 0);
    assert_eq!(age(Some(-30), None, 0), 30, "apparent");
    assert_eq!(age(Some(-30), Some("10"), 5), 30);
    assert_eq!(age(Some(-30), Some("28"), 5), 33, "the response was on its way");
    assert_eq!(age(Some(30), Some("10"), 0), 10, "a date ahead");
    assert_eq!(age(None, None, 5), 5);
    assert_eq!(age(None, Some("18446744073709551615"), 5), FOREVER);
    assert_eq!(age(None, None, -5), 0, "a clock that went back");
}

#[test]
fn guesses_are_bounded_and_made_where_they_may_be() {
    let options = |hours: u64| Options {
        heuristic: Some(Duration::from_secs(hours * 3600)),
        ..Options::default()
    };
    let modified = |seconds: i64| fields(&[(header::LAST_MODIFIED, date::format(at(-seconds)))]);
    let guess = |seconds, status: u16, public, hours| {
        let status = StatusCode::from_u16(status).unwrap();
        guessed(&modified(seconds), status, public, NOW, &options(hours))
    };
    assert_eq!(guess(36_000, 200, false, 24), Some(3600));
    assert_eq!(guess(360_000_000, 200, false, 24), Some(86_400));
    assert_eq!(guess(-500, 200, false, 24), Some(0), "changed after it was made");
    assert_eq!(guess(36_000, 302, false, 24), None);
    assert_eq!(guess(36_000, 302, true, 24), Some(3600));
    assert_eq!(guess(36_000, 413, true, 24), None);
    assert_eq!(guessed(&HeaderMap::new(), StatusCode::OK, true, NOW, &options(24)), None);
    let off = Options::default();
    assert_eq!(guessed(&modified(36_000), StatusCode::OK, true, NOW, &off), None);
}

#[test]
fn the_usual_time_is_for_answers_as_usual() {
    let options = Options { default_ttl: Some(Duration::from_millis(1500)), ..Options::default() };
    let usual = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        guessed(&HeaderMap::new(), status, true, NOW, &options)
    };
    for status in [200, 203, 204, 206, 300, 301, 308] {
        assert_eq!(usual(status), Some(2), "{status}");
    }
    for status in [201, 302, 303, 307, 400, 403, 404, 405, 410, 414, 500, 501, 503] {
        assert_eq!(usual(status), None, "{status}");
    }
}

#[test]
fn the_time_of_what_is_public_is_for_what_says_so() {
    let (public, all) = (Duration::from_secs(60), Duration::from_secs(9));
    let options = Options { public_ttl: Some(public), ..Options::default() };
    let usual = |public, status: u16, options: &Options| {
        let status = StatusCode::from_u16(status).unwrap();
        guessed(&HeaderMap::new(), status, public, NOW, options)
    };
    assert_eq!(usual(true, 200, &options), Some(60));
    assert_eq!(usual(false, 200, &options), None);
    for status in [201, 302, 404, 410, 501, 503] {
        assert_eq!(usual(true, status, &options), None, "{status}");
    }
    let both = Options { default_ttl: Some(all), ..options };
    assert_eq!((usual(true, 200, &both), usual(false, 200, &both)), (Some(60), Some(9)));
}

#[test]
fn a_part_of_a_second_is_one() {
    assert_eq!(whole(Duration::ZERO), 0);
    assert_eq!(whole(Duration::from_millis(1)), 1);
    assert_eq!(whole(Duration::from_secs(2)), 2);
    assert_eq!(whole(Duration::MAX), FOREVER);
}

proptest! {
    #[test]
    fn no_age_is_beyond_counting(said: Vec<u8>, date: u64, requested: u64, received: u64) {
        let mut headers = HeaderMap::new();
        if let Ok(said) = HeaderValue::from_bytes(&said) {
            headers.insert(header::AGE, said);
        }
        headers.insert(header::DATE, date::format(UnixMillis(date)));
        prop_assert!(initial_age(&headers, UnixMillis(requested), UnixMillis(received)) <= FOREVER);
    }
}
