//! What a handler or a layer decides beside the fields.

use std::time::Duration;

use super::*;

fn told() -> CacheControlOverride {
    CacheControlOverride::new()
}

fn minute() -> CacheControlOverride {
    told().ttl(Duration::from_secs(60))
}

#[test]
fn a_ttl_counts_from_when_the_answer_came() {
    let kept = got(&[("age", "100"), ("cache-control", "max-age=5, no-cache")])
        .by_handler(minute())
        .kept();
    assert_eq!((kept.freshness.lifetime, kept.freshness.initial_age), (160, 100));
    assert!(!kept.freshness.no_cache);
    assert_eq!(kept.keep_for, 60);
}

#[test]
fn the_handler_goes_before_the_layer_and_both_before_the_fields() {
    let lifetime = |got: Got<'_>| got.kept().freshness.lifetime;
    let said = got(&[("cache-control", "s-maxage=5, must-revalidate")]);
    assert_eq!(lifetime(said.clone().by_layer(minute())), 60);
    let hour = told().ttl(Duration::from_secs(3600));
    let both = said.clone().by_layer(minute()).by_handler(hour);
    assert_eq!(lifetime(both.clone()), 3600);
    assert!(!both.kept().freshness.must_revalidate);
    let window = told().stale_while_revalidate(Duration::from_millis(1500));
    let kept = got(&[("cache-control", "max-age=5, stale-while-revalidate=9")])
        .by_handler(window.stale_if_error(Duration::from_secs(3)))
        .kept()
        .freshness;
    assert_eq!((kept.stale_while_revalidate, kept.stale_if_error), (2, Some(3)));
}

#[test]
fn a_ttl_of_nothing_stores_nothing() {
    let got = got(&[("cache-control", "max-age=60")]).by_handler(told().ttl(Duration::ZERO));
    assert_eq!(got.refused(&Options::default()), Some(BypassReason::NotFresh));
}

#[test]
fn any_no_store_holds() {
    let fresh = got(&[("cache-control", "max-age=60")]);
    for got in [
        fresh.clone().by_handler(told().no_store()),
        fresh.clone().by_layer(told().no_store()).by_handler(minute().public()),
        fresh.by_handler(minute().public().no_store()),
    ] {
        assert_eq!(got.refused(&Options::default()), Some(BypassReason::NoStore));
    }
}

#[test]
fn only_public_lifts_what_is_said_of_who_may_have_it() {
    let options = Options::default();
    for (said, request, reason) in [
        ("private", &[][..], BypassReason::Private),
        ("no-store", &[], BypassReason::NoStore),
        ("max-age=60", &[("authorization", "x")], BypassReason::Authorization),
    ] {
        let response = [("cache-control", said)];
        let got = got(&response).asked_with(request);
        assert_eq!(got.clone().by_handler(minute()).refused(&options), Some(reason));
        assert_eq!(got.clone().by_handler(minute().public()).refused(&options), None);
        assert_eq!(got.by_layer(minute().public()).refused(&options), None);
    }
    let secret = got(&[("cache-control", "no-store, max-age=60")]).by_handler(told().public());
    assert_eq!(secret.refused(&options), Some(BypassReason::NoStore), "not without a ttl");
}

#[test]
fn nothing_lifts_what_the_request_forbids_nor_a_cookie() {
    let request = [("cache-control", "no-store")];
    let got_one = got(&[]).asked_with(&request).by_handler(minute().public());
    assert_eq!(got_one.refused(&Options::default()), Some(BypassReason::RequestNoStore));
    let cookie = got(&[("set-cookie", "a=b")]).by_handler(minute().public());
    assert_eq!(cookie.refused(&Options::default()), Some(BypassReason::SetCookie));
    assert_eq!(cookie.refused(&suite()), None, "the handler says it explicitly");
    let cookie = got(&[("set-cookie", "a=b")]).by_layer(minute().public());
    assert_eq!(cookie.refused(&suite()), Some(BypassReason::SetCookie));
}

#[test]
fn a_layers_ttl_keeps_no_errors() {
    let options = Options::default();
    for status in [302, 401, 403, 404, 500, 503] {
        let got = got(&[]).status(status);
        assert_eq!(
            got.clone().by_layer(minute()).refused(&options),
            Some(BypassReason::Status),
            "{status}"
        );
        assert_eq!(got.by_handler(minute()).refused(&options), None, "{status}");
    }
    for status in [304, 412, 416, 429] {
        let got = got(&[]).status(status).by_handler(minute());
        assert_eq!(got.refused(&options), Some(BypassReason::Status), "{status}");
    }
}
