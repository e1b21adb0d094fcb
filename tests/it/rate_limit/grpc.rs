//! Which endpoints gRPC calls count for, and how many there can be.

use http::Request;
use tower_keep_core::RouteTemplate;
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule};

use super::{
    Ask, Body, Limited, MINUTE, get, principal, still,
    told::{Say, Told},
};

fn call(tenant: &str, path: &str) -> Ask {
    let request = Request::post(path).header("content-type", "application/grpc+proto");
    let mut request = request.body(Body::default()).unwrap();
    request.extensions_mut().insert(principal(tenant, "1"));
    request
}

/// The endpoints that these calls count for, in order.
async fn endpoints(
    change: impl FnOnce(RateLimitLayerBuilder) -> RateLimitLayerBuilder,
    calls: impl IntoIterator<Item = Ask>,
) -> Vec<String> {
    let store = Told::later(Say::Allow);
    let builder = RateLimitLayer::builder().store(store.clone());
    let limited = Limited::new(change(builder.rule(Rule::per_endpoint(9, MINUTE))));
    limited.statuses(calls).await;
    let part = |key: String| key.split(':').nth(3).unwrap().to_owned();
    store.asked().concat().into_iter().map(part).collect()
}

#[tokio::test]
async fn only_listed_methods_are_endpoints() {
    let mut routed = call("acme", "/shop.Orders/Place");
    routed.extensions_mut().insert(RouteTemplate::new("/told"));
    let calls = [
        call("acme", "/shop.Orders/Place"),
        call("other", "/shop.Orders/Place"),
        call("acme", "/shop.Orders/Cancel"),
        call("acme", "/shop.Orders/place"),
        call("acme", "/random/1"),
        get("/shop.Orders/Place"),
        routed,
    ];
    let listed = |builder: RateLimitLayerBuilder| builder.grpc_methods(["/shop.Orders/Place"]);
    let place = "/shop.Orders/Place";
    let none = "~unmatched";
    assert_eq!(
        endpoints(listed, calls.clone()).await,
        [place, place, none, none, none, none, "/told"]
    );
    let all = endpoints(|builder| builder, calls).await;
    assert_eq!(all, [none, none, none, none, none, none, "/told"], "by default none is");
}

#[tokio::test]
async fn a_tenants_endpoints_are_bounded_and_the_rest_count_together() {
    let paths = ["/a/A", "/a/B", "/a/A", "/a/C", "/a/D", "/a/B"];
    let calls = paths.iter().map(|path| call("acme", path));
    let none = "~unmatched";
    let calls = calls.chain([call("other", "/a/D"), get("/a/A")]).collect::<Vec<_>>();
    let capped = |builder: RateLimitLayerBuilder| builder.grpc_methods_up_to(2);
    let expected = ["/a/A", "/a/B", "/a/A", none, none, "/a/B", "/a/D", none];
    assert_eq!(endpoints(capped, calls).await, expected);

    // A caller that makes up paths shares one counter, and has the limit as everybody.
    let builder = still().rule(Rule::per_endpoint(3, MINUTE)).grpc_methods_up_to(2);
    let limited = Limited::new(builder);
    let mut admitted = 0;
    for number in 0..50 {
        let reply = limited.ask(call("acme", &format!("/made.Up/{number}"))).await;
        admitted += u32::from(reply.header("grpc-status").is_none());
    }
    assert_eq!(admitted, 2 + 3, "two methods once each, and three of all others");
    assert_eq!(limited.ask(call("acme", "/made.Up/0")).await.header("grpc-status"), None);
}

#[tokio::test]
async fn a_list_and_a_number_are_not_both() {
    let builder = still().rule(Rule::per_endpoint(1, MINUTE)).grpc_methods(["/a.B/C"]);
    let error = builder.grpc_methods_up_to(3).build().unwrap_err();
    assert_eq!(error.problems()[0].name, "grpc_methods");
}
