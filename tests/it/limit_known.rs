//! Callers who are known to be denied, and what is done to callers from beside: looked at, reset,
//! blocked. Two keeps on one server stand for two processes.

mod carried_out;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{
    BusState, Caller, Config, CostUnit, Keep, LateCost, Principal, RateLimitLayer,
    RateLimitOutcome, Rule, TenantId, UserId,
};
use tower_keep_tests::wait_until;

use crate::limit_store::site::{Kind, Site, request};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process whose bus is live.
async fn process(site: &Site) -> Keep {
    let mut config = Config::default();
    config.redis = Some(site.config());
    let keep = Keep::new(config).unwrap();
    keep.require_connection().await.unwrap();
    let _ = layer(&keep, Rule::per_user(1, HOUR).named("any"));
    is_live(&keep).await;
    keep
}

async fn is_live(keep: &Keep) {
    let bus = keep.bus().unwrap().unwrap();
    let live = || async { bus.state() == BusState::Live };
    assert!(wait_until(PATIENCE, live).await, "{:?}", bus.state());
}

fn layer(keep: &Keep, rule: Rule) -> RateLimitLayer {
    keep.rate_limit().rule(rule).expose_outcome(true).build().unwrap()
}

fn caller(tenant: &str, user: &str) -> Caller {
    let caller = Caller::tenant(TenantId::new(tenant).unwrap());
    if user.is_empty() { caller } else { caller.user(UserId::new(user).unwrap()) }
}

/// What a service behind the layer answers.
async fn answer(layer: &RateLimitLayer, request: Request<()>) -> Response<()> {
    let handler = |_: Request<()>| async { Ok::<Response<()>, Infallible>(Response::new(())) };
    layer.layer(service_fn(handler)).oneshot(request).await.unwrap().map(drop)
}

async fn outcome(layer: &RateLimitLayer, tenant: &str, user: &str) -> RateLimitOutcome {
    let response = answer(layer, request(tenant, user, "/x")).await;
    *response.extensions().get().unwrap()
}

/// Asks until this is what becomes of it.
async fn becomes(layer: &RateLimitLayer, tenant: &str, user: &str, expected: RateLimitOutcome) {
    let begun = Instant::now();
    loop {
        let outcome = outcome(layer, tenant, user).await;
        if outcome == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "still {outcome:?}, not {expected:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_reset_lets_in_at_once_wherever_the_denial_is_known() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let (one, other) = (process(&site).await, process(&site).await);
        let rule = || Rule::per_user(2, HOUR);
        let (here, there) = (layer(&one, rule()), layer(&other, rule()));
        for expected in [
            RateLimitOutcome::Allowed,
            RateLimitOutcome::Allowed,
            RateLimitOutcome::Denied,
            RateLimitOutcome::DeniedKnown,
            RateLimitOutcome::DeniedKnown,
        ] {
            assert_eq!(outcome(&here, "acme", "42").await, expected);
        }
        assert_eq!(outcome(&there, "acme", "42").await, RateLimitOutcome::Denied);
        assert_eq!(outcome(&there, "acme", "42").await, RateLimitOutcome::DeniedKnown);
        assert_eq!(outcome(&here, "acme", "43").await, RateLimitOutcome::Allowed, "another user");
        let caller = caller("acme", "42");
        assert_eq!(here.limits().peek(&caller).await.unwrap().rules[0].remaining, 0);
        here.limits().reset(&caller).await.unwrap();
        assert_eq!(here.limits().peek(&caller).await.unwrap().rules[0].remaining, 2);
        assert_eq!(outcome(&here, "acme", "42").await, RateLimitOutcome::Allowed, "its own");
        let begun = Instant::now();
        becomes(&there, "acme", "42", RateLimitOutcome::Allowed).await;
        println!("{}: let in by the other after {:?}", kind.name(), begun.elapsed());
    }
}

