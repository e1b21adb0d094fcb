//! What the public suite of tests for HTTP caches taught, as far as it is decided here.

use super::*;

use Second::{Asked, Reused, Validated};

/// What a second request meets after the suite's pause.
fn after(response: Fields<'_>) -> Second {
    got(response).then(3, &[], &suite())
}

#[test]
fn freshness_by_cache_control() {
    let date = ("Date", "@0");
    for (response, then) in [
        (&[][..], Asked),
        (&[("Cache-Control", "max-age=3600")], Reused),
        (&[("Cache-Control", "max-age=2"), date], Asked),
        (&[("Cache-Control", "max-age=0")], Asked),
        (&[("Cache-Control", "max-age=2147483647")], Reused),
        (&[("Cache-Control", "max-age=2147483648")], Reused),
        (&[("Cache-Control", "max-age=2147483649")], Reused),
        (&[("Cache-Control", "max-age=99999999999")], Reused),
        (&[date, ("Cache-Control", "max-age=3600"), ("Age", "7200")], Asked),
        (&[("Date", "@-7200"), ("Cache-Control", "max-age=3600")], Asked),
        (&[("Cache-Control", "max-age=3600"), ("Expires", "@-7200"), date], Reused),
        (&[("Cache-Control", "max-age=3600"), ("Expires", "0"), date], Reused),
        (&[("Expires", "@3600"), ("Cache-Control", "max-age=0"), date], Asked),
        (&[("Cache-Control", "foobar, max-age=3600")], Reused),
        (&[("Cache-Control", "MaX-aGe=3600")], Reused),
        (&[("Cache-Control", "max-age=-3600")], Asked),
        (&[("Cache-Control", "s-maxage=3600")], Reused),
        (&[("Cache-Control", "max-age=3600, s-maxage=1")], Asked),
        (&[("Cache-Control", "s-maxage=1, max-age=3600")], Asked),
        (&[("Cache-Control", "max-age=3600"), ("Cache-Control", "s-maxage=1")], Asked),
        (&[("Cache-Control", "max-age=1, s-maxage=3600")], Reused),
        (&[("Expires", "@-10"), ("Cache-Control", "max-age=0, s-maxage=3600")], Reused),
        (&[("Cache-Control", "extension=\"max-age=3600\", max-age=1")], Asked),
        (&[("Cache-Control", "max-age=1, extension=\"max-age=3600\"")], Asked),
        (&[("Cache-Control", "max-age=003600")], Reused),
        (&[("Cache-Control", "max-age='3600'")], Asked),
        (&[("Cache-Control", "max-age=\"3600\"")], Reused),
    ] {
        assert_eq!(after(response), then, "{response:?}");
    }
}

#[test]
fn words_other_than_of_freshness() {
    let later = ("Expires", "@10000");
    let (date, tag) = (("Date", "@0"), ("ETag", "\"abcd\""));
    for (response, then) in [
        (&[("Cache-Control", "private, max-age=3600")][..], Asked),
        (&[("Cache-Control", "no-store")], Asked),
        (&[("Cache-Control", "No-StOrE")], Asked),
        (&[("Cache-Control", "max-age=10000, no-store"), later, date], Asked),
        (&[("Cache-Control", "max-age=10000, no-cache"), later, date], Asked),
        (&[("Cache-Control", "max-age=10000, No-CaChE"), later, date], Asked),
        (&[("Cache-Control", "no-cache"), tag], Validated),
        (&[("Cache-Control", "max-age=10000, no-cache"), later, date, tag], Validated),
        (&[("Cache-Control", "max-age=10000, must-revalidate"), tag], Reused),
        (&[("Cache-Control", "max-age=2, must-revalidate"), tag], Validated),
        (&[("Cache-Control", "no-cache=\"a\""), ("Cache-Control", "max-age=3600"), date], Reused),
        (&[("Cache-Control", "max-age=3600"), ("Pragma", "no-cache")], Reused),
        (&[("Cache-Control", "max-age=3600"), ("Pragma", "unrecognised-extension")], Reused),
        (&[("Cache-Control", "max-age=3600"), date, ("Set-Cookie", "a=b")], Reused),
        (&[date, ("Last-Modified", "@-10000"), ("Pragma", "no-cache")], Validated),
    ] {
        assert_eq!(after(response), then, "{response:?}");
    }
}

#[test]
fn age_as_it_is_written() {
    for (age, then) in [
        ("abc", Reused),
        ("-7200", Reused),
        ("7200.0", Reused),
        ("2147483647", Asked),
        ("2147483648", Asked),
        ("2147483649", Asked),
        ("7200, 0", Asked),
        ("0, 7200", Reused),
        ("0, 0", Reused),
        ("3600, 3600", Asked),
        ("7200;foo=bar", Asked),
        ("7200;foo=111", Asked),
    ] {
        let response = [("Date", "@0"), ("Cache-Control", "max-age=3600"), ("Age", age)];
        assert_eq!(after(&response), then, "{age}");
    }
    for (first, second, then) in
        [("7200", "0", Asked), ("0", "7200", Reused), ("0", "0", Reused), ("30", "30", Reused)]
    {
        let fresh = ("Cache-Control", "max-age=3600");
        let response = [("Date", "@0"), fresh, ("Age", first), ("Age", second)];
        assert_eq!(after(&response), then, "{first}, then {second}");
    }
}

