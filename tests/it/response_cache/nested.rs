//! Layers inside of routers that are nested: what is kept is kept for the whole path.

use axum::{
    Router,
    body::{Body, to_bytes},
    routing::get,
};
use http::{Method, Request, header::CACHE_CONTROL};
use tower::ServiceExt as _;
use tower_keep::{Config, Keep, Selection, TenantId};

/// Two versions of one API, each with its own layer before its routes, on one store.
fn versions(keep: &Keep) -> Router {
    let version = |name: &'static str| {
        let page = async move || ([(CACHE_CONTROL, "max-age=600")], name);
        let changed = async move || [("location", format!("/{name}/first"))];
        let inner = Router::new().route("/", get(page)).route("/first", get(page));
        let inner = inner.route("/items", get(page).post(changed));
        inner.layer(keep.response_cache().build().unwrap())
    };
    let deeper = Router::new().nest("/v3", version("api/v3"));
    Router::new().nest("/v1", version("v1")).nest("/v2", version("v2")).nest("/api", deeper)
}

async fn ask(app: &Router, method: Method, path: &str) -> (bool, String) {
    let request = Request::builder().method(method).uri(path).header("host", "a");
    let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{path}");
    let hit = answer.headers()["cache-status"].to_str().unwrap().contains("; hit");
    let body = to_bytes(answer.into_body(), 100).await.unwrap();
    (hit, String::from_utf8(body.to_vec()).unwrap())
}

const TARGETS: [(&str, &str); 8] = [
    ("/v1/items", "v1"),
    ("/v2/items", "v2"),
    ("/api/v3/items", "api/v3"),
    ("/v1/first", "v1"),
    ("/v2/first", "v2"),
    ("/v1", "v1"),
    ("/v2", "v2"),
    ("/api/v3", "api/v3"),
];

async fn is_kept(app: &Router, path: &str) -> bool {
    ask(app, Method::GET, path).await.0
}

#[tokio::test]
async fn nested_routers_do_not_answer_for_each_other() {
    let keep = Keep::new(Config::from_lookup(|_| None).unwrap()).unwrap();
    let app = versions(&keep);
    for hit in [false, true] {
        for (path, name) in TARGETS {
            assert_eq!(ask(&app, Method::GET, path).await, (hit, name.to_owned()), "{path}");
        }
    }
    // A change and what it names in `Location` are of the same version.
    ask(&app, Method::POST, "/v1/items").await;
    for path in ["/v1/items", "/v1/first"] {
        assert!(!is_kept(&app, path).await, "{path}");
    }
    for path in ["/v2/items", "/v2/first", "/api/v3/items"] {
        assert!(is_kept(&app, path).await, "{path}");
    }
    // So are purges, which name the whole path.
    let responses = keep.response_cache().build().unwrap().responses();
    for (selection, path) in [
        (Selection::new().path("/v1/items"), "/v1/items"),
        (Selection::new().url("http://a/v2/items"), "/v2/items"),
        (Selection::new().path("/api/v3"), "/api/v3"),
    ] {
        responses.purge(&TenantId::NONE, &selection).await.unwrap();
        for (other, _) in TARGETS {
            assert_eq!(is_kept(&app, other).await, other != path, "{other}, {path}");
        }
    }
}
