use http::HeaderName;
use tower_keep_core::{Principal, TenantId};

use crate::Unkeyed;

use super::*;

#[tokio::test]
async fn what_is_somebodys_is_never_shared() {
    for fields in [
        &[("cache-control", "Private, max-age=60")][..],
        &[("cache-control", "max-age=60"), ("cache-control", "No-Store")],
        &[("cache-control", "max-age=60"), ("set-cookie", "id=1")],
        &[("cache-control", "public, max-age=60"), ("set-cookie", "id=1")],
        &[("cache-control", "x=\"a, b\", no-store, max-age=60")],
        &[("cache-control", "max-age=60"), ("vary", "accept"), ("vary", "*")],
        &[("x", "nothing said")],
    ] {
        let site = site(move |_, number| answer(fields, number));
        site.get("/a").await;
        let second = site.get("/a").await;
        assert!(!second.is_hit() && second.body == "2", "{fields:?}: {second:?}");
    }
}

#[tokio::test]
async fn credentials_that_nobody_vouches_for_bypass_the_cache() {
    for credentials in [("authorization", "Bearer x"), ("cookie", "id=1")] {
        let site = site(|_, number| answer(&[("cache-control", "public, max-age=60")], number));
        site.get("/a").await;
        let got = site.ask(Method::GET, "/a", &[credentials]).await;
        assert_eq!(got.body, "2");
        assert!(got.status_of_cache().contains("fwd=bypass"), "{got:?}");
        assert_eq!(site.get("/a").await.body, "1");
    }
}

#[tokio::test]
async fn tenants_never_meet() {
    let site = site(|_, number| answer(&[("cache-control", "public, max-age=60")], number));
    for _ in 0..2 {
        for (tenant, body) in [("acme", "1"), ("globex", "2")] {
            let mut request = Request::get("/a").header("host", "x").body(Full::default()).unwrap();
            request.extensions_mut().insert(Principal::new(TenantId::new(tenant).unwrap()));
            assert_eq!(site.send(request).await.body, body);
        }
    }
    assert_eq!(site.get("/a").await.body, "3", "nor those without");
}

#[tokio::test]
async fn a_get_with_a_body_bypasses_the_cache() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60")], number));
    let fat = || Request::get("/a").header("host", "example.com").body(Full::from("x")).unwrap();
    assert_eq!(site.send(fat()).await.body, "1");
    assert_eq!(site.get("/a").await.body, "2");
    assert_eq!(site.send(fat()).await.body, "3");
    assert_eq!(site.get("/a").await.body, "2");
}

#[tokio::test]
async fn grpc_and_upgrades_pass() {
    let site = site(|_, number| answer(&[("cache-control", "max-age=60")], number));
    for fields in [("upgrade", "websocket"), ("upgrade", "h2c")] {
        for _ in 0..2 {
            let got = site.ask(Method::GET, "/a", &[("connection", "upgrade"), fields]).await;
            assert!(got.status_of_cache().contains("detail=protocol"), "{got:?}");
        }
    }
    let grpc = [("content-type", "application/grpc")];
    let got = site.ask(Method::POST, "/a", &grpc).await;
    assert!(got.status_of_cache().contains("detail=protocol"), "{got:?}");
}

const EVIL: (&str, &str) = ("x-forwarded-host", "evil.test");

/// A service that believes `X-Forwarded-Host`, and says how it was asked.
fn believing(unkeyed: Unkeyed) -> Site {
    site_with(
        |builder| builder.unkeyed(unkeyed),
        |request, _| {
            let host = request.headers().get(EVIL.0).map_or("none", |host| host.to_str().unwrap());
            let answer = Response::builder().header("cache-control", "max-age=60");
            let answer = answer.header("content-location", request.uri().path());
            answer.body(Full::from(host.to_owned())).unwrap()
        },
    )
}

#[tokio::test]
async fn a_host_that_is_believed_reaches_nobody_else() {
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let site = believing(Unkeyed::Strip);
        site.ask(method.clone(), "/a", &[EVIL]).await;
        assert_eq!(site.get("/a").await.body, "none", "{method}");
        let seen = site.seen.lock().unwrap();
        assert!(seen.iter().all(|request| !request.headers().contains_key(EVIL.0)), "{method}");
    }
    // What is answered for one value is for that one.
    let site = believing(Unkeyed::Key);
    for _ in 0..2 {
        assert_eq!(site.ask(Method::GET, "/a", &[EVIL]).await.body, "evil.test");
        assert_eq!(site.get("/a").await.body, "none");
    }
    assert_eq!(site.asked(), 2);
    // So is what answers a change.
    for unkeyed in [Unkeyed::Key, Unkeyed::Bypass] {
        let site = believing(unkeyed);
        let got = site.ask(Method::POST, "/a", &[EVIL]).await;
        assert!(got.body == "evil.test" && !got.status_of_cache().contains("stored"), "{got:?}");
        assert_eq!(site.get("/a").await.body, "none", "{unkeyed:?}");
    }
    let site = believing(Unkeyed::Bypass);
    for _ in 0..2 {
        let got = site.ask(Method::GET, "/a", &[EVIL]).await;
        assert!(got.status_of_cache().contains("detail=unkeyed"), "{got:?}");
        assert_eq!(got.body, "evil.test");
        assert_eq!(site.get("/a").await.body, "none");
    }
    assert_eq!(site.asked(), 3);
}

#[tokio::test]
async fn an_answer_to_another_method_than_post_is_not_what_get_gets() {
    for unkeyed in [Unkeyed::Strip, Unkeyed::Key, Unkeyed::Bypass] {
        let site = believing(unkeyed);
        let fields = [("x-http-method-override", "REPORT")];
        let got = site.ask(Method::POST, "/a", &fields).await;
        assert!(!got.status_of_cache().contains("stored"), "{got:?}");
        let asked = site.seen.lock().unwrap()[0].headers().contains_key("x-http-method-override");
        assert!(asked, "{unkeyed:?}: another change than was meant");
        assert!(!site.get("/a").await.is_hit());
        let got = site.ask(Method::POST, "/a", &[]).await;
        assert!(got.status_of_cache().contains("stored"), "{got:?}");
        assert!(site.get("/a").await.is_hit());
    }
}

/// Else a service would go by the field for some and not for others.
#[tokio::test]
async fn a_field_that_is_stripped_is_seen_by_no_request_but_those_left_alone() {
    let site = site_with(
        |builder| builder.skip(|head| head.uri.path() == "/skipped"),
        |_, number| answer(&[("cache-control", "max-age=60")], number),
    );
    for (method, path, field, sees) in [
        (Method::GET, "/a", ("cookie", "a=b"), false),
        (Method::GET, "/a", ("content-length", "1"), false),
        (Method::OPTIONS, "/a", ("a", "b"), false),
        (Method::DELETE, "/a", ("a", "b"), false),
        (Method::GET, "/skipped", ("a", "b"), true),
        (Method::GET, "/a", ("upgrade", "websocket"), true),
        (Method::POST, "/a", ("content-type", "application/grpc"), true),
    ] {
        site.ask(method.clone(), path, &[EVIL, field]).await;
        let seen = site.seen.lock().unwrap();
        let name = HeaderName::from_static(EVIL.0);
        assert_eq!(seen.last().unwrap().headers().contains_key(name), sees, "{method} {field:?}");
    }
}
