//! What the response cache keeps, what makes it invalid, and who may purge it.

use http::Method;
use serde_json::{Value, json};
use tower_keep_tests::{Flavor, Server};

use crate::{
    auth::{ADMIN, Client, USER, login},
    program::{App, Reply},
};

const LIST: &str = "/api/products";
const ONE: &str = "/api/products/1";
const OTHER: &str = "/api/products/2";
const PURGE: &str = "/api/cache/purge";

/// Whether it came out of the cache, as `Cache-Status` says.
fn is_hit(reply: &Reply) -> bool {
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "public, max-age=60"));
    let status = reply.header("cache-status");
    let hit = status.starts_with("tower-keep; hit");
    assert!(hit || status.contains("fwd=uri-miss"), "{status}");
    hit
}

async fn hit(app: &App, path: &str) -> bool {
    is_hit(&app.get(path).await)
}

async fn as_tenant(app: &App, tenant: &str, path: &str) -> Reply {
    app.ask(app.request(path).header("x-tenant-id", tenant)).await
}

/// Asks until these are kept.
async fn fill(app: &App, paths: &[&str]) {
    for path in paths {
        app.get(path).await;
        assert!(hit(app, path).await, "{path} is not kept: {}", app.log());
    }
}

async fn put(app: &App, path: &str, body: &Value) -> Reply {
    let request = app.request(path).method(Method::PUT);
    app.send(request.header("content-type", "application/json"), body.to_string()).await
}

/// As this client.
async fn purge(app: &App, client: &Client, body: &Value) -> Reply {
    let request = client.sign(app.request(PURGE).method(Method::POST));
    app.send(request.header("content-type", "application/json"), body.to_string()).await
}

async fn kept_for_each_tenant(app: &App) {
    for path in [LIST, ONE] {
        let first = app.get(path).await;
        let second = app.get(path).await;
        assert_eq!((is_hit(&first), is_hit(&second)), (false, true), "{path}");
        assert_eq!(first.body, second.body);
        assert!(second.header("age").parse::<u64>().is_ok());
        assert!(!is_hit(&as_tenant(app, "acme", path).await), "another tenant's is another");
        assert!(is_hit(&as_tenant(app, "acme", path).await));
        assert_eq!(second.header("vary"), "x-tenant-id");
    }
    // Who is signed in gets what is everybody's, too, and leaves it there.
    let (browser, program) = login(app, USER).await;
    for client in [&browser, &program] {
        assert!(is_hit(&client.ask(app, Method::GET, LIST).await));
    }
    assert_eq!(app.get("/api/products/none").await.problem(404)["title"], "no such product");
}

async fn a_change_is_seen_at_once(app: &App) {
    fill(app, &[LIST, ONE, OTHER]).await;
    as_tenant(app, "acme", ONE).await;
    let changed = put(app, ONE, &json!({ "name": "Torch", "price_cents": 990 })).await;
    let torch = json!({ "id": "1", "name": "Torch", "price_cents": 990 });
    assert_eq!((changed.status.as_u16(), changed.json()), (200, torch.clone()), "{}", app.log());
    let (list, one) = (app.get(LIST).await, app.get(ONE).await);
    assert!(!is_hit(&list) && !is_hit(&one));
    assert_eq!((&list.json()[0], one.json()), (&torch, torch.clone()));
    assert!(hit(app, LIST).await && hit(app, ONE).await, "they are kept anew");
    assert!(hit(app, OTHER).await, "the other product has not changed");
    let acme = as_tenant(app, "acme", ONE).await;
    assert!(is_hit(&acme), "it is another's");
    assert_eq!(acme.json()["name"], "Lantern");
}

async fn an_admin_purges(app: &App) {
    let everything = json!({ "everything": true });
    let ((admin, token), (user, _)) = (login(app, ADMIN).await, login(app, USER).await);
    fill(app, &[LIST, ONE, OTHER]).await;
    as_tenant(app, "acme", LIST).await;

    purge(app, &Client::NOBODY, &everything).await.problem(401);
    purge(app, &user, &everything).await.problem(403);
    purge(app, &admin, &json!({})).await.problem(422);
    purge(app, &admin, &json!({ "tag": "products" })).await.problem(400);
    assert!(hit(app, LIST).await, "nothing was purged");

    let own = purge(app, &admin, &json!({ "paths": [ONE] })).await;
    assert_eq!((own.status.as_u16(), own.body.len()), (204, 0), "{}", app.log());
    assert!(!hit(app, ONE).await && hit(app, LIST).await);
    let url = format!("http://{}{LIST}", app.address());
    for (body, gone) in [
        (json!({ "tags": ["product-2"] }), [false, false, true]),
        (json!({ "prefixes": ["/api/products/"] }), [false, true, true]),
        (json!({ "urls": [url] }), [true, false, false]),
        (json!({ "tags": ["products"] }), [true, true, true]),
        (everything, [true, true, true]),
    ] {
        fill(app, &[LIST, ONE, OTHER]).await;
        assert_eq!(purge(app, &token, &body).await.status, 204);
        let left = [hit(app, LIST).await, hit(app, ONE).await, hit(app, OTHER).await];
        assert_eq!(left.map(|hit| !hit), gone, "{body}");
    }
    assert!(is_hit(&as_tenant(app, "acme", LIST).await), "another tenant's stays");
}

