//! Who is let in uncounted, and who is not let in at all.

use std::net::SocketAddr;

use http::Method;
use tower_keep_core::{PeerAddr, TenantId, UserId};
use tower_keep_rate_limit::{AccessList, RateLimitLayer, RateLimitOutcome, Rule};

use super::{
    Ask, Limited, MINUTE, Reply, get, per_tenant, principal, still,
    told::{Say, Told},
    with,
};

fn from(ip: &str) -> Ask {
    with(PeerAddr(SocketAddr::new(ip.parse().unwrap(), 4711)))
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Lists of every kind of caller.
fn list(which: &str) -> AccessList {
    AccessList::new()
        .tenant(tenant(&format!("{which}-tenant")))
        .user(tenant("acme"), UserId::new(which).unwrap())
        .network(if which == "friend" { "192.0.2.0/24" } else { "198.51.100.0/24" })
}

/// Those who are on it.
fn listed(which: &str) -> [Ask; 3] {
    let ip = if which == "friend" { "192.0.2.200" } else { "198.51.100.7" };
    [with(principal(&format!("{which}-tenant"), "1")), with(principal("acme", which)), from(ip)]
}

fn is_refused(reply: &Reply) {
    reply.problem(403);
    assert_eq!(reply.outcome, Some(RateLimitOutcome::Refused));
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
    assert_eq!(reply.header("retry-after"), None, "there is no time to come back at");
}

fn is_exempt(reply: &Reply) {
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"inner"[..]));
    assert_eq!(reply.outcome, Some(RateLimitOutcome::Exempt));
    let told = reply.headers.keys().find(|name| name.as_str().contains("ratelimit"));
    assert_eq!(told, None);
}

#[tokio::test]
async fn who_is_allowed_passes_uncounted_and_untold() {
    for limit in [0, 1] {
        let store = Told::new(Say::Deny);
        let builder = RateLimitLayer::builder().store(store.clone()).allow(list("friend"));
        let limited = Limited::new(builder.rule(per_tenant(limit)).legacy_headers(true));
        for request in listed("friend").into_iter().chain(listed("friend")) {
            is_exempt(&limited.ask(request).await);
        }
        assert!(store.asked().is_empty());
        for request in [get("/"), with(principal("acme", "other")), from("192.0.3.1")] {
            assert_eq!(limited.ask(request).await.status, 429);
        }
    }
}

#[tokio::test]
async fn who_is_denied_is_refused_before_anything_is_counted() {
    let store = Told::new(Say::Allow);
    let builder = RateLimitLayer::builder().store(store.clone()).deny(list("foe"));
    let limited = Limited::new(builder.rule(per_tenant(9)).legacy_headers(true));
    for request in listed("foe") {
        is_refused(&limited.ask(request).await);
    }
    for mut request in listed("foe") {
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let reply = limited.ask(request).await;
        assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, Some("7")));
    }
    assert!(store.asked().is_empty());
    for request in [get("/"), with(principal("other", "foe")), from("198.51.101.7")] {
        assert_eq!(limited.ask(request).await.status, 200);
    }
}

#[tokio::test]
async fn who_is_denied_is_refused_even_what_is_skipped() {
    let builder = still().rule(per_tenant(1)).deny(list("foe"));
    let limited = Limited::new(builder.skip(|head| head.uri.path() == "/status"));
    let preflight = |mut request: Ask| {
        *request.method_mut() = Method::OPTIONS;
        request
    };
    let status = |mut request: Ask| {
        *request.uri_mut() = "/status".parse().unwrap();
        request
    };
    let health = |mut request: Ask| {
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        request
    };
    for foe in listed("foe") {
        is_refused(&limited.ask(preflight(foe.clone())).await);
        is_refused(&limited.ask(status(foe.clone())).await);
        assert_eq!(limited.ask(health(foe)).await.header("grpc-status"), Some("7"));
    }
    for make in [&preflight as &dyn Fn(Ask) -> Ask, &status, &health] {
        for _ in 0..2 {
            let reply = limited.ask(make(with(principal("acme", "1")))).await;
            assert_eq!(reply.outcome, Some(RateLimitOutcome::Skipped));
        }
    }
}

#[tokio::test]
async fn who_is_on_both_lists_is_refused() {
    let both = |which| list(which).network("2001:db8::/32");
    let limited = Limited::new(still().rule(per_tenant(1)).allow(both("friend")).deny(both("foe")));
    is_refused(&limited.ask(from("2001:db8::7")).await);
    is_exempt(&limited.ask(listed("friend")[0].clone()).await);
}

#[tokio::test]
async fn lists_are_exchanged_for_all_services_of_the_layer() {
    let limited = Limited::new(still().rule(Rule::per_user(1, MINUTE)).deny(list("foe")));
    let [foe, ..] = listed("foe");
    let [friend, ..] = listed("friend");
    is_refused(&limited.ask(foe.clone()).await);
    assert_eq!(limited.statuses([friend.clone(), friend.clone()]).await, [200, 429]);

    let other = limited.layer.clone();
    other.reload_lists(list("friend"), AccessList::new()).unwrap();
    is_exempt(&limited.ask(friend.clone()).await);
    assert_eq!(limited.statuses([foe.clone(), foe.clone()]).await, [200, 429], "counted now");

    for (allow, deny, name) in [
        (AccessList::new().network("10.0.0.0/33"), AccessList::new(), "allow"),
        (AccessList::new(), AccessList::new().network("nonsense"), "deny"),
    ] {
        let error = other.reload_lists(allow.clone(), deny.clone()).unwrap_err();
        assert_eq!(error.problems()[0].name, name);
        assert!(still().rule(per_tenant(1)).allow(allow).deny(deny).build().is_err());
    }
    is_exempt(&limited.ask(friend.clone()).await);

    other.reload_lists(AccessList::new(), list("friend")).unwrap();
    is_refused(&limited.ask(friend).await);
    // Rules and lists are exchanged apart from each other.
    other.reload_rules([Rule::per_user(2, MINUTE)]).unwrap();
    assert_eq!(limited.statuses([foe.clone(), foe]).await, [200, 429]);
}
