//! Whom a request counts for.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use tower_keep_core::{PeerAddr, Principal, RouteTemplate, TenantId, TrustedProxies};
use tower_keep_rate_limit::{Mode, OnUnidentified, RateLimitOutcome, Rule, Scope};

use super::{Ask, Limited, MINUTE, get, per_tenant, principal, still, with};

fn socket(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 4711)
}

fn from(ip: &str) -> Ask {
    with(PeerAddr(socket(ip)))
}

fn by_axum(ip: &str) -> Ask {
    with(ConnectInfo(socket(ip)))
}

fn forwarded(peer: &str, lines: &[&str]) -> Ask {
    let mut request = from(peer);
    for line in lines {
        request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
    }
    request
}

fn per_user(limit: u64) -> Rule {
    Rule::per_user(limit, MINUTE)
}

/// None of these requests counts with any other of them: each is admitted although the limit is 1,
/// and no more.
async fn each_counts_alone(scope: Scope, requests: Vec<Ask>) {
    let limited = Limited::new(still().rule(Rule::per(scope, 1, MINUTE)));
    for status in [200, 429] {
        for (index, request) in requests.iter().enumerate() {
            assert_eq!(limited.ask(request.clone()).await.status, status, "number {index}");
        }
    }
}

#[tokio::test]
async fn tenants_users_and_endpoints_never_share() {
    let on = |tenant, user, template| {
        let mut request = with(principal(tenant, user));
        request.extensions_mut().insert(RouteTemplate::new(template));
        request
    };
    each_counts_alone(
        Scope::tenant().user().endpoint(),
        vec![
            on("acme", "1", "/a"),
            on("acme", "2", "/a"),
            on("acme", "1", "/b"),
            on("other", "1", "/a"),
            // Names that would run into each other if keys were only joined.
            on("a:b", "c", "/d"),
            on("a", "b:c", "/d"),
            on("a%3Ab", "c", "/d"),
            on("{a}", "b", "/d"),
            on("*", "*", "*"),
            on("~none", "~none", "~unmatched"),
            with(principal("~none", "~none")),
            get("/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_wider_scope_counts_its_parts_together() {
    let users = || [with(principal("acme", "1")), with(principal("acme", "2"))];
    assert!(Limited::new(still().rule(per_tenant(2))).count_together(users()).await);
    let limited = Limited::new(still().rule(Rule::per_endpoint(2, MINUTE)));
    assert!(limited.count_together(users()).await);
    let other = Principal::new(TenantId::new("other").unwrap());
    assert_eq!(limited.ask(with(other)).await.status, 200, "another tenant's");
}

#[tokio::test]
async fn a_user_counts_wherever_they_are_and_nobody_counts_by_address() {
    let user_at = |ip| {
        let mut request = from(ip);
        request.extensions_mut().insert(principal("acme", "1"));
        request
    };
    let limited = Limited::new(still().rule(per_user(2)));
    assert!(limited.count_together([user_at("192.0.2.1"), user_at("192.0.2.2")]).await);

    each_counts_alone(
        Scope::tenant().user(),
        vec![
            user_at("192.0.2.1"),
            from("192.0.2.1"),
            from("192.0.2.2"),
            from("2001:db8:0:1::1"),
            from("2001:db8:0:2::1"),
            get("/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_address_scope_counts_users_at_one_address_together() {
    let at = |tenant, user| {
        let mut request = from("192.0.2.1");
        request.extensions_mut().insert(principal(tenant, user));
        request
    };
    let limited = Limited::new(still().rule(Rule::per_address(2, MINUTE)));
    assert!(limited.count_together([at("acme", "1"), at("acme", "2")]).await);
    assert_eq!(limited.ask(at("other", "1")).await.status, 200, "the tenant is in every scope");
}

#[tokio::test]
async fn the_same_client_in_other_clothes_is_the_same_client() {
    for requests in [
        vec![from("192.0.2.1"), by_axum("192.0.2.1"), from("::ffff:192.0.2.1")],
        vec![from("2001:db8::1"), from("2001:db8::ffff:1:2:3"), by_axum("2001:db8::2")],
    ] {
        let limit = requests.len() as u64;
        for rule in [per_user(limit), Rule::per_address(limit, MINUTE)] {
            assert!(Limited::new(still().rule(rule)).count_together(requests.clone()).await);
        }
    }
}

#[tokio::test]
async fn peer_addr_wins_over_connect_info() {
    let mut both = from("192.0.2.1");
    both.extensions_mut().insert(ConnectInfo(socket("192.0.2.2")));
    let limited = Limited::new(still().rule(per_user(1)));
    let asked = [both, from("192.0.2.1"), by_axum("192.0.2.2")];
    assert_eq!(limited.statuses(asked).await, [200, 429, 200]);
}

#[tokio::test]
async fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
    let limited = |limit| {
        let proxies: TrustedProxies = "10.0.0.0/8, fd00::/8".parse().unwrap();
        Limited::new(still().rule(per_user(limit)).trusted_proxies(proxies))
    };
    let one_client = [
        from("198.51.100.7"),
        forwarded("10.0.0.1", &["198.51.100.7"]),
        forwarded("10.0.0.1", &["203.0.113.9, 198.51.100.7"]),
        forwarded("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.2.3.4"]),
        forwarded("10.0.0.1", &["203.0.113.9", "198.51.100.7", "10.2.3.4"]),
        forwarded("::ffff:10.0.0.1", &["198.51.100.7:4711"]),
        forwarded("fd00::1", &["::ffff:198.51.100.7"]),
        // Who is no proxy may claim what they want.
        forwarded("198.51.100.7", &["203.0.113.1"]),
        forwarded("198.51.100.7", &["203.0.113.2"]),
    ];
    assert!(limited(9).count_together(one_client).await);
    let one_network = [
        forwarded("10.0.0.1", &["2001:db8::1"]),
        forwarded("10.0.0.1", &["[2001:db8::2]:4711"]),
        from("2001:db8::3"),
    ];
    assert!(limited(3).count_together(one_network).await);
    // What a proxy wrote and is no address ends there: at the proxy.
    let at_the_proxy = [from("10.0.0.1"), forwarded("10.0.0.1", &["203.0.113.9, unknown"]), {
        let mut other = from("10.0.0.1");
        other.headers_mut().insert("forwarded", "for=203.0.113.9".parse().unwrap());
        other
    }];
    assert!(limited(3).count_together(at_the_proxy).await);
}

#[tokio::test]
async fn without_trusted_proxies_the_forwarding_header_is_ignored() {
    let limited = Limited::new(still().rule(per_user(2)));
    let asked = [forwarded("10.0.0.1", &["203.0.113.1"]), forwarded("10.0.0.1", &["203.0.113.2"])];
    assert!(limited.count_together(asked).await);
}

#[tokio::test]
async fn the_unidentified_count_together() {
    let asked = || [get("/a"), get("/b")];
    assert!(Limited::new(still().rule(per_user(2))).count_together(asked()).await);
    let per_address = Rule::per_address(2, MINUTE);
    assert!(Limited::new(still().rule(per_address)).count_together(asked()).await);
}

#[tokio::test]
async fn or_the_unidentified_are_refused() {
    let limited = Limited::new(still().rule(per_user(1)).on_unidentified(OnUnidentified::Reject));
    for _ in 0..2 {
        let refused = limited.get().await;
        refused.problem(403);
        assert_eq!(refused.outcome, Some(RateLimitOutcome::Unidentified));
        assert_eq!(refused.header("ratelimit"), None);
    }
    let mut grpc = get("/");
    grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(limited.ask(grpc).await.header("grpc-status"), Some("7"));
    // A user or an address is enough.
    let known = [from("192.0.2.1"), with(principal("acme", "1"))];
    assert_eq!(limited.statuses(known).await, [200, 200]);
    // And who is counted by neither need not tell it.
    let per_tenant = still().rule(per_tenant(1)).on_unidentified(OnUnidentified::Reject);
    assert_eq!(Limited::new(per_tenant).get().await.status, 200);
}

/// A user is nothing to a rule that counts by address: without one all of a tenant's would share a
/// counter.
#[tokio::test]
async fn a_user_without_an_address_is_unidentified_where_addresses_count() {
    let builder = || still().rule(Rule::per_address(2, MINUTE)).rule(per_user(1));
    let users = || [with(principal("acme", "1")), with(principal("acme", "2"))];
    let limited = Limited::new(builder().on_unidentified(OnUnidentified::Reject));
    for request in users() {
        let refused = limited.ask(request).await;
        refused.problem(403);
        assert_eq!(refused.outcome, Some(RateLimitOutcome::Unidentified));
    }
    let mut at_an_address = from("192.0.2.1");
    at_an_address.extensions_mut().insert(principal("acme", "1"));
    assert_eq!(limited.ask(at_an_address).await.status, 200, "it counted nothing before");
    let watched = Rule::per_address(1, MINUTE).mode(Mode::Shadow);
    let builder = still().rule(watched).rule(per_user(1));
    let limited = Limited::new(builder.on_unidentified(OnUnidentified::Reject));
    assert_eq!(
        limited.statuses(users()).await,
        [200, 200],
        "a rule that is watched refuses nobody"
    );
    let limited = Limited::new(still().rule(Rule::per_address(2, MINUTE)));
    assert!(limited.count_together(users()).await, "as the default says");
}