#[tokio::test]
async fn products_are_kept_changed_and_purged_in_memory() {
    let app = App::start(&[]).await;
    kept_for_each_tenant(&app).await;
    a_change_is_seen_at_once(&app).await;
    an_admin_purges(&app).await;
}

#[tokio::test]
async fn products_are_kept_changed_and_purged_in_redis() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let app = App::connected(&server.url()).await;
        kept_for_each_tenant(&app).await;
        a_change_is_seen_at_once(&app).await;
        an_admin_purges(&app).await;
        let all = crate::auth::keys(&server, "*").await;
        let all: Vec<Vec<&str>> = all.iter().map(|key| key.split(':').collect()).collect();
        // Each tenant's responses, and what was purged of one.
        for start in [["public", "http"], ["acme", "http"], ["public", "~gen"]] {
            let is = |key: &Vec<&str>| key.get(1..).is_some_and(|key| key.starts_with(&start));
            assert!(all.iter().any(is), "{start:?} in {all:?}");
        }
    }
}

#[tokio::test]
async fn two_processes_on_one_redis_share_and_purge() {
    let server = Server::start(Flavor::Redis).await;
    let (one, two) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    // The host is a part of what is asked for: both are asked by the same name.
    let ask = async |app: &App| {
        let request = app.request(LIST).header("host", "shop.example");
        is_hit(&app.ask(request).await)
    };
    assert!(!ask(&one).await);
    assert!(tower_keep_tests::wait_until(tower_keep_tests::Program::PATIENT, || ask(&two)).await);
    let (admin, _) = login(&one, ADMIN).await;
    assert_eq!(purge(&one, &admin, &json!({ "tags": ["products"] })).await.status, 204);
    assert!(!ask(&one).await, "who purges knows at once");
    assert!(ask(&one).await, "it is kept anew");
}

#[tokio::test]
async fn a_change_that_is_none_changes_nothing() {
    let app = App::start(&[]).await;
    fill(&app, &[LIST]).await;
    let good = json!({ "name": "Torch", "price_cents": 990 });
    for body in [
        json!({}),
        json!([]),
        json!(["Torch", 990]),
        json!({ "name": "Torch" }),
        json!({ "name": "", "price_cents": 990 }),
        json!({ "name": " ", "price_cents": 990 }),
        json!({ "name": "x".repeat(201), "price_cents": 990 }),
        json!({ "name": "Torch", "price_cents": -1 }),
        json!({ "name": "Torch", "price_cents": 9.5 }),
        json!({ "name": "Torch", "price_cents": 100_000_001 }),
        json!({ "name": "Torch", "price_cents": 990, "id": "2" }),
    ] {
        put(&app, ONE, &body).await.problem(400);
    }
    put(&app, "/api/products/4", &good).await.problem(404);
    put(&app, ONE, &json!({ "name": "x".repeat(9000), "price_cents": 1 })).await.problem(413);
    let send = async |kind: &str, body: &str| {
        let request = app.request(ONE).method(Method::PUT).header("content-type", kind);
        app.send(request, body.to_owned()).await
    };
    send("application/json", "{").await.problem(400);
    send("text/plain", &good.to_string()).await.problem(415);
    assert_eq!(put(&app, LIST, &good).await.status, 405);
    assert!(hit(&app, LIST).await, "what failed made nothing invalid");
}

#[tokio::test]
async fn another_sites_page_neither_changes_nor_purges() {
    let app = App::start(&[]).await;
    let (browser, program) = login(&app, ADMIN).await;
    fill(&app, &[LIST]).await;
    let send =
        async |method: Method, path: &str, client: &Client, site: (&str, &str), body: Value| {
            let request = client.sign(app.request(path).method(method)).header(site.0, site.1);
            let request = request.header("content-type", "application/json");
            app.send(request, body.to_string()).await
        };
    let (change, all) =
        (json!({ "name": "Torch", "price_cents": 1 }), json!({ "everything": true }));
    for site in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let changed = send(Method::PUT, ONE, &browser, site, change.clone()).await;
        assert_eq!(changed.problem(403)["title"], "the request comes from another site");
        send(Method::POST, PURGE, &browser, site, all.clone()).await.problem(403);
        assert!(hit(&app, LIST).await);
    }
    let evil = ("origin", "https://evil.example");
    let shown = send(Method::POST, PURGE, &program, evil, all.clone()).await;
    assert_eq!(shown.status, 204, "a token that is shown is nobody's cookie");
    let own = send(Method::POST, PURGE, &browser, ("sec-fetch-site", "same-origin"), all).await;
    assert_eq!(own.status, 204);
}
