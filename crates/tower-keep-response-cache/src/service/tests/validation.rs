use super::*;

fn tagged(max_age: &'static str) -> impl Fn(&Request<()>, usize) -> Answer {
    move |request, number| {
        let fields = [("cache-control", max_age), ("etag", "\"one\""), ("x-number", "1")];
        if request.headers().get("if-none-match").is_some_and(|tag| tag == "\"one\"") {
            let number = number.to_string();
            let fields = [("cache-control", max_age), ("etag", "\"one\""), ("x-number", &number)];
            let mut unchanged = answer(&fields, 0).map(|_| Full::default());
            *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
            return unchanged;
        }
        answer(&fields, number)
    }
}

#[tokio::test]
async fn what_is_stale_is_asked_for_and_renewed() {
    let site = site(tagged("max-age=10"));
    site.get("/a").await;
    site.later(11);
    let got = site.get("/a").await;
    assert_eq!(
        (got.status, got.body.as_str(), got.field("x-number")),
        (StatusCode::OK, "1", Some("2"))
    );
    assert!(
        got.status_of_cache().contains("fwd=stale")
            && got.status_of_cache().contains("fwd-status=304"),
        "{got:?}"
    );
    assert!(site.get("/a").await.is_hit());
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn a_client_that_has_it_gets_304() {
    let site = site(tagged("max-age=10"));
    site.get("/a").await;
    let has = [("if-none-match", "\"one\"")];
    let got = site.ask(Method::GET, "/a", &has).await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert!(got.is_hit());
    site.later(11);
    let got = site.ask(Method::GET, "/a", &has).await;
    assert_eq!(got.status, StatusCode::NOT_MODIFIED);
    assert!(!got.is_hit());
    let got = site.ask(Method::GET, "/a", &[("if-none-match", "\"other\"")]).await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, "1"));
}

#[tokio::test]
async fn stale_is_told_while_it_is_asked_for() {
    let site = site(|_, number| {
        answer(&[("cache-control", "max-age=10, stale-while-revalidate=30")], number)
    });
    site.get("/a").await;
    site.later(11);
    let got = site.get("/a").await;
    assert_eq!(got.body, "1");
    assert!(got.is_hit() && got.status_of_cache().contains("ttl=-1"), "{got:?}");
    while !site.get("/a").await.body.eq("2") {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.asked(), 2);
    site.later(41);
    assert_eq!(site.get("/a").await.body, "3");
}

#[tokio::test]
async fn stale_is_told_in_place_of_an_error() {
    let site = site(|_, number| {
        let mut answer = answer(&[("cache-control", "max-age=10, stale-if-error=30")], number);
        if number > 1 {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    });
    site.get("/a").await;
    site.later(11);
    let got = site.get("/a").await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, "1"));
    assert!(got.status_of_cache().contains("fwd-status=503"), "{got:?}");
    site.later(30);
    assert_eq!(site.get("/a").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn head_may_find_out_that_what_is_stored_is_still_so() {
    let site = site(tagged("max-age=10"));
    site.get("/a").await;
    site.later(11);
    let got = site.ask(Method::HEAD, "/a", &[]).await;
    assert!(got.status_of_cache().contains("fwd-status=304; ttl=10; stored"), "{got:?}");
    let got = site.get("/a").await;
    assert!(got.is_hit() && got.body == "1", "{got:?}");
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn who_wants_nothing_stored_takes_nothing_away_from_others() {
    let site = site(tagged("max-age=10"));
    site.get("/a").await;
    let got = site.ask(Method::GET, "/a", &[("cache-control", "no-store")]).await;
    assert!(got.status_of_cache().contains("fwd-status=304"), "{got:?}");
    assert!(site.get("/a").await.is_hit());
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn what_was_wrong_with_one_request_is_not_so_of_what_is_stored() {
    for status in [407, 412, 416, 425, 428, 429, 431, 511] {
        let site = site(move |_, number| {
            let mut answer = answer(&[("cache-control", "max-age=60")], number);
            if number > 1 {
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            answer
        });
        site.get("/a").await;
        let fields = [("cache-control", "no-cache"), ("if-match", "\"none\"")];
        let got = site.ask(Method::GET, "/a", &fields).await;
        assert_eq!(got.status.as_u16(), status);
        assert!(site.get("/a").await.is_hit(), "{status}");
    }
}

#[tokio::test]
async fn a_variant_that_is_not_known_may_be_one_that_is() {
    // Its answer depends on whether the language is German, and not on what else is said.
    let site = site(|request, number| {
        let language = request.headers().get("accept-language").unwrap().to_str().unwrap();
        let tag = if language.starts_with("de") { "\"german\"" } else { "\"english\"" };
        let fields = [("cache-control", "max-age=60"), ("vary", "accept-language"), ("etag", tag)];
        let mut answer = answer(&fields, number);
        let known = request.headers().get("if-none-match").map(|it| it.to_str().unwrap());
        if known.is_some_and(|known| known.split(", ").any(|it| it == tag)) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            *answer.body_mut() = Full::default();
        }
        answer
    });
    let ask =
        async |language: &str| site.ask(Method::GET, "/a", &[("accept-language", language)]).await;
    for (language, body, status) in [
        ("de", "1", "fwd=uri-miss; stored"),
        ("en", "2", "fwd=vary-miss; stored"),
        ("de-AT", "1", "fwd=vary-miss; fwd-status=304; ttl=60; stored"),
        ("fr", "2", "fwd=vary-miss; fwd-status=304; ttl=60; stored"),
        ("de-AT", "1", "hit; ttl=60"),
        ("fr", "2", "hit; ttl=60"),
        ("de", "1", "hit; ttl=60"),
    ] {
        let got = ask(language).await;
        assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, body), "{language}");
        assert_eq!(got.status_of_cache(), format!("tower-keep; {status}"), "{language}");
    }
    assert_eq!(site.asked(), 4);
    let asked =
        site.seen.lock().unwrap()[3].headers()["if-none-match"].to_str().unwrap().to_owned();
    assert_eq!(asked, "\"german\", \"english\"");
    // What the client has is its own affair.
    let fields = [("accept-language", "it"), ("if-none-match", "\"english\"")];
    let got = site.ask(Method::GET, "/a", &fields).await;
    assert_eq!((got.status, site.asked()), (StatusCode::NOT_MODIFIED, 5));
    assert_eq!(site.seen.lock().unwrap()[4].headers()["if-none-match"], "\"english\"");
}

#[tokio::test]
async fn a_304_that_means_no_known_variant_is_not_believed() {
    let site = site(|request, number| {
        let fields = [("cache-control", "max-age=60"), ("vary", "a"), ("etag", "\"x\"")];
        let mut answer = answer(&fields, number);
        if request.headers().contains_key("if-none-match") {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().insert("etag", "\"never seen\"".parse().unwrap());
        }
        answer
    });
    site.get("/a").await;
    let got = site.ask(Method::GET, "/a", &[("a", "1")]).await;
    assert_eq!((got.status, got.body.as_str(), site.asked()), (StatusCode::OK, "3", 3));
}
