//! What other caches were seen to get wrong, as far as it is decided here. What a request with a
//! body does is decided before anything of this.

use super::*;

fn refused(response: Fields<'_>) -> Option<BypassReason> {
    got(response).refused(&Options::default())
}

#[test]
fn private_and_no_store_in_any_case_order_or_line_are_never_shared() {
    for (word, reason) in [("private", BypassReason::Private), ("no-store", BypassReason::NoStore)]
    {
        let upper = word.to_ascii_uppercase();
        let title: String =
            word.split('-').map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect();
        let title = if word == "private" { title } else { "No-Store".to_owned() };
        for word in [word, &upper, &title] {
            for response in [
                &[("cache-control", word)][..],
                &[("cache-control", &format!("{word}, max-age=60"))],
                &[("cache-control", &format!("max-age=60, {word}"))],
                &[("cache-control", &format!("max-age=60,{word},public"))],
                &[("cache-control", &format!(" ,, max-age=60 ,\t{word} ,"))],
                &[("cache-control", "public, max-age=60"), ("cache-control", word)],
                &[("cache-control", word), ("cache-control", "public, max-age=60")],
                &[("cache-control", &format!("ext=\"a, b\", {word}, max-age=60"))],
                &[("cache-control", &format!("ext=\"a \\\" b\", {word}, max-age=60"))],
                &[("cache-control", &format!("ext=\"a, {word}, max-age=60"))],
                &[("cache-control", "ext=\""), ("cache-control", word), ("cache-control", "\"")],
                &[("cache-control", &format!("max-age=60; {word}"))],
                &[("cache-control", &format!("max-age=60 {word}"))],
                &[("cache-control", &format!("max-age=60, {word}=x"))],
                &[("cache-control", &format!("max-age=60, {word} = x"))],
                &[("cache-control", &format!("max-age=60, {word}=\""))],
                &[("cache-control", &format!("{word}, max-age=60")), ("expires", "@60")],
            ] {
                assert_eq!(refused(response), Some(reason), "{response:?}");
            }
        }
    }
}

#[test]
fn words_in_quotes_are_no_directives() {
    let kept = got(&[("cache-control", "ext=\"no-store, private, max-age=1\", max-age=60")]).kept();
    assert_eq!(kept.freshness.lifetime, 60);
}

#[test]
fn what_cannot_be_read_is_not_fresh() {
    for said in [
        "max-age=60; public",
        "max-age=60 public",
        "public, max-age=60, ext=\"open",
        "max-age=60, \"",
        "max-age=60, =",
        "s-maxage=60s, max-age=60",
        "max-age",
        "max-age=",
        "max-age=-60",
        "max-age=+60",
        "max-age=60.5",
        "max-age=a60",
        "max-age=60a",
        "max-age='60'",
        "max-age =60",
        "max-age= 60",
        "max-age=6 0",
        "max-age=\"6\\0\"",
        "max-age=\"60",
        "max-age=0x60",
        "max-age=\u{661}",
    ] {
        assert_eq!(refused(&[("cache-control", said)]), Some(BypassReason::NotFresh), "{said}");
        // Not by `Expires` either, which an unreadable `Cache-Control` does not give way to.
        let response = [("cache-control", said), ("expires", "@60")];
        assert_eq!(refused(&response), Some(BypassReason::NotFresh), "{said}");
    }
}

#[test]
fn listed_fields_are_left_out_and_the_rest_is_stored() {
    for (said, dropped) in [
        ("max-age=60, no-cache=\"a\"", &["a"][..]),
        ("no-cache=\"a, B\", max-age=60", &["a", "b"]),
        ("private=\"x-user\", max-age=60", &["x-user"]),
        ("No-Cache=\"a\", PRIVATE=\"b,,\", max-age=60", &["a", "b"]),
    ] {
        let kept = got(&[("cache-control", said)]).kept();
        assert_eq!(kept.drop_fields, dropped, "{said}");
        assert!(!kept.freshness.no_cache, "{said}");
    }
}

#[test]
fn a_list_that_cannot_be_left_out_is_meant_for_all() {
    for list in ["", " , ", "a b", "a\\\"", "vary", "x, Content-Encoding", "\u{e9}"] {
        let said = format!("private=\"{list}\", max-age=60");
        assert_eq!(refused(&[("cache-control", &said)]), Some(BypassReason::Private), "{said}");
        let said = format!("no-cache=\"{list}\", max-age=60");
        let kept = got(&[("cache-control", &said), ("etag", "\"a\"")]).kept();
        assert!(kept.freshness.no_cache, "{said}");
    }
    for said in ["private=true, max-age=60", "private=x-user, max-age=60"] {
        assert_eq!(refused(&[("cache-control", said)]), Some(BypassReason::Private), "{said}");
    }
}

