//! The endpoint is the route's template, as axum tells it; the raw path never reaches a key.

use axum::{Router, routing::get};
use http::Request;
use tower::ServiceExt as _;
use tower_keep_core::RouteTemplate;
use tower_keep_rate_limit::{RateLimitLayer, Rule};

use super::{
    Limited, MINUTE,
    told::{Say, Told},
    with,
};

fn app(layer: RateLimitLayer) -> Router {
    let items = Router::new()
        .route("/items/{id}", get(async || "item").delete(async || "gone"))
        .route("/items", get(async || "items"));
    Router::new().merge(items.clone()).nest("/api/{version}", items).layer(layer)
}

async fn status(app: &Router, method: &str, path: &str) -> u16 {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(axum::body::Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn one_route_is_one_endpoint_whatever_its_parameters() {
    let rule = Rule::per_endpoint(2, MINUTE);
    let app = app(super::still().rule(rule).build().unwrap());
    for (method, path, expected) in [
        ("GET", "/items/1", 200),
        ("DELETE", "/items/2", 200),
        ("GET", "/items/3?x=4", 429),
        ("GET", "/items", 200),
        ("GET", "/api/v1/items/1", 200),
        ("GET", "/api/v2/items/2", 200),
        ("GET", "/api/v3/items/3", 429),
        ("GET", "/api/v1/items", 200),
        // What no route knows is one endpoint: an inventive caller cannot evade it.
        ("GET", "/unknown/1", 404),
        ("GET", "/unknown/2", 404),
        ("GET", "/other", 429),
        ("POST", "/items", 405),
        ("GET", "/items", 429),
    ] {
        assert_eq!(status(&app, method, path).await, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn keys_are_made_of_the_template() {
    let store = Told::new(Say::Allow);
    let builder = RateLimitLayer::builder().store(store.clone());
    let app = app(builder.rule(Rule::per_endpoint(9, MINUTE).named("default")).build().unwrap());
    for path in ["/items/secret", "/api/secret/items/secret?secret", "/secret", "/items/"] {
        status(&app, "GET", path).await;
    }
    assert_eq!(
        store.asked().concat(),
        [
            "ratelimit:~none:*:/items/%7Bid%7D",
            "ratelimit:~none:*:/api/%7Bversion%7D/items/%7Bid%7D",
            "ratelimit:~none:*:~unmatched",
            "ratelimit:~none:*:~unmatched",
        ]
    );
}

#[tokio::test]
async fn a_template_that_the_server_told_is_taken() {
    let limited = Limited::new(super::still().rule(Rule::per_endpoint(1, MINUTE)));
    let on = |template| with(RouteTemplate::new(template));
    let asked = [on("/a"), on("/b"), on("/a"), on(""), super::get("/")];
    assert_eq!(limited.statuses(asked).await, [200, 200, 429, 200, 429]);
}
