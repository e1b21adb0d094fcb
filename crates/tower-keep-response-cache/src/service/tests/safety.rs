use tower_keep_core::{Principal, TenantId};

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