#[test]
fn a_cookie_is_never_shared() {
    for said in ["max-age=60", "public, max-age=60", "s-maxage=60, must-revalidate"] {
        let response = [("cache-control", said), ("set-cookie", "id=1")];
        assert_eq!(refused(&response), Some(BypassReason::SetCookie), "{said}");
        assert_eq!(got(&response).refused(&suite()), None, "{said}");
    }
    // Nor by choice, where the response does not say how long everybody may have it.
    let guessed = [("last-modified", "@-100000"), ("date", "@0"), ("set-cookie", "id=1")];
    assert_eq!(got(&guessed).refused(&suite()), Some(BypassReason::SetCookie));
    let asked_by = [("cache-control", "no-cache"), ("etag", "\"a\""), ("set-cookie", "id=1")];
    assert_eq!(got(&asked_by).refused(&suite()), Some(BypassReason::SetCookie));
    // What the response wants left out is not shared.
    let kept =
        got(&[("cache-control", "no-cache=\"Set-Cookie\", max-age=60"), ("set-cookie", "a=b")]);
    assert_eq!(kept.kept().drop_fields, ["set-cookie"]);
}

#[test]
fn credentials_are_shared_by_explicit_word_only() {
    let request = [("authorization", "Bearer a")];
    let refused = |said| {
        let response = [("cache-control", said)];
        got(&response).asked_with(&request).refused(&Options::default())
    };
    for said in [
        "max-age=60",
        "max-age=60, proxy-revalidate",
        "max-age=60, no-cache",
        "max-age=60, public=\"",
        "public; max-age=60",
        "max-age=60, s-maxage=x",
        "max-age=60, stale-if-error=60",
    ] {
        assert_eq!(refused(said), Some(BypassReason::Authorization), "{said}");
    }
    for said in ["max-age=60, public", "max-age=60, Must-Revalidate", "s-maxage=60"] {
        assert_eq!(refused(said), None, "{said}");
    }
}

#[test]
fn a_request_with_a_cookie_gets_nothing_stored_by_guess() {
    let request = [("cookie", "id=1")];
    let guessed = [("last-modified", "@-100000"), ("date", "@0")];
    assert_eq!(got(&guessed).refused(&suite()), None);
    let keep = got(&guessed).asked_with(&request).stored(&suite());
    assert_eq!(keep.unwrap().freshness.lifetime, 0, "asked for each time");
    let public = [("cache-control", "public"), ("last-modified", "@-100000"), ("date", "@0")];
    assert_eq!(
        got(&public).asked_with(&request).stored(&suite()).unwrap().freshness.lifetime,
        10_000
    );
    let usual =
        Options { default_ttl: Some(std::time::Duration::from_secs(9)), ..Options::default() };
    assert_eq!(got(&[]).stored(&usual).unwrap().freshness.lifetime, 9);
    assert_eq!(got(&[]).asked_with(&request).refused(&usual), Some(BypassReason::NotFresh));
    assert_eq!(
        got(&[("cache-control", "max-age=60")]).asked_with(&request).refused(&usual),
        None,
        "explicit words count, whoever asks"
    );
}

/// A page at `/account/nothing.css` is stored for nobody.
#[test]
fn web_cache_deception_meets_nothing_stored() {
    let validators = [("etag", "\"a\""), ("last-modified", "@-100000"), ("date", "@0")];
    assert_eq!(refused(&validators), Some(BypassReason::NotFresh));
    // And what was to be asked for each time answers nobody while the service is away.
    let always = got(&[("cache-control", "max-age=0"), ("etag", "\"a\"")]);
    assert!(!always.replaces(1, None, &suite()));
    assert!(!always.replaces(1, Some(503), &suite()));
}

