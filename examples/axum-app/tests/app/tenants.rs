//! Whose call it is, and how it can be followed.

use std::collections::HashSet;

use http::HeaderValue;

use crate::program::{App, LIMITED};

#[tokio::test]
async fn each_tenant_has_its_own_limit() {
    let app = App::start(&[("RATE_LIMIT_MAX", "2")]).await;
    let as_tenant = async |tenant: &str| {
        app.ask(app.request(LIMITED).header("x-tenant-id", tenant)).await.status.as_u16()
    };
    for tenant in ["acme", "Acme", "other"] {
        let statuses = [as_tenant(tenant).await, as_tenant(tenant).await, as_tenant(tenant).await];
        assert_eq!(statuses, [200, 200, 429], "{tenant}");
    }
    assert_eq!(app.statuses(1).await, [200], "without the header it is `public`");
    assert_eq!(as_tenant("public").await, 200);
    assert_eq!(app.statuses(1).await, [429]);
}

#[tokio::test]
async fn a_wrong_tenant_header_is_400_where_tenants_count() {
    let app = App::start(&[]).await;
    let long = "x".repeat(1025);
    for values in [&[&b""[..]][..], &[b"a", b"b"], &[b"a", b"a"], &[b"\xff"], &[long.as_bytes()]] {
        for path in [LIMITED, "/nowhere"] {
            let request = values.iter().fold(app.request(path), |request, value| {
                request.header("x-tenant-id", HeaderValue::from_bytes(value).unwrap())
            });
            let reply = app.ask(request).await;
            let problem = reply.problem(400);
            assert!(problem["detail"].as_str().unwrap().contains("x-tenant-id"), "{problem}");
            assert_eq!(reply.header("vary"), "x-tenant-id");
        }
    }
    assert_eq!(app.statuses(1).await, [200]);
}

#[tokio::test]
async fn only_so_many_tenants_are_taken() {
    let app = App::start(&[]).await;
    let as_tenant = async |tenant: usize| {
        let request = app.request(LIMITED).header("x-tenant-id", format!("tenant-{tenant}"));
        app.ask(request).await
    };
    for tenant in 0..100 {
        assert_eq!(as_tenant(tenant).await.status, 200, "tenant {tenant}");
    }
    for tenant in 100..103 {
        let refused = as_tenant(tenant).await;
        refused.problem(403);
        assert_eq!(refused.header("vary"), "x-tenant-id");
    }
    assert_eq!(as_tenant(0).await.status, 200, "who is known stays");
    assert_eq!(app.statuses(1).await, [200]);
    for path in ["/", "/api/health"] {
        let request = app.request(path).header("x-tenant-id", "tenant-103");
        assert_eq!(app.ask(request).await.status, 200, "{path} asks for no tenant");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_varies_by_what_it_depends_on() {
    let app = App::start(&[("RATE_LIMIT_MAX", "1")]).await;
    let mut ids = HashSet::new();
    for (path, status) in
        [(LIMITED, 200), (LIMITED, 429), ("/", 200), ("/api/health", 200), ("/nowhere", 404)]
    {
        let reply = app.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        let varies = !matches!(path, "/" | "/api/health");
        assert_eq!(reply.header("vary"), if varies { "x-tenant-id" } else { "" }, "{path}");
        let id = reply.header("x-request-id");
        assert!(id.len() >= 32, "{path}: {id:?}");
        assert!(ids.insert(id.to_owned()), "{path}: {id} was given twice");
    }
    for (path, tenant) in [("/", "acme"), ("/", ""), (LIMITED, "acme")] {
        let request = app.request(path).header("x-request-id", "mine");
        let reply = app.ask(request.header("x-tenant-id", tenant)).await;
        assert_eq!(reply.header("x-request-id"), "mine");
    }
}