#[tokio::test]
async fn a_known_denial_ends_when_the_window_does() {
    const WINDOW: Duration = Duration::from_millis(700);
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let keep = process(&site).await;
        let layer = keep
            .rate_limit()
            .rule(Rule::per_user(1, WINDOW))
            .expose_outcome(true)
            .expose_decision(true)
            .build()
            .unwrap();
        let mut judged = 0;
        for _ in 0..50 {
            becomes(&layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
            let denied = answer(&layer, request("acme", "42", "/x")).await;
            if denied.status() != StatusCode::TOO_MANY_REQUESTS {
                // The window has ended between the two.
                continue;
            }
            let Some(decision) = denied.extensions().get::<tower_keep::RateLimitDecision>() else {
                panic!("no decision");
            };
            let told = decision.rules[0].wait;
            assert!(told.unwrap() <= WINDOW + Duration::from_millis(1), "{told:?}");
            assert_eq!(denied.headers()["retry-after"], "1");
            sleep(told.unwrap()).await;
            assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
            judged += 1;
            if judged == 3 {
                break;
            }
        }
        assert_eq!(judged, 3, "the window is always over at once");
    }
}

#[tokio::test]
async fn a_raised_limit_and_a_smaller_cost_are_asked_about() {
    let site = Site::start(Kind::SINGLE[0]).await;
    let keep = process(&site).await;
    let by_header = |limit| {
        Rule::per_user(limit, HOUR).cost(|head| if head.uri.path() == "/dear" { 4 } else { 1 })
    };
    let layer = layer(&keep, by_header(5));
    let dear = || {
        let mut request = request("acme", "42", "/x");
        *request.uri_mut() = "/dear".parse().unwrap();
        request
    };
    assert_eq!(answer(&layer, dear()).await.status(), StatusCode::OK);
    for _ in 0..3 {
        let denied = answer(&layer, dear()).await;
        assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(denied.headers()["ratelimit"].to_str().unwrap().split(';').nth(1), Some("r=1"));
    }
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed, "it costs less");
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Denied);
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::DeniedKnown);
    layer.reload_rules([by_header(6)]).unwrap();
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed, "one more");
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Denied);
}

