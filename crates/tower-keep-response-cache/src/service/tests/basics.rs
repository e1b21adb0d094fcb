use tower_keep_core::AskedUri;

use super::*;

#[tokio::test]
async fn what_is_fresh_is_answered_without_the_service() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60"), ("x", "y")], number));
    let first = site.get("/a").await;
    assert!(
        first.status_of_cache().contains("fwd=uri-miss")
            && first.status_of_cache().contains("stored")
    );
    site.later(10);
    let second = site.get("/a").await;
    assert!(second.is_hit(), "{second:?}");
    assert_eq!(
        (second.body.as_str(), second.field("age"), second.field("x")),
        ("1", Some("10"), Some("y"))
    );
    assert!(second.status_of_cache().contains("ttl=50"), "{second:?}");
    site.later(49);
    assert!(site.get("/a").await.is_hit());
    site.later(1);
    assert_eq!(site.get("/a").await.body, "2");
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn targets_are_kept_apart() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60")], number));
    for (path, host) in [
        ("/a", "a.test"),
        ("/a?", "a.test"),
        ("/a?b", "a.test"),
        ("//a", "a.test"),
        ("/a", "b.test"),
    ] {
        let request = || Request::get(path).header("host", host).body(Full::default()).unwrap();
        let first = site.send(request()).await;
        assert!(!first.is_hit(), "{path} {host}");
        assert_eq!(site.send(request()).await.body, first.body);
    }
    assert_eq!(site.asked(), 5);
}

/// What a router has taken off the path says whose the answer is, although the service goes by the
/// rest.
#[tokio::test]
async fn targets_whose_beginnings_are_taken_away_are_kept_apart() {
    let site = site(|request, number| match *request.method() {
        Method::GET => answer(&[("cache-control", "max-age=60")], number),
        _ => answer(&[("location", "there")], number),
    });
    let ask = async |method: Method, whole: &str, rest: &str| {
        let request = Request::builder().method(method).uri(rest).header("host", "example.com");
        let request = request.extension(AskedUri(whole.parse().unwrap()));
        site.send(request.body(Full::default()).unwrap()).await
    };
    for (whole, rest) in [("/1/a", "/a"), ("/2/a", "/a"), ("/1/there", "/there")] {
        assert!(!ask(Method::GET, whole, rest).await.is_hit(), "{whole}");
        assert!(ask(Method::GET, whole, rest).await.is_hit(), "{whole}");
    }
    assert_eq!(site.seen.lock().unwrap()[1].uri(), "/a");
    ask(Method::PUT, "/1/a", "/a").await;
    assert!(!ask(Method::GET, "/1/a", "/a").await.is_hit());
    assert!(!ask(Method::GET, "/1/there", "/there").await.is_hit());
    assert!(ask(Method::GET, "/2/a", "/a").await.is_hit());
}

#[tokio::test]
async fn head_is_answered_from_get_and_never_stored() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60")], number));
    let head = site.ask(Method::HEAD, "/a", &[]).await;
    assert!(!head.is_hit());
    assert!(!site.get("/a").await.is_hit());
    let head = site.ask(Method::HEAD, "/a", &[]).await;
    assert!(head.is_hit());
    assert_eq!((head.body.as_str(), head.field("content-length")), ("", Some("1")));
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn variants_are_kept_side_by_side() {
    let site = site(|request, _| {
        let language = request.headers().get("accept-language");
        let language = language.map_or("none", |value| value.to_str().unwrap()).to_owned();
        Response::builder()
            .header("cache-control", "max-age=60")
            .header("vary", "Accept-Language")
            .body(Full::from(language))
            .unwrap()
    });
    for _ in 0..2 {
        for language in ["de", "en", "fr"] {
            let got = site.ask(Method::GET, "/a", &[("accept-language", language)]).await;
            assert_eq!(got.body, language);
        }
    }
    assert_eq!(site.get("/a").await.body, "none");
    assert_eq!(site.asked(), 4);
}

#[tokio::test]
async fn a_change_makes_what_is_stored_invalid() {
    let site = site(|request, number| match *request.method() {
        Method::GET => answer(&[("cache-control", "max-age=60")], number),
        _ => answer(&[("location", "/b")], number),
    });
    for path in ["/a", "/b", "/c"] {
        site.get(path).await;
    }
    site.ask(Method::PUT, "/a", &[]).await;
    assert!(!site.get("/a").await.is_hit());
    assert!(!site.get("/b").await.is_hit());
    assert!(site.get("/c").await.is_hit());
    assert!(site.get("/a").await.is_hit());
}

#[tokio::test]
async fn only_if_cached_never_asks_the_service() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60")], number));
    let wish = [("cache-control", "only-if-cached")];
    let got = site.ask(Method::GET, "/a", &wish).await;
    assert_eq!((got.status, site.asked()), (StatusCode::GATEWAY_TIMEOUT, 0));
    site.get("/a").await;
    assert!(site.ask(Method::GET, "/a", &wish).await.is_hit());
}

#[tokio::test]
async fn ranges_are_cut_from_what_is_stored() {
    let site = site(|_, _| {
        let answer = Response::builder().header("cache-control", "max-age=60");
        answer.header("etag", "\"1\"").body(Full::from("0123456789")).unwrap()
    });
    site.get("/a").await;
    for (range, part, place) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let got = site.ask(Method::GET, "/a", &[("range", range)]).await;
        assert_eq!((got.status, got.body.as_str()), (StatusCode::PARTIAL_CONTENT, part));
        assert_eq!(got.field("content-range"), Some(place));
    }
    let got = site.ask(Method::GET, "/a", &[("range", "bytes=10-")]).await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::RANGE_NOT_SATISFIABLE, ""));
    assert_eq!(site.asked(), 1);
}
