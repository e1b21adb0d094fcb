use proptest::prelude::*;

use super::*;

const CARRIERS: [Carrier; 3] = [Carrier::Cookie, Carrier::Bearer, Carrier::Both];

fn headers(list: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn found(carrier: Carrier, headers: &HeaderMap) -> Vec<(Via, String)> {
    let text = |text| String::from_utf8_lossy(text).into_owned();
    let all = |name| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    let (authorization, cookies) = (all(header::AUTHORIZATION), all(header::COOKIE));
    let found = carrier.candidates(&authorization, &cookies, "id");
    found.map(|(via, found)| (via, text(found))).collect()
}

fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn a_bearer_token_is_tried_first_and_each_carrier_reads_its_own() {
    let headers = headers(&[
        ("cookie", b"id=a; x=y"),
        ("authorization", b"Bearer t"),
        ("cookie", b"id=\"b\""),
    ]);
    let bearer = (Via::Bearer, "t".to_owned());
    let [a, b] = ["a", "b"].map(|text| (Via::Cookie, text.to_owned()));
    assert_eq!(found(Carrier::Both, &headers), [bearer.clone(), a.clone(), b.clone()]);
    assert_eq!(found(Carrier::Cookie, &headers), [a, b]);
    assert_eq!(found(Carrier::Bearer, &headers), [bearer]);
    for carrier in CARRIERS {
        assert_eq!(found(carrier, &HeaderMap::new()), []);
    }
}

#[test]
fn a_bearer_token_is_what_the_scheme_says() {
    let longest = format!("Bearer {}", "x".repeat(2048));
    for (value, expected) in [
        (&b"Bearer t"[..], Some("t")),
        (b"bearer t", Some("t")),
        (b"BEARER   t ", Some("t")),
        (b"Bearer t u", Some("t u")),
        (b"Bearer \xff", Some("\u{fffd}")),
        (longest.as_bytes(), longest.strip_prefix("Bearer ")),
        (format!("{longest}x").as_bytes(), None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearer    ", None),
        (b"Bearert", None),
        (b"Bearer\tt", None),
        (b"Basic t", None),
        (b"Bear t", None),
        (b"", None),
        (b"\xff\xff\xff\xff\xff\xff t", None),
    ] {
        let found = found(Carrier::Both, &headers(&[("authorization", value)]));
        assert_eq!(found, Vec::from_iter(expected.map(|text| (Via::Bearer, text.to_owned()))));
    }
    let two = headers(&[("authorization", b"Bearer t"), ("authorization", b"Bearer t")]);
    assert_eq!(found(Carrier::Both, &two), []);
}

#[test]
fn a_flood_of_cookies_is_not_looked_at() {
    let flood = headers(&[("cookie", "id=a;".repeat(1000).as_bytes())]);
    assert_eq!(found(Carrier::Both, &flood).len(), MOST_COOKIES);
}

#[test]
fn a_token_goes_back_the_way_it_came() {
    use Dialect::{Grpc, GrpcWeb, Http, HttpHead};

    for dialect in [Http, HttpHead, Grpc, GrpcWeb] {
        for came in [None, Some(Via::Cookie), Some(Via::Bearer)] {
            assert_eq!(Carrier::Cookie.answer(came, dialect), Via::Cookie);
            assert_eq!(Carrier::Bearer.answer(came, dialect), Via::Bearer);
            if let Some(via) = came {
                assert_eq!(Carrier::Both.answer(came, dialect), via);
            }
        }
    }
    let fresh = [Http, HttpHead, Grpc, GrpcWeb].map(|dialect| Carrier::Both.answer(None, dialect));
    assert_eq!(fresh, [Via::Cookie, Via::Cookie, Via::Bearer, Via::Cookie]);
}

#[test]
fn there_is_one_cookie_of_ours_and_the_others_stay() {
    for (before, after) in [
        (&[][..], &["id=new"][..]),
        (&["a=1", "b=2; Path=/"], &["a=1", "b=2; Path=/", "id=new"]),
        (&["id=old; Path=/"], &["id=new"]),
        (&["a=1", " id =old", "id2=x", "id=older", "ID=x"], &["a=1", "id2=x", "ID=x", "id=new"]),
        (&["id", "", "=id", "x; id=y"], &["", "=id", "x; id=y", "id=new"]),
    ] {
        let before: Vec<_> = before.iter().map(|line| ("set-cookie", line.as_bytes())).collect();
        let mut headers = headers(&before);
        set_cookie(&mut headers, "id", HeaderValue::from_static("id=new"));
        assert_eq!(lines(&headers, header::SET_COOKIE), after);
    }
}

#[test]
fn a_token_in_a_header_is_the_only_one_and_not_logged() {
    let mut headers = headers(&[("x-session-token", b"old")]);
    set_token(&mut headers, "new-token");
    assert_eq!(lines(&headers, TOKEN_HEADER), ["new-token"]);
    assert!(headers[TOKEN_HEADER].is_sensitive());
}

#[test]
fn no_store_unless_the_handler_has_spoken() {
    let mut silent = HeaderMap::new();
    no_store(&mut silent);
    assert_eq!(lines(&silent, header::CACHE_CONTROL), ["no-store"]);
    let mut spoken = headers(&[("cache-control", b"private"), ("cache-control", b"max-age=1")]);
    no_store(&mut spoken);
    assert_eq!(lines(&spoken, header::CACHE_CONTROL), ["private", "max-age=1"]);
    let mut spoken = headers(&[("cache-control", b"no-cache"), ("cache-control", b"max-age=1")]);
    no_store(&mut spoken);
    assert_eq!(lines(&spoken, header::CACHE_CONTROL), ["no-store"]);
}

#[test]
fn an_answer_is_shared_only_where_the_handler_says_so() {
    for (said, shared) in [
        (&[][..], false),
        (&["no-cache"], false),
        (&["max-age=0, must-revalidate"], false),
        (&["must-revalidate", "s-maxage=\"0\""], false),
        (&["no-transform"], false),
        (&["Public"], true),
        (&["no-cache", "s-maxage = 60"], true),
        (&["must-revalidate, MAX-AGE=\"10\""], true),
        (&["public, max-age=60", "no-store"], false),
        (&["private, max-age=60"], false),
    ] {
        let lines: Vec<_> = said.iter().map(|line| ("cache-control", line.as_bytes())).collect();
        assert_eq!(is_shared(&headers(&lines)), shared, "{said:?}");
    }
}

#[test]
fn vary_says_each_thing_once() {
    for (before, fields, after) in [
        (&[][..], Carrier::Cookie.vary(), &["Cookie"][..]),
        (&[], Carrier::Bearer.vary(), &["Authorization"]),
        (&[], Carrier::Both.vary(), &["Authorization, Cookie"]),
        (&["Accept"], Carrier::Cookie.vary(), &["Accept, Cookie"]),
        (&["cookie"], Carrier::Cookie.vary(), &["cookie"]),
        (&["Accept ,COOKIE", "X"], Carrier::Cookie.vary(), &["Accept ,COOKIE", "X"]),
        (&["Accept", "X-Y"], Carrier::Cookie.vary(), &["Accept, X-Y, Cookie"]),
        (&["Accept, cookie"], Carrier::Both.vary(), &["Accept, cookie, Authorization"]),
        (&["Set-Cookie, Cookies"], Carrier::Cookie.vary(), &["Set-Cookie, Cookies, Cookie"]),
        (&["*"], Carrier::Both.vary(), &["*"]),
        (&["Accept", "X, *"], Carrier::Both.vary(), &["Accept", "X, *"]),
        (&[""], Carrier::Cookie.vary(), &["Cookie"]),
    ] {
        let before: Vec<_> = before.iter().map(|line| ("vary", line.as_bytes())).collect();
        let mut headers = headers(&before);
        add_vary(&mut headers, fields.clone());
        assert_eq!(lines(&headers, header::VARY), after);
        let once = headers.clone();
        add_vary(&mut headers, fields);
        assert_eq!(headers, once);
    }
}

fn any_value() -> impl Strategy<Value = HeaderValue> {
    let words = prop::sample::select(vec![
        &b"Bearer "[..],
        b"bearer",
        b"id=",
        b"Cookie",
        b"*",
        b",",
        b";",
        b" ",
        b"\t",
        b"\"",
        b"\xff",
    ]);
    prop::collection::vec(words, 0..8)
        .prop_map(|words| HeaderValue::from_bytes(&words.concat()).unwrap())
}

proptest! {
    #[test]
    fn no_request_panics(
        authorization in prop::collection::vec(any_value(), 0..3),
        cookies in prop::collection::vec(any_value(), 0..3),
    ) {
        let both: Vec<_> = Carrier::Both.candidates(&authorization, &cookies, "id").collect();
        let bearer: Vec<_> = Carrier::Bearer.candidates(&authorization, &cookies, "id").collect();
        let cookie: Vec<_> = Carrier::Cookie.candidates(&authorization, &cookies, "id").collect();
        prop_assert!(bearer.len() <= 1 && (authorization.len() == 1 || bearer.is_empty()));
        prop_assert_eq!(both, [bearer, cookie].concat());
    }

    #[test]
    fn no_answer_panics(
        vary in prop::collection::vec(any_value(), 0..3),
        cookies in prop::collection::vec(any_value(), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for value in &vary {
            headers.append(header::VARY, value.clone());
        }
        for value in &cookies {
            headers.append(header::SET_COOKIE, value.clone());
        }
        add_vary(&mut headers, Carrier::Both.vary());
        let all: Vec<_> = headers.get_all(header::VARY).iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .map(|field| field.trim_ascii().to_ascii_lowercase()).collect();
        let says = |field: &[u8]| all.iter().any(|said| said == field);
        prop_assert!(says(b"*") || (says(b"cookie") && says(b"authorization")));

        set_cookie(&mut headers, "id", HeaderValue::from_static("id=new"));
        let ours: Vec<_> = headers.get_all(header::SET_COOKIE).iter()
            .filter(|value| value.as_bytes().trim_ascii().starts_with(b"id=")).collect();
        prop_assert_eq!(ours, ["id=new"]);
    }
}
