//! Limits that differ by tenant, and change while they count.

use std::sync::{Arc, Mutex};

use tower_keep_core::TenantId;
use tower_keep_rate_limit::{Algorithm, Mode, Quota, RateLimitLayer, RateLimitOutcome, Rule};

use super::{
    Ask, Limited, MINUTE, clock,
    fields::{item, items, policy},
    on, per_tenant, principal, still,
    told::{Say, Told},
    with,
};

/// What `acme` has in place of the limit of the rule `tenant`.
type Plan = Arc<Mutex<Option<Quota>>>;

fn limited(rule: Rule, plan: &Plan) -> Limited {
    let plan = Arc::clone(plan);
    Limited::new(still().rule(rule).plans(move |tenant: &TenantId, rule: &str| {
        let plan = *plan.lock().unwrap();
        plan.filter(|_| tenant.as_str() == "acme" && rule == "tenant")
    }))
}

fn acme() -> Ask {
    with(principal("acme", "1"))
}

fn other() -> Ask {
    with(principal("other", "1"))
}

#[tokio::test]
async fn a_plan_is_its_tenants_alone_and_changes_at_once_and_keeps_counters() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra] {
        let plan = Plan::default();
        let limited = limited(per_tenant(2).algorithm(algorithm), &plan);
        let ask = async |quota: Option<u64>, count: usize| {
            *plan.lock().unwrap() = quota.map(Quota::new);
            limited.statuses((0..count).map(|_| acme())).await
        };
        assert_eq!(ask(None, 3).await, [200, 200, 429], "its own limit");
        if algorithm == Algorithm::Gcra {
            // Raised, the rate is higher and what was counted weighs less; but it weighs.
            assert_eq!(ask(Some(1), 1).await, [429]);
            assert_eq!(ask(Some(0), 2).await, [429, 429]);
            continue;
        }
        assert_eq!(
            ask(Some(4), 3).await,
            [200, 200, 429],
            "raised, it admits at once: {algorithm:?}"
        );
        assert_eq!(ask(Some(3), 1).await, [429], "lowered, it counts what was counted");
        assert_eq!(ask(Some(0), 2).await, [429, 429]);
        assert_eq!(ask(Some(6), 3).await, [200, 200, 429], "what was counted under 0 and before");
        assert_eq!(ask(None, 1).await, [429]);
        let statuses = limited.statuses([other(), other(), other()]).await;
        assert_eq!(statuses, [200, 200, 429], "another tenant has the rule's own");
    }
}

#[tokio::test]
async fn the_fields_tell_the_plans_limit() {
    let plan: Plan = Arc::new(Mutex::new(Some(Quota::new(7))));
    let limited = limited(per_tenant(2), &plan);
    let reply = limited.ask(acme()).await;
    assert_eq!(policy(&reply), [item("tenant", &[("q", 7), ("w", 60)])]);
    assert_eq!(items(&reply.headers, "ratelimit"), [item("tenant", &[("r", 6), ("t", 60)])]);
    let reply = limited.ask(other()).await;
    assert_eq!(policy(&reply), [item("tenant", &[("q", 2), ("w", 60)])]);

    *plan.lock().unwrap() = Some(Quota::new(0));
    let denied = limited.ask(acme()).await;
    assert_eq!(policy(&denied), [item("tenant", &[("q", 0), ("w", 60)])]);
    assert_eq!(items(&denied.headers, "ratelimit"), [item("tenant", &[("r", 0)])]);
    assert_eq!((denied.violated(), denied.header("retry-after")), (vec!["tenant".into()], None));
}

#[tokio::test]
async fn rules_without_a_plan_keep_theirs_beside_one_that_has() {
    let plan: Plan = Arc::new(Mutex::new(Some(Quota::new(3))));
    let plans = move |_: &TenantId, rule: &str| {
        plan.lock().unwrap().filter(|_| rule == "tenant" || rule == "watched")
    };
    let hidden = per_tenant(50).named("secret").hidden();
    let watched = per_tenant(1).named("watched").mode(Mode::Shadow);
    let builder = still().rule(per_tenant(9)).rule(Rule::per_user(2, MINUTE)).rule(hidden);
    let limited = Limited::new(builder.rule(watched).plans(plans));
    let reply = limited.ask(acme()).await;
    let told = [item("tenant", &[("q", 3), ("w", 60)]), item("user", &[("q", 2), ("w", 60)])];
    assert_eq!(policy(&reply), told, "hidden and watched rules are told under no plan either");
    assert_eq!(limited.statuses([acme(), acme()]).await, [200, 429]);
}

#[tokio::test]
async fn a_plan_without_a_limit_is_not_counted() {
    let store = Told::new(Say::Deny);
    let plans = |tenant: &TenantId, rule: &str| {
        let is_free = tenant.as_str() == "acme" && rule != "user";
        is_free.then(Quota::unlimited)
    };
    let builder = RateLimitLayer::builder().store(store.clone()).plans(plans);
    let limited = Limited::new(builder.rule(per_tenant(0)).rule(per_tenant(1).named("second")));
    let free = limited.ask(acme()).await;
    assert_eq!((free.status.as_u16(), free.outcome), (200, Some(RateLimitOutcome::Skipped)));
    assert_eq!((free.header("ratelimit"), free.header("ratelimit-policy")), (None, None));
    assert!(store.asked().is_empty(), "no store is asked");
    assert_eq!(limited.ask(other()).await.status, 429);

    let limited =
        Limited::new(still().plans(plans).rule(per_tenant(0)).rule(Rule::per_user(1, MINUTE)));
    let counted = limited.ask(acme()).await;
    assert_eq!(policy(&counted), [item("user", &[("q", 1), ("w", 60)])], "the other rule counts");
    assert_eq!(limited.ask(acme()).await.violated(), ["user"]);
}

#[tokio::test]
async fn a_plan_of_gcra_tells_what_it_admits() {
    let rule = per_tenant(60).algorithm(Algorithm::Gcra);
    let limited =
        Limited::new(still().rule(rule).plans(|_: &TenantId, _: &str| Some(Quota::new(u64::MAX))));
    let reply = limited.ask(acme()).await;
    assert_eq!(policy(&reply), [item("tenant", &[("q", 6_000_000), ("w", 60)])]);
}

#[tokio::test]
async fn a_plan_of_gcra_has_a_burst_of_its_own() {
    let clock = clock();
    let rule = per_tenant(60).algorithm(Algorithm::Gcra).burst(2);
    let limited = Limited::new(on(&clock).rule(rule).plans(|tenant: &TenantId, _: &str| {
        (tenant.as_str() == "acme").then(|| Quota::new(600).with_burst(5))
    }));
    assert_eq!(limited.statuses((0..6).map(|_| acme())).await, [200, 200, 200, 200, 200, 429]);
    assert_eq!(limited.statuses((0..3).map(|_| other())).await, [200, 200, 429]);
    clock.advance(std::time::Duration::from_millis(100));
    assert_eq!(limited.statuses([acme(), acme(), other()]).await, [200, 429, 429]);
}
