//! Costs that the service inside tells.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_core::{CostUnit, LateCost};
use tower_keep_rate_limit::{Mode, RateLimitDecision, Rule};

use super::{ALGORITHMS, ESTIMATE, LIMIT, Parts, Tell, YEAR, counted, rule, service};
use crate::rate_limit::{Ask, clock, get, on};

const TOKENS: CostUnit = CostUnit::TOKENS;

/// What is charged for a request whose handler tells this, and whose body is read or dropped.
async fn charged(algorithm: usize, read: bool, tell: impl Tell) -> u64 {
    counted(rule(ALGORITHMS[algorithm], TOKENS), async |layer| {
        let answer = service(layer, Parts::some(), tell.clone()).oneshot(get("/")).await.unwrap();
        if read {
            answer.into_body().collect().await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn what_is_told_is_charged_more_or_less() {
    for algorithm in 0..3 {
        for total in [0, 1, 9, 10, 11, 500, LIMIT - ESTIMATE] {
            let settle = |cost: Option<LateCost>| cost.unwrap().settle(TOKENS, total);
            for read in [true, false] {
                assert_eq!(charged(algorithm, read, settle).await, total, "settled at once");
            }
            let add = |cost: Option<LateCost>| cost.unwrap().add(TOKENS, total);
            assert_eq!(charged(algorithm, true, add).await, total);
            let dropped = charged(algorithm, false, add).await;
            assert_eq!(dropped, total.max(ESTIMATE), "what was begun has to be paid");
        }
    }
}

#[tokio::test]
async fn what_is_added_is_summed_up() {
    let tell = |cost: Option<LateCost>| {
        let cost = cost.unwrap();
        for more in [1, 2, 30] {
            cost.add(TOKENS, more);
        }
    };
    assert_eq!(charged(0, true, tell).await, 33);
    let tell = |cost: Option<LateCost>| {
        let cost = cost.unwrap();
        cost.add(TOKENS, 100);
        cost.settle(TOKENS, 40);
    };
    assert_eq!(charged(0, true, tell).await, 40, "the total is the last word");
}

#[tokio::test]
async fn told_nothing_the_estimate_stands() {
    for read in [true, false] {
        assert_eq!(charged(0, read, |_| ()).await, ESTIMATE);
        let other = |cost: Option<LateCost>| cost.unwrap().settle(CostUnit::INPUT_TOKENS, 500);
        assert_eq!(charged(0, read, other).await, ESTIMATE, "in a unit that nobody counts");
    }
}

#[tokio::test]
async fn what_is_settled_is_settled_once() {
    for algorithm in 0..3 {
        for read in [true, false] {
            let tell = |cost: Option<LateCost>| {
                let cost = cost.unwrap();
                for total in [7, 7, 300, 0] {
                    cost.settle(TOKENS, total);
                    cost.add(TOKENS, 50);
                }
            };
            assert_eq!(charged(algorithm, read, tell).await, 7);
        }
    }
}

/// Whoever keeps the handle beyond the answer has no say any more.
#[tokio::test]
async fn what_is_told_after_the_end_is_ignored() {
    for read in [true, false] {
        let kept: Arc<Mutex<Vec<LateCost>>> = Arc::default();
        let total = counted(rule(ALGORITHMS[0], TOKENS), async |layer| {
            let keep = |cost: Option<LateCost>| kept.lock().unwrap().push(cost.unwrap());
            let answer = service(layer, Parts::some(), keep).oneshot(get("/")).await.unwrap();
            if read {
                answer.into_body().collect().await.unwrap();
            } else {
                drop(answer);
            }
            let cost = kept.lock().unwrap().pop().unwrap();
            cost.add(TOKENS, 100);
            cost.settle(TOKENS, 500);
        });
        assert_eq!(total.await, ESTIMATE);
    }
}

#[tokio::test]
async fn tokens_may_be_told_while_the_body_streams() {
    let kept: Arc<Mutex<Option<LateCost>>> = Arc::default();
    let total = counted(rule(ALGORITHMS[0], TOKENS), async |layer| {
        let keep = |cost: Option<LateCost>| *kept.lock().unwrap() = cost;
        let answer = service(layer, Parts::some(), keep).oneshot(get("/")).await.unwrap();
        let (cost, mut body) = (kept.lock().unwrap().take().unwrap(), answer.into_body());
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
            cost.add(TOKENS, 4);
        }
        assert!(body.frame().await.is_none());
    });
    assert_eq!(total.await, 12);
}

/// A handler is given the way to tell where a rule wants to know, and only there.
#[tokio::test]
async fn the_handle_is_there_where_a_rule_asks() {
    let plain = Rule::per_tenant(LIMIT, YEAR);
    let off = rule(ALGORITHMS[0], TOKENS).mode(Mode::Off);
    let skipped = rule(ALGORITHMS[0], TOKENS).paths(["/other"]);
    for (rules, expected) in [
        (vec![plain.clone()], false),
        (vec![plain.clone(), rule(ALGORITHMS[0], TOKENS).named("late")], true),
        (vec![plain.clone(), off.named("off")], false),
        (vec![plain, skipped.named("skipped")], false),
    ] {
        let builder =
            rules.into_iter().fold(on(&clock()), super::super::RateLimitLayerBuilder::rule);
        let layer = builder.build().unwrap();
        let look = |cost: Option<LateCost>| assert_eq!(cost.is_some(), expected);
        service(&layer, Parts::some(), look).oneshot(get("/")).await.unwrap();
    }
}

/// Each rule settles its own unit; watched ones too, as far as they counted.
#[tokio::test]
async fn rules_of_different_units_and_modes_are_settled_apart() {
    let named = |unit, name: &str| rule(ALGORITHMS[0], unit).named(name);
    let tight = Rule::per_tenant(15, YEAR).cost(|_| ESTIMATE).late(TOKENS).named("tight");
    let builder = on(&clock())
        .rule(named(CostUnit::INPUT_TOKENS, "in"))
        .rule(named(CostUnit::OUTPUT_TOKENS, "out").mode(Mode::Shadow))
        .rule(named(CostUnit::BYTES, "bytes"))
        .rule(tight.mode(Mode::Shadow))
        .rule(Rule::per_tenant(LIMIT, YEAR).named("plain"));
    let layer = builder.expose_decision(true).build().unwrap();
    let tell = |cost: Option<LateCost>| {
        let cost = cost.unwrap();
        cost.settle(CostUnit::INPUT_TOKENS, 3);
        cost.add(CostUnit::OUTPUT_TOKENS, 70);
        cost.settle(TOKENS, 12);
    };
    for _ in 0..2 {
        let answer = service(&layer, Parts::some(), tell).oneshot(get("/")).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    let answer = service(&layer, Parts::some(), tell).oneshot(get("/")).await.unwrap();
    let decision = answer.extensions().get::<RateLimitDecision>().unwrap();
    let used: Vec<_> = decision.rules.iter().map(|it| it.limit - it.remaining).collect();
    // `tight` had room for the first only, which turned out to cost 12.
    assert_eq!(used, [6 + ESTIMATE, 140 + ESTIMATE, 48 + ESTIMATE, 12, 3]);
}

/// What a handler tells reaches the layers outside too.
#[tokio::test]
async fn every_layer_on_the_way_is_told() {
    let layer = |clock: &_, name: &str| {
        let rule = rule(ALGORITHMS[0], TOKENS).named(name);
        on(clock).rule(rule).expose_decision(true).build().unwrap()
    };
    let clock = clock();
    let (outer, inner) = (layer(&clock, "outer"), layer(&clock, "inner"));
    let handler = service_fn(async |request: Ask| {
        LateCost::of(request.extensions()).unwrap().settle(TOKENS, 33);
        Ok::<_, std::convert::Infallible>(http::Response::new(Parts::some()))
    });
    let both = outer.layer(inner.layer(handler));
    let answer = both.oneshot(get("/")).await.unwrap();
    answer.into_body().collect().await.unwrap();
    for layer in [&outer, &inner] {
        assert_eq!(super::used(layer).await, 33);
    }
}
