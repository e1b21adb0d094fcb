use super::*;
use crate::freshness::FOREVER;

/// Fresh for 100 seconds from the second 0.
fn fresh() -> Freshness {
    Freshness {
        received: UnixMillis(0),
        initial_age: 0,
        lifetime: 100,
        heuristic: false,
        no_cache: false,
        must_revalidate: false,
        stale_while_revalidate: 0,
        stale_if_error: None,
    }
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(seconds * 1000)
}

const STALE: Verdict = Verdict::Validate(Why::Stale);
const ASKED: Verdict = Verdict::Validate(Why::Request);

fn none() -> RequestDirectives {
    RequestDirectives::default()
}

#[test]
fn fresh_until_its_lifetime_is_over() {
    for (seconds, verdict) in [(0, Verdict::Fresh), (99, Verdict::Fresh), (100, STALE)] {
        assert_eq!(judge(&fresh(), &none(), false, at(seconds)), verdict, "{seconds}");
    }
    let aged = Freshness { initial_age: 99, ..fresh() };
    assert_eq!(judge(&aged, &none(), false, UnixMillis(999)), Verdict::Fresh);
    assert_eq!(judge(&aged, &none(), false, UnixMillis(1000)), STALE);
}

#[test]
fn what_is_never_used_without_asking() {
    let always = Freshness {
        no_cache: true,
        stale_while_revalidate: FOREVER,
        stale_if_error: Some(FOREVER),
        ..fresh()
    };
    let eager = RequestDirectives { max_stale: Some(FOREVER), ..none() };
    let options = Options { stale_on_failure: true, ..Options::default() };
    assert_eq!(judge(&always, &eager, false, at(1)), STALE);
    assert!(!may_replace_error(&always, &eager, None, at(1), &options));
    let once_stale = Freshness { no_cache: false, must_revalidate: true, ..always };
    assert_eq!(judge(&once_stale, &eager, false, at(1)), Verdict::Fresh);
    assert_eq!(judge(&once_stale, &eager, false, at(100)), STALE);
    assert_eq!(judge(&once_stale, &eager, true, at(1)), STALE);
    assert!(!may_replace_error(&once_stale, &eager, None, at(100), &options));
}

#[test]
fn a_request_may_want_more() {
    for (asks, seconds, verdict) in [
        (RequestDirectives { no_cache: true, ..none() }, 1, ASKED),
        (RequestDirectives { no_store: true, ..none() }, 1, ASKED),
        (RequestDirectives { max_age: Some(10), ..none() }, 10, Verdict::Fresh),
        (RequestDirectives { max_age: Some(10), ..none() }, 11, ASKED),
        (RequestDirectives { max_age: Some(0), ..none() }, 0, ASKED),
        (RequestDirectives { max_age: Some(10), max_stale: Some(9), ..none() }, 11, ASKED),
        (RequestDirectives { min_fresh: Some(10), ..none() }, 90, Verdict::Fresh),
        (RequestDirectives { min_fresh: Some(10), ..none() }, 91, ASKED),
        (RequestDirectives { min_fresh: Some(FOREVER), ..none() }, 0, ASKED),
    ] {
        assert_eq!(judge(&fresh(), &asks, false, at(seconds)), verdict, "{asks:?}");
    }
}

#[test]
fn a_request_may_want_less() {
    let asks = RequestDirectives { max_stale: Some(10), ..none() };
    let old = Verdict::Stale { refresh: false };
    for (seconds, verdict) in [(99, Verdict::Fresh), (100, old), (110, old), (111, STALE)] {
        assert_eq!(judge(&fresh(), &asks, false, at(seconds)), verdict, "{seconds}");
    }
    let asks = RequestDirectives { max_stale: Some(FOREVER), ..none() };
    assert_eq!(judge(&fresh(), &asks, false, UnixMillis(u64::MAX)), old);
    assert_eq!(judge(&fresh(), &asks, true, at(1)), STALE, "a purge is no matter of time");
}

#[test]
fn used_while_it_is_asked_for() {
    let swr = Freshness { stale_while_revalidate: 10, ..fresh() };
    let old = Verdict::Stale { refresh: true };
    for (seconds, verdict) in [(99, Verdict::Fresh), (100, old), (109, old), (110, STALE)] {
        assert_eq!(judge(&swr, &none(), false, at(seconds)), verdict, "{seconds}");
    }
    // By a request that accepts less, for longer, but then it need not be asked for.
    let patient = RequestDirectives { max_stale: Some(50), ..none() };
    assert_eq!(judge(&swr, &patient, false, at(105)), old);
    assert_eq!(judge(&swr, &patient, false, at(120)), Verdict::Stale { refresh: false });
    // And not by one that wants it younger, or less stale.
    for asks in [
        RequestDirectives { max_age: Some(500), ..none() },
        RequestDirectives { min_fresh: Some(0), ..none() },
        RequestDirectives { max_stale: Some(0), ..none() },
    ] {
        assert_eq!(judge(&swr, &asks, false, at(105)), STALE, "{asks:?}");
    }
}

#[test]
fn softly_purged_is_stale() {
    assert_eq!(judge(&fresh(), &none(), true, at(1)), STALE);
    let swr = Freshness { stale_while_revalidate: 10, ..fresh() };
    assert_eq!(judge(&swr, &none(), true, at(1)), Verdict::Stale { refresh: true });
    assert_eq!(judge(&swr, &none(), true, at(110)), STALE);
}

#[test]
fn in_place_of_an_error() {
    let options = Options::default();
    let sie = Freshness { stale_if_error: Some(10), ..fresh() };
    let may = |freshness: &Freshness, asks: &RequestDirectives, status: Option<u16>, seconds| {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        may_replace_error(freshness, asks, status, at(seconds), &options)
    };
    for status in [None, Some(500), Some(502), Some(503), Some(504)] {
        assert!(may(&sie, &none(), status, 109), "{status:?}");
        assert!(!may(&sie, &none(), status, 110), "{status:?}");
        assert!(!may(&fresh(), &none(), status, 100), "{status:?}");
    }
    for status in [200, 304, 400, 404, 429, 501, 505, 599] {
        assert!(!may(&sie, &none(), Some(status), 105), "{status}");
    }
    let asks = |window| RequestDirectives { stale_if_error: Some(window), ..none() };
    assert!(may(&fresh(), &asks(10), Some(503), 105), "the request allows it");
    assert!(!may(&sie, &asks(1), Some(503), 105), "or does not");
    for asks in [
        RequestDirectives { no_cache: true, ..none() },
        RequestDirectives { no_store: true, ..none() },
        RequestDirectives { max_age: Some(50), ..none() },
    ] {
        assert!(!may(&sie, &asks, Some(503), 105), "{asks:?}");
    }
}

#[test]
fn in_place_of_no_answer() {
    let options = Options { stale_on_failure: true, ..Options::default() };
    assert!(may_replace_error(&fresh(), &none(), None, at(5000), &options));
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    assert!(!may_replace_error(&fresh(), &none(), unavailable, at(5000), &options));
    let always_asked = Freshness { lifetime: 0, ..fresh() };
    assert!(!may_replace_error(&always_asked, &none(), None, at(1), &options));
}