/// What others say cannot be heard then.
#[tokio::test]
async fn nothing_is_believed_while_the_bus_is_lost() {
    let site = Site::start(Kind::SINGLE[0]).await;
    let keep = process(&site).await;
    let layer = layer(&keep, Rule::per_user(1, HOUR));
    becomes(&layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
    site.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    becomes(&layer, "acme", "42", RateLimitOutcome::Denied).await;
    is_live(&keep).await;
    becomes(&layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
}

/// What one request has reserved, and the answer to it, which settles nothing while it is kept.
async fn reserve(layer: &RateLimitLayer) -> (LateCost, Response<impl Sized>) {
    let reserved = Arc::new(Mutex::new(None));
    let note = Arc::clone(&reserved);
    let handler = service_fn(move |request: Request<()>| {
        *note.lock().unwrap() = LateCost::of(request.extensions()).cloned();
        std::future::ready(Ok::<Response<()>, Infallible>(Response::new(())))
    });
    let answer = layer.layer(handler).oneshot(request("acme", "42", "/x")).await.unwrap();
    let cost = reserved.lock().unwrap().take().expect("it is not admitted");
    (cost, answer)
}

/// They may have room again before they reset. Here the window never does.
#[tokio::test]
async fn callers_with_a_late_cost_are_known_for_a_moment_only() {
    let site = Site::start(Kind::SINGLE[0]).await;
    let (one, other) = (process(&site).await, process(&site).await);
    let rule = || Rule::per_user(2, HOUR).cost(|_| 2).late(CostUnit::TOKENS);
    let (here, there) = (layer(&one, rule()), layer(&other, rule()));
    let (cost, _answer) = reserve(&here).await;
    for layer in [&here, &there] {
        for _ in 0..2 {
            becomes(layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
            let denied = answer(layer, request("acme", "42", "/x")).await;
            let wait: u64 = denied.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(wait > 3000, "what is told is until the reset: {wait}");
            becomes(layer, "acme", "42", RateLimitOutcome::Denied).await;
        }
    }
    cost.settle(CostUnit::TOKENS, 0);
    let begun = Instant::now();
    becomes(&there, "acme", "42", RateLimitOutcome::Allowed).await;
    println!("let in by the other after {:?}", begun.elapsed());
}

/// Not even for that moment where the process knows that something came back.
#[tokio::test]
async fn a_settlement_lets_in_at_once_in_its_own_process() {
    /// As long as a denial is believed elsewhere.
    const MOMENT: Duration = Duration::from_millis(100);
    let site = Site::start(Kind::SINGLE[0]).await;
    let keep = process(&site).await;
    let layer = layer(&keep, Rule::per_user(2, HOUR).cost(|_| 2).late(CostUnit::TOKENS));
    // A busy machine may let the moment pass by.
    for _ in 0..50 {
        let (cost, _answer) = reserve(&layer).await;
        becomes(&layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
        becomes(&layer, "acme", "42", RateLimitOutcome::Denied).await;
        let denied = Instant::now();
        assert_ne!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
        cost.settle(CostUnit::TOKENS, 0);
        becomes(&layer, "acme", "42", RateLimitOutcome::Allowed).await;
        if denied.elapsed() < MOMENT / 2 {
            return;
        }
        layer.limits().reset(&caller("acme", "42")).await.unwrap();
    }
    panic!("it is never let in before the moment is over");
}

#[tokio::test]
async fn a_block_holds_everywhere_until_it_ends_or_is_ended() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let (one, other) = (process(&site).await, process(&site).await);
        let rule = || Rule::per_user(1000, HOUR);
        let (here, there) = (layer(&one, rule()), layer(&other, rule()));
        let somebody = Caller::of(
            &Principal::new(TenantId::new("acme").unwrap()).with_user(UserId::new("42").unwrap()),
        )
        .unwrap();
        here.limits().block(&somebody, Duration::from_secs(90)).await.unwrap();
        for layer in [&here, &there] {
            for _ in 0..3 {
                let refused = answer(layer, request("acme", "42", "/x")).await;
                assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
                assert_eq!(refused.extensions().get(), Some(&RateLimitOutcome::Blocked));
                let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((60..=91).contains(&wait), "{wait}");
                assert!(!refused.headers().contains_key("ratelimit"));
            }
            assert_eq!(outcome(layer, "acme", "43").await, RateLimitOutcome::Allowed);
            let left = layer.limits().peek(&somebody).await.unwrap();
            assert!(left.blocked_for.unwrap() > Duration::from_secs(80));
            assert_eq!(left.rules[0].remaining, 1000, "nothing is counted");
        }
        // A process that starts later knows it too.
        let third = layer(&process(&site).await, rule());
        assert_eq!(outcome(&third, "acme", "42").await, RateLimitOutcome::Blocked);

        here.limits().unblock(&somebody).await.unwrap();
        assert_eq!(outcome(&here, "acme", "42").await, RateLimitOutcome::Allowed);
        becomes(&there, "acme", "42", RateLimitOutcome::Allowed).await;

        let tenant = caller("acme", "");
        there.limits().block(&tenant, Duration::from_secs(3)).await.unwrap();
        assert_eq!(outcome(&here, "acme", "43").await, RateLimitOutcome::Blocked);
        assert_eq!(outcome(&here, "other", "43").await, RateLimitOutcome::Allowed);
        becomes(&here, "acme", "43", RateLimitOutcome::Allowed).await;
        for key in site.keys().await {
            let left = site.command(&["PTTL", &key]).await.int();
            assert!(left > 0, "{key} lives for ever");
        }
    }
}

#[tokio::test]
async fn callers_are_looked_at_reset_and_blocked_in_memory_too() {
    let keep = Keep::memory();
    let scope = tower_keep::Scope::tenant().user().endpoint();
    let layer = keep
        .rate_limit()
        .rule(Rule::per(scope, 3, HOUR))
        .rule(Rule::per_tenant(10, HOUR))
        .rule(Rule::per_tenant(2, HOUR).named("model").by(|_| Some("large".into())))
        .expose_outcome(true)
        .build()
        .unwrap();
    let limits = layer.limits();
    let somebody = caller("acme", "42");
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
    let stands = async |caller: &Caller| {
        let standing = limits.peek(caller).await.unwrap();
        standing.rules.iter().map(|it| (it.rule.to_string(), it.remaining)).collect::<Vec<_>>()
    };
    let of = |name: &str, left| (name.to_owned(), left);
    assert_eq!(stands(&somebody).await, [of("tenant", 9)], "as far as it is named");
    assert_eq!(limits.reset(&somebody).await.unwrap(), 1);
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
    let named = somebody.clone().endpoint("/x").part("model", "large");
    let expected = [of("default", 1), of("tenant", 9), of("model", 0)];
    assert_eq!(stands(&named).await, expected);
    assert_eq!(stands(&named).await, expected, "asking counts nothing");
    assert_eq!(limits.reset(&named).await.unwrap(), 3);
    assert_eq!(stands(&named).await, [of("default", 3), of("tenant", 10), of("model", 2)]);
    limits.block(&somebody, HOUR).await.unwrap();
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Blocked);
    assert_eq!(outcome(&layer, "acme", "43").await, RateLimitOutcome::Allowed);
    limits.unblock(&somebody).await.unwrap();
    assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
}

/// Of what no route matches, and of a rule that finds nothing to make a part of.
#[tokio::test]
async fn counters_of_what_is_not_known_can_be_reset() {
    let keep = Keep::memory();
    let scope = tower_keep::Scope::tenant().user().endpoint();
    let layer = keep
        .rate_limit()
        .rule(Rule::per(scope, 1, HOUR))
        .rule(Rule::per_tenant(5, HOUR).named("model").by(|_| None))
        .expose_outcome(true)
        .build()
        .unwrap();
    let lost = || async {
        let response = answer(&layer, request("acme", "42", "")).await;
        *response.extensions().get::<RateLimitOutcome>().unwrap()
    };
    assert_eq!(lost().await, RateLimitOutcome::Allowed);
    assert_eq!(lost().await, RateLimitOutcome::Denied);
    let (limits, somebody) = (layer.limits(), caller("acme", "42"));
    assert_eq!(limits.reset(&somebody).await.unwrap(), 0, "it names neither");
    assert_eq!(limits.reset(&somebody.clone().endpoint("/x").part("model", "a")).await.unwrap(), 2);
    assert_eq!(lost().await, RateLimitOutcome::Denied, "those were others");
    let named = somebody.unmatched().without_part("model");
    let left = limits.peek(&named).await.unwrap().rules;
    assert_eq!(left.iter().map(|it| it.remaining).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(limits.reset(&named).await.unwrap(), 2);
    assert_eq!(lost().await, RateLimitOutcome::Allowed);
}

/// A rule that counts by endpoint does not count a caller without one, who is blocked all the same.
#[tokio::test]
async fn who_is_blocked_is_told_so_where_no_rule_is_fully_named() {
    for kind in [None, Some(Kind::SINGLE[0])] {
        let site = match kind {
            Some(kind) => Some(Site::start(kind).await),
            None => None,
        };
        let keep = match &site {
            Some(site) => process(site).await,
            None => Keep::memory(),
        };
        let scope = tower_keep::Scope::tenant().user().endpoint();
        let layer = layer(&keep, Rule::per(scope, 3, HOUR));
        let (limits, somebody) = (layer.limits(), caller("acme", "42"));
        assert_eq!(limits.peek(&somebody).await.unwrap().blocked_for, None);
        limits.block(&somebody, HOUR).await.unwrap();
        let stands = limits.peek(&somebody).await.unwrap();
        assert!(stands.rules.is_empty());
        assert!(stands.blocked_for.unwrap() > HOUR / 2);
        assert_eq!(limits.reset(&somebody).await.unwrap(), 0, "no rule is reached");
        assert_eq!(limits.reset(&somebody.endpoint("/x")).await.unwrap(), 1);
        if let Some(site) = &site {
            assert_eq!(site.keys().await.len(), 1, "looking leaves nothing");
        }
    }
}

/// Who comes back when the block has ended is not to be told to wait again.
#[tokio::test]
async fn a_blocked_caller_is_told_of_the_limits_it_has_used_up_too() {
    for kind in [None, Some(Kind::SINGLE[0])] {
        let site = match kind {
            Some(kind) => Some(Site::start(kind).await),
            None => None,
        };
        let keep = match &site {
            Some(site) => process(site).await,
            None => Keep::memory(),
        };
        let layer = layer(&keep, Rule::per_user(1, HOUR));
        assert_eq!(outcome(&layer, "acme", "42").await, RateLimitOutcome::Allowed);
        layer.limits().block(&caller("acme", "42"), Duration::from_secs(5)).await.unwrap();
        for _ in 0..2 {
            let refused = answer(&layer, request("acme", "42", "/x")).await;
            assert_eq!(refused.extensions().get(), Some(&RateLimitOutcome::Blocked));
            let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(wait > 3000, "{wait}");
        }
    }
}