#[test]
fn errors_are_stored_by_explicit_freshness_only() {
    let usual =
        Options { default_ttl: Some(std::time::Duration::from_secs(9)), ..Options::default() };
    for status in
        (400..600).filter(|status| ![407, 412, 416, 425, 428, 429, 431, 511].contains(status))
    {
        for options in [&Options::default(), &usual] {
            for response in [
                &[][..],
                &[("etag", "\"a\"")],
                &[("last-modified", "@-100000"), ("date", "@0")],
                &[("cache-control", "public"), ("last-modified", "@-100000")],
                &[("cache-control", "no-cache"), ("etag", "\"a\"")],
            ] {
                let got = got(response).status(status);
                assert_eq!(
                    got.refused(options),
                    Some(BypassReason::Status),
                    "{status} {response:?}"
                );
            }
            let said = got(&[("cache-control", "max-age=60")]).status(status);
            assert_eq!(said.refused(options), None, "{status}");
        }
    }
}

/// A request that is too long or malformed may not put a page out of reach of all others, not
/// even where freshness is guessed.
#[test]
fn errors_about_the_request_are_never_guessed() {
    for status in [400, 413, 431, 403, 417] {
        for said in ["public", "foo"] {
            let response = [("cache-control", said), ("last-modified", "@-100000"), ("date", "@0")];
            let got = got(&response).status(status);
            assert_eq!(got.refused(&suite()), Some(BypassReason::Status), "{status}");
        }
    }
}

#[test]
fn what_is_about_more_than_the_target_is_never_stored() {
    for status in [100, 101, 103, 304, 407, 412, 416, 425, 428, 429, 431, 511] {
        let response = [("cache-control", "public, max-age=60, s-maxage=60")];
        let got = got(&response).status(status);
        assert_eq!(got.refused(&suite()), Some(BypassReason::Status), "{status}");
    }
}

#[test]
fn no_store_wins_over_must_understand_unless_it_is_understood() {
    let said = [("cache-control", "max-age=60, must-understand, no-store")];
    assert_eq!(refused(&said), None);
    assert_eq!(got(&said).status(599).refused(&suite()), Some(BypassReason::NoStore));
    let said = [("cache-control", "max-age=60, must-understand")];
    assert_eq!(got(&said).status(599).refused(&suite()), Some(BypassReason::Status));
    let said = [("cache-control", "max-age=60, no-store, must-understand, x=\"")];
    assert_eq!(refused(&said), Some(BypassReason::NoStore), "nothing unclear lifts it");
}

#[test]
fn vary_by_anything_anywhere() {
    let fresh = ("cache-control", "max-age=60");
    for vary in [
        &[("vary", "*")][..],
        &[("vary", "accept, *")],
        &[("vary", " * ,accept")],
        &[("vary", "accept"), ("vary", "*")],
    ] {
        let response: Vec<_> = [fresh].into_iter().chain(vary.iter().copied()).collect();
        assert_eq!(refused(&response), Some(BypassReason::VaryAny), "{vary:?}");
    }
    assert_eq!(refused(&[fresh, ("vary", "x-*, accept")]), None);
}

/// Dates that are ahead, ages that overflow, clocks that differ.
#[test]
fn clocks_and_ages_that_are_wrong() {
    let kept = |more: Fields<'_>| {
        let mut response = vec![("cache-control", "max-age=60"), ("etag", "\"a\"")];
        response.extend(more);
        let freshness = got(&response).kept().freshness;
        (freshness.initial_age, freshness.lifetime)
    };
    assert_eq!(kept(&[("date", "@3600")]), (0, 60), "a date ahead makes nothing younger");
    assert_eq!(kept(&[("date", "@-50")]), (50, 60));
    assert_eq!(kept(&[("date", "@-50"), ("age", "10")]), (50, 60));
    assert_eq!(kept(&[("age", "18446744073709551615")]), (FOREVER, 60));
    assert_eq!(kept(&[("age", "99999999999999999999999999")]), (FOREVER, 60));
    assert_eq!(kept(&[("age", "2147483648")]), (FOREVER, 60));
    let ahead = got(&[("date", "@3600"), ("expires", "@3660")]).kept().freshness;
    assert_eq!(ahead.lifetime, 60, "both ends by the service's clock");
    let late = got(&[("expires", "@9999999999"), ("date", "@0")]).kept().freshness;
    assert_eq!(late.lifetime, 365 * 86_400);

    // A process whose clock is behind the one that stored it takes it for no older than it was.
    let freshness = got(&[("cache-control", "max-age=60"), ("age", "10")]).kept().freshness;
    assert_eq!(freshness.age(UnixMillis(NOW.0 - 5_000)), 10);
    assert_eq!(freshness.age(UnixMillis(0)), 10);
    assert_eq!(freshness.age(UnixMillis(u64::MAX)), FOREVER);
}