#[test]
fn freshness_by_expires() {
    let month = "@2592000";
    for (response, then) in [
        (&[("Expires", month), ("Date", "@0")][..], Reused),
        (&[("Expires", "@-2592000"), ("Date", "@0")], Asked),
        (&[("Expires", "@0"), ("Date", "@0")], Asked),
        (&[("Expires", "@300"), ("Date", "@400")], Asked),
        (&[("Expires", "0"), ("Date", "@0")], Asked),
        (&[("Date", "foo"), ("Expires", "@10")], Reused),
        (&[("Date", "@-10"), ("Expires", "@10"), ("Age", "25")], Asked),
        (&[("Date", "@10"), ("Expires", "@20"), ("Age", "15")], Asked),
        (&[("Expires", "@5000"), ("Expires", "soon"), ("Date", "@0")], Asked),
    ] {
        assert_eq!(after(response), then, "{response:?}");
    }
    for (expires, then) in [
        ("Tue, 19 Jan 2038 14:14:08 GMT", Reused),
        ("Sun, 21 Nov 2286 04:46:39 GMT", Reused),
        ("Thursday, 18-Aug-50 02:01:18 GMT", Reused),
        ("Thu Aug  8 02:01:18 2050", Reused),
        ("THU, 18 Aug 2050 02:01:18 GMT", Reused),
        ("Thu, 18 AUG 2050 02:01:18 GMT", Reused),
        ("Thu, 18 Aug 2050 02:01:18 gMT", Reused),
        ("Thu, 18 Aug 2050 02:01:18 UTC", Asked),
        ("Thu, 18 Aug 2050 02:01:18 AEST", Asked),
        ("Thu, 18 Aug 50 02:01:18 GMT", Asked),
        ("Thu 18 Aug 2050 02:01:18 GMT", Asked),
        ("Thu, 18  Aug  2050 02:01:18 GMT", Asked),
        ("Thu, 18-Aug-2050 02:01:18 GMT", Asked),
        ("Thu, 18 Aug 2050 02.01.18 GMT", Asked),
        ("Thu, 18 Aug 2050 2:01:18 GMT", Asked),
    ] {
        assert_eq!(after(&[("Expires", expires), ("Date", "@0")]), then, "{expires}");
    }
}

#[test]
fn freshness_by_guess() {
    let unsaid = [("Last-Modified", "@-86400"), ("Date", "@0")];
    for (status, then) in [
        (200, Reused),
        (201, Asked),
        (202, Asked),
        (203, Reused),
        (204, Reused),
        (403, Asked),
        (404, Reused),
        (405, Reused),
        (410, Reused),
        (414, Reused),
        (501, Reused),
        (502, Asked),
        (503, Asked),
        (504, Asked),
        (599, Asked),
    ] {
        assert_eq!(got(&unsaid).status(status).then(3, &[], &suite()), then, "{status}");
    }
    let public = [("Last-Modified", "@-86400"), ("Date", "@0"), ("Cache-Control", "public")];
    assert_eq!(got(&public).status(599).then(3, &[], &suite()), Reused);
    let kept = got(&unsaid).stored(&suite()).unwrap().freshness;
    assert_eq!((kept.lifetime, kept.heuristic), (8640, true));
}

#[test]
fn freshness_counts_for_any_final_status() {
    let fresh = [("Cache-Control", "max-age=100000"), ("Date", "@0")];
    let stale = [("Expires", "@-5000"), ("Last-Modified", "@-100000"), ("Date", "@0")];
    for status in
        [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]
    {
        assert_eq!(got(&fresh).status(status).then(3, &[], &suite()), Reused, "{status}");
        assert_eq!(got(&stale).status(status).then(3, &[], &suite()), Validated, "{status}");
    }
    let said = [("Cache-Control", "max-age=3600, no-store, must-understand")];
    assert_eq!(got(&said).status(599).then(3, &[], &suite()), Asked);
    assert_eq!(got(&said).status(200).then(3, &[], &suite()), Reused);
}

#[test]
fn stale_answers() {
    let window = [("Cache-Control", "max-age=1, stale-while-revalidate=4"), ("ETag", "\"abc\"")];
    assert_eq!(got(&window).then(3, &[], &suite()), Reused);
    assert_eq!(got(&window).then(6, &[], &suite()), Validated);
    let stale = [("Cache-Control", "max-age=2"), ("Date", "@0")];
    assert!(got(&stale).replaces(3, None, &suite()), "nobody answers");
    assert!(!got(&stale).replaces(3, None, &Options::default()));
    assert!(!got(&stale).replaces(3, Some(503), &suite()));
    let allowed = [("Cache-Control", "max-age=2, stale-if-error=60")];
    for options in [suite(), Options::default()] {
        for status in [None, Some(500), Some(502), Some(503), Some(504)] {
            assert!(got(&allowed).replaces(3, status, &options), "{status:?}");
            assert_eq!(
                got(&allowed).replaces(70, status, &options),
                status.is_none() && options.stale_on_failure
            );
        }
        assert!(!got(&allowed).replaces(3, Some(501), &options));
        assert!(!got(&allowed).replaces(3, Some(404), &options));
    }
    for forbidden in ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2"] {
        let said = format!("max-age=2, {forbidden}");
        let said = [("Cache-Control", &*said), ("ETag", "\"a\"")];
        assert!(!got(&said).replaces(3, None, &suite()), "{forbidden}");
    }
}

