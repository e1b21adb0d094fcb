//! Answers that never come, windows that end, and stores that fail.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::Response;
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_core::{CostUnit, ErrorClass, LateCost};
use tower_keep_rate_limit::{Algorithm, MemoryStore, RateLimitLayer, Rule};

use super::{ALGORITHMS, ESTIMATE, LIMIT, Parts, YEAR, counted, rule, service, used};
use crate::rate_limit::{
    Ask, MINUTE, clock, get, on,
    told::{Say, Told},
};

const TOKENS: CostUnit = CostUnit::TOKENS;

#[tokio::test]
async fn an_error_of_the_service_inside_is_charged_the_estimate_or_more() {
    for algorithm in ALGORITHMS {
        for (told, charged) in [(None, ESTIMATE), (Some(3), ESTIMATE), (Some(40), 40)] {
            let counted = counted(rule(algorithm, TOKENS), async |layer| {
                let broken = layer.layer(service_fn(async |request: Ask| {
                    let cost = LateCost::of(request.extensions()).unwrap();
                    told.inspect(|told| cost.add(TOKENS, *told));
                    Err::<Response<Parts>, _>("broken")
                }));
                assert_eq!(broken.oneshot(get("/")).await.unwrap_err(), "broken");
            });
            assert_eq!(counted.await, charged, "{algorithm:?} {told:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_charged_the_estimate_or_more() {
    for (unit, told, charged) in [
        (TOKENS, None, ESTIMATE),
        (TOKENS, Some(3), ESTIMATE),
        (TOKENS, Some(40), 40),
        (CostUnit::BYTES, None, ESTIMATE),
    ] {
        let counted = counted(rule(ALGORITHMS[0], unit), async |layer| {
            let stuck = layer.layer(service_fn(async |request: Ask| {
                let cost = LateCost::of(request.extensions()).unwrap();
                told.inspect(|told| cost.add(TOKENS, *told));
                pending::<Result<Response<Parts>, Infallible>>().await
            }));
            let mut call = pin!(stuck.oneshot(get("/")));
            for _ in 0..2 {
                let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
                assert!(polled.is_pending());
            }
        });
        assert_eq!(counted.await, charged, "{told:?}");
    }
}

/// A denied request reserved nothing, so nothing is settled for it.
#[tokio::test]
async fn who_is_denied_owes_nothing() {
    for algorithm in ALGORITHMS {
        let counted = counted(rule(algorithm, TOKENS), async |layer| {
            let tight = Rule::per_tenant(1, YEAR).named("tight");
            layer.reload_rules([rule(algorithm, TOKENS), tight]).unwrap();
            let free = |cost: Option<LateCost>| cost.unwrap().settle(TOKENS, 0);
            for status in [200, 429, 429] {
                let answer = service(layer, Parts::some(), free).oneshot(get("/")).await.unwrap();
                assert_eq!(answer.status(), status);
            }
            layer.reload_rules([rule(algorithm, TOKENS)]).unwrap();
        });
        assert_eq!(counted.await, 0);
    }
}

/// The next window knows nothing of what is settled late for the one before.
#[tokio::test]
async fn a_settlement_in_another_window_changes_nothing_there() {
    for total in [0, 500] {
        let clock = clock();
        let rule = Rule::per_tenant(LIMIT, MINUTE).cost(|_| ESTIMATE).late(TOKENS);
        let layer = on(&clock).rule(rule).expose_decision(true).build().unwrap();
        let begun = service(&layer, Parts::some(), |_| ()).oneshot(get("/")).await.unwrap();
        let tell = move |cost: Option<LateCost>| cost.unwrap().add(TOKENS, total);
        let told = service(&layer, Parts::some(), tell).oneshot(get("/")).await.unwrap();
        clock.advance(MINUTE);
        assert_eq!(used(&layer).await, 0, "a new window");
        told.into_body().collect().await.unwrap();
        drop(begun);
        assert_eq!(used(&layer).await, 0, "told {total} in the window before");
    }
}

/// Settled for less than was reserved, after others have been counted: never below nothing.
#[tokio::test]
async fn a_limit_never_grows_by_what_was_settled() {
    for algorithm in ALGORITHMS {
        let clock = clock();
        let rule = Rule::per_tenant(LIMIT, Duration::from_secs(1)).algorithm(algorithm);
        let rule = rule.cost(|head| head.uri.path().len() as u64).late(TOKENS);
        let layer = on(&clock).rule(rule).expose_decision(true).build().unwrap();
        let tell = |cost: Option<LateCost>| cost.unwrap().add(TOKENS, 0);
        let long = format!("/{}", "x".repeat(899));
        let large = service(&layer, Parts::some(), tell).oneshot(get(&long)).await.unwrap();
        // Part of it comes back meanwhile: for GCRA evenly, for windows when they end.
        clock.advance(Duration::from_millis(999));
        large.into_body().collect().await.unwrap();
        let whole = format!("/{}", "x".repeat(999));
        let peek = |path: String| service(&layer, Parts::some(), tell).oneshot(get(&path));
        assert_eq!(peek(whole.clone()).await.unwrap().status(), 200, "{algorithm:?}");
        // That one is dropped, and has cost the whole limit.
        assert_eq!(peek(whole).await.unwrap().status(), 429, "{algorithm:?}");
    }
}

/// While the store fails, what is counted here is settled here.
#[tokio::test]
async fn what_is_counted_locally_is_settled_locally() {
    for store in Told::both(Say::Fail(ErrorClass::Unknown)) {
        let fallback = Arc::new(MemoryStore::new().with_clock(clock()));
        let builder = RateLimitLayer::builder().store_with_fallback(store, fallback);
        let rule = rule(Algorithm::FixedWindow, TOKENS);
        let layer = builder.rule(rule).expose_decision(true).build().unwrap();
        let tell = |cost: Option<LateCost>| cost.unwrap().add(TOKENS, 70);
        let answer = service(&layer, Parts::some(), tell).oneshot(get("/")).await.unwrap();
        answer.into_body().collect().await.unwrap();
        assert_eq!(used(&layer).await, 70);
    }
}

/// A store that cannot settle keeps nobody from being answered.
#[tokio::test]
async fn a_store_that_cannot_settle_is_no_callers_concern() {
    for store in Told::both(Say::Allow) {
        let layer = RateLimitLayer::builder().store(store).rule(rule(ALGORITHMS[0], TOKENS));
        let layer = layer.build().unwrap();
        let tell = |cost: Option<LateCost>| cost.unwrap().settle(TOKENS, 70);
        let answer = service(&layer, Parts::some(), tell).oneshot(get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 24);
    }
}
