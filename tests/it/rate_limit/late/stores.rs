//! The same over Redis and Valkey, alone and as a cluster.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_keep_core::{CostUnit, LateCost};
use tower_keep_rate_limit::{Algorithm, RateLimitDecision, RateLimitLayer, Rule};
use tower_keep_tests::wait_until;

use super::{ALGORITHMS, ESTIMATE, LIMIT, Parts, Tell, YEAR, service};
use crate::{
    limit_store::site::{Kind, Site},
    rate_limit::{get, principal},
};

const TOKENS: CostUnit = CostUnit::TOKENS;
const PATIENT: Duration = Duration::from_secs(20);

/// One request of this tenant; its body is read or dropped.
async fn request(layer: &RateLimitLayer, tenant: &str, read: bool, tell: impl Tell) -> u64 {
    let mut request = get("/");
    request.extensions_mut().insert(principal(tenant, "1"));
    let answer = service(layer, Parts::some(), tell).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let decision = answer.extensions().get::<RateLimitDecision>().unwrap().clone();
    if read {
        answer.into_body().collect().await.unwrap();
    }
    LIMIT - decision.rules[0].remaining
}

/// A settlement goes on by itself, so the total is looked at until it is there. A look costs
/// nothing, because it is settled to that.
async fn comes_to(layer: &RateLimitLayer, tenant: &str, total: u64) -> bool {
    let free = |cost: Option<LateCost>| cost.unwrap().settle(TOKENS, 0);
    wait_until(PATIENT, || async { request(layer, tenant, true, free).await == total + ESTIMATE })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn late_costs_are_settled_on_every_server() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let keep = site.keep().await;
        for algorithm in ALGORITHMS {
            let rule = super::rule(algorithm, TOKENS).named(format!("{algorithm:?}"));
            let layer = keep.rate_limit().rule(rule).expose_decision(true).build().unwrap();
            for (case, read, told, total) in [
                ("more", true, Some(500), 500),
                ("less", true, Some(3), 3),
                ("nothing", true, Some(0), 0),
                ("untold", true, None, ESTIMATE),
                ("dropped-less", false, Some(3), ESTIMATE),
                ("dropped-more", false, Some(60), 60),
                ("dropped-untold", false, None, ESTIMATE),
            ] {
                let tenant = format!("{case}-{algorithm:?}");
                let tell = |cost: Option<LateCost>| {
                    let cost = cost.unwrap();
                    told.inspect(|told| cost.add(TOKENS, *told));
                };
                assert_eq!(request(&layer, &tenant, read, tell).await, ESTIMATE);
                assert!(comes_to(&layer, &tenant, total).await, "{} {tenant}", kind.name());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_of_another_window_changes_nothing_on_a_server() {
    const WINDOW: Duration = Duration::from_millis(300);
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let keep = site.keep().await;
        let rule = Rule::per_tenant(LIMIT, WINDOW).cost(|_| ESTIMATE).late(TOKENS);
        let layer = keep.rate_limit().rule(rule).expose_decision(true).build().unwrap();
        let tell = |cost: Option<LateCost>| cost.unwrap().add(TOKENS, 500);
        let mut begun = get("/");
        begun.extensions_mut().insert(principal("acme", "1"));
        let answer = service(&layer, Parts::some(), tell).oneshot(begun).await.unwrap();
        tokio::time::sleep(WINDOW + Duration::from_millis(20)).await;
        // The window after has a year, so that it does not end before it is looked at.
        let rule = Rule::per_tenant(LIMIT, YEAR).cost(|_| ESTIMATE).late(TOKENS);
        let key = site.key("ratelimit:{acme}:*:*:tenant");
        site.command(&["DEL", &key]).await;
        layer.reload_rules([rule]).unwrap();
        assert_eq!(request(&layer, "acme", true, |_| ()).await, ESTIMATE);
        answer.into_body().collect().await.unwrap();
        // Settlements keep their order on one connection: this one is seen after the other.
        assert!(comes_to(&layer, "acme", ESTIMATE).await);
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(comes_to(&layer, "acme", ESTIMATE).await, "changed the next window");
        }
    }
}

/// Many answers at once end all in different ways, and the sum is exact.
#[tokio::test(flavor = "multi_thread")]
async fn many_answers_at_once_add_up() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let keep = site.keep().await;
        let rule = Rule::per_tenant(1_000_000, YEAR).cost(|_| ESTIMATE).late(TOKENS);
        let rule = rule.algorithm(Algorithm::SlidingWindow);
        let layer = keep.rate_limit().rule(rule).expose_decision(true).build().unwrap();
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..200 {
            let layer = layer.clone();
            requests.spawn(async move {
                let mut request = get("/");
                request.extensions_mut().insert(principal("acme", "1"));
                let tell = move |cost: Option<LateCost>| cost.unwrap().add(TOKENS, number);
                let answer = service(&layer, Parts::some(), tell).oneshot(request).await.unwrap();
                if number % 2 == 0 {
                    answer.into_body().collect().await.unwrap();
                }
            });
        }
        requests.join_all().await;
        let odd =
            |number: u64| if number.is_multiple_of(2) { number } else { number.max(ESTIMATE) };
        let expected: u64 = (0..200).map(odd).sum();
        let key = site.key("ratelimit:{acme}:*:*:tenant");
        let counted = || async {
            let value = site.command(&["GET", &key]).await.text();
            value.split(' ').next().unwrap().parse::<u64>().unwrap() == expected
        };
        assert!(wait_until(PATIENT, counted).await, "not {expected}: {}", kind.name());
    }
}