#[test]
fn credentials() {
    let request = [("Authorization", "FOO")];
    for (said, then) in [
        ("max-age=100000", Asked),
        ("max-age=3600, public", Reused),
        ("max-age=3600, must-revalidate", Reused),
        ("s-maxage=3600", Reused),
    ] {
        let response = [("Cache-Control", said), ("Date", "@0")];
        assert_eq!(got(&response).asked_with(&request).then(3, &[], &suite()), then, "{said}");
    }
}

#[test]
fn what_the_second_request_asks() {
    let fresh = ("Cache-Control", "max-age=3600");
    for (response, asks, then) in [
        (&[fresh][..], &[("Cache-Control", "max-age=0")][..], Asked),
        (&[fresh], &[("Cache-Control", "max-age=1")], Asked),
        (&[fresh, ("Age", "1800")], &[("Cache-Control", "max-age=600")], Asked),
        (&[("Cache-Control", "max-age=2")], &[("Cache-Control", "max-stale=1000")], Reused),
        (&[("Cache-Control", "max-age=2")], &[("Cache-Control", "max-stale")], Reused),
        (
            &[("Cache-Control", "max-age=1500"), ("Age", "2000")],
            &[("Cache-Control", "max-stale=1000")],
            Reused,
        ),
        (&[("Cache-Control", "max-age=1500")], &[("Cache-Control", "min-fresh=2000")], Asked),
        (
            &[("Cache-Control", "max-age=1500"), ("Age", "1000")],
            &[("Cache-Control", "min-fresh=1000")],
            Asked,
        ),
        (&[fresh], &[("Cache-Control", "no-cache")], Asked),
        (
            &[fresh, ("Last-Modified", "@-10000"), ("Date", "@0")],
            &[("Cache-Control", "no-cache")],
            Validated,
        ),
        (&[fresh, ("ETag", "\"a\"")], &[("Cache-Control", "no-cache")], Validated),
        (&[fresh], &[("Cache-Control", "no-store")], Asked),
        (&[fresh], &[("Pragma", "no-cache")], Asked),
        (&[fresh], &[("Pragma", "unrecognised-extension")], Reused),
        (&[fresh], &[("Pragma", "no-cache"), ("Cache-Control", "x")], Reused),
        (&[fresh], &[("Cookie", "a=b")], Reused),
    ] {
        assert_eq!(got(response).then(3, asks, &suite()), then, "{response:?} {asks:?}");
    }
    assert!(RequestDirectives::of(&fields(&[("Cache-Control", "only-if-cached")])).only_if_cached);
}

#[test]
fn targeted_fields() {
    let cdn = |said| ("CDN-Cache-Control", said);
    let long = ("Cache-Control", "max-age=10000");
    let later = ("Expires", "@10000");
    let date = ("Date", "@0");
    for (response, then) in [
        (&[cdn("max-age=3600")][..], Reused),
        (&[cdn("max-age=2147483648")], Reused),
        (&[cdn("max-age=99999999999")], Reused),
        (&[date, cdn("max-age=3600"), ("Age", "7200")], Asked),
        (&[("Cache-Control", "max-age=1"), cdn("max-age =100")], Asked),
        (&[("Cache-Control", "max-age=1"), cdn("max-age= 100")], Asked),
        (&[cdn("max-age=0")], Asked),
        (&[cdn("foobar, max-age=3600")], Reused),
        (&[cdn("max-age=3600"), ("Expires", "@-10000"), date], Reused),
        (&[cdn("max-age=3600"), ("Expires", "0"), date], Reused),
        (&[cdn("max-age=0"), later, date], Asked),
        (&[("Cache-Control", "max-age=1"), cdn("max-age=3600")], Reused),
        (&[long, cdn("max-age=1")], Asked),
        (&[cdn("private"), long, later, date], Asked),
        (&[cdn("no-cache"), long, later, date], Asked),
        (&[long, cdn("no-store"), later, date], Asked),
        (&[("Cache-Control", "no-store"), cdn("max-age=10000")], Reused),
        (&[cdn("max-age=10000, &&&&&"), ("Cache-Control", "no-store")], Asked),
        (&[cdn("max-age=\"10000\""), ("Cache-Control", "no-store")], Asked),
    ] {
        assert_eq!(after(response), then, "{response:?}");
    }
    // Where no target is configured the field says nothing.
    let response = [cdn("no-store"), long];
    assert_eq!(got(&response).then(3, &[], &Options::default()), Reused);
}
