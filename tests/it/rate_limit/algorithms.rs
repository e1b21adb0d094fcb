//! Retry-After and the fields under each algorithm.

use std::time::Duration;

use http::HeaderMap;
use proptest::prelude::*;
use tower_keep_core::time::Clock;
use tower_keep_rate_limit::{Algorithm, Rule};

use super::{
    Ask, Limited, Reply, clock,
    fields::{LIMIT, items, policy},
    get, on, per_tenant,
};

const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra];

/// A request at this cost.
fn costing(cost: u64) -> Ask {
    let mut request = get("/");
    request.headers_mut().insert("x-cost", cost.into());
    request
}

fn cost(head: &http::request::Parts) -> u64 {
    head.headers.get("x-cost").map_or(1, |cost| cost.to_str().unwrap().parse().unwrap())
}

/// A rule of each algorithm, all of them asked together; or one alone.
fn limited(clock: &Clock, algorithms: &[Algorithm], limit: u64, window: u64) -> Limited {
    let rules = (0..).zip(algorithms).map(|(nth, algorithm)| {
        let window = Duration::from_millis(window + nth * window / 3);
        let rule = Rule::per_tenant(limit + nth, window).named(format!("r{nth}"));
        rule.algorithm(*algorithm).cost(cost)
    });
    Limited::new(rules.fold(on(clock), super::RateLimitLayerBuilder::rule))
}

/// `t` of the one item of `RateLimit`.
fn told_seconds(headers: &HeaderMap) -> u64 {
    let fields = items(headers, LIMIT);
    assert_eq!(fields.len(), 1);
    let t = fields[0].1.iter().find(|(name, _)| name == "t").expect("a time to come back");
    t.1.try_into().unwrap()
}

/// A denial tells when to come back, never 0, and not before the field's own time.
fn retry_after(reply: &Reply) -> u64 {
    let wait = reply.retry_after();
    assert!(wait >= 1);
    assert!(wait >= told_seconds(&reply.headers));
    wait
}

proptest! {
    /// In 100 % of denials, whatever the algorithm, alone and mixed.
    #[test]
    fn waiting_retry_after_is_enough(
        kind in 0_usize..4,
        window in 1_u64..9_000,
        limit in 3_u64..9,
        steps in prop::collection::vec((0_u64..3_000, 1_u64..4), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = clock();
            let algorithms = if kind == 3 { &ALGORITHMS[..] } else { &ALGORITHMS[kind..=kind] };
            let limited = limited(&clock, algorithms, limit, window);
            for (step, cost) in steps {
                let reply = limited.ask(costing(cost)).await;
                prop_assert_eq!(policy(&reply).len(), algorithms.len());
                if reply.status == 429 {
                    let wait = retry_after(&reply);
                    prop_assert!(wait <= (4 * window).div_ceil(1000));
                    clock.advance(Duration::from_secs(wait));
                    prop_assert_eq!(limited.ask(costing(cost)).await.status.as_u16(), 200);
                }
                clock.advance(Duration::from_millis(step));
            }
            Ok(())
        })?;
    }
}

/// So that the property above cannot hold for want of denials.
#[tokio::test]
async fn each_algorithm_tells_its_own_time_to_come_back() {
    for (algorithm, first, after_the_window) in [
        (Algorithm::FixedWindow, 60, [200, 200, 200, 200, 200, 200]),
        // Right after the window all of it still weighs.
        (Algorithm::SlidingWindow, 70, [429; 6]),
        (Algorithm::Gcra, 10, [200, 200, 200, 200, 200, 200]),
    ] {
        let clock = clock();
        let limited = limited(&clock, &[algorithm], 6, 60_000);
        assert_eq!(limited.statuses((0..6).map(|_| get("/"))).await, [200; 6]);
        let denied = limited.get().await;
        assert_eq!((denied.status.as_u16(), retry_after(&denied)), (429, first), "{algorithm:?}");
        clock.advance(Duration::from_secs(60));
        let statuses = limited.statuses((0..6).map(|_| get("/"))).await;
        assert_eq!(statuses, after_the_window, "{algorithm:?}");
    }
}

#[tokio::test]
async fn gcra_admits_as_many_at_once_as_the_burst() {
    for burst in [1, 3, 12] {
        let clock = clock();
        let rule = per_tenant(6).algorithm(Algorithm::Gcra).burst(burst);
        let limited = Limited::new(on(&clock).rule(rule));
        for _ in 0..burst {
            assert_eq!(limited.get().await.status, 200);
        }
        for _ in 0..3 {
            assert_eq!(retry_after(&limited.get().await), 10, "one interval");
            clock.advance(Duration::from_secs(10));
            assert_eq!(limited.statuses([get("/"), get("/")]).await, [200, 429], "one came back");
        }
    }
}

#[tokio::test]
async fn a_burst_rule_bounds_what_a_window_admits_at_once() {
    let clock = clock();
    let rule = Rule::per_tenant(10, Duration::from_secs(900));
    let limited = Limited::new(on(&clock).rule(rule.burst_rule(4, Duration::from_secs(1))));
    for second in 0..3 {
        let statuses = limited.statuses((0..4).map(|_| get("/"))).await;
        let left = 10 - 4 * second;
        let expected: Vec<_> = (0..4).map(|nth| if nth < left { 200 } else { 429 }).collect();
        assert_eq!(statuses, expected, "in second {second}");
        if second < 2 {
            let denied = limited.get().await;
            assert_eq!((denied.violated(), denied.retry_after()), (vec!["tenant-burst".into()], 1));
            let names: Vec<_> = policy(&denied).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["tenant", "tenant-burst"]);
        } else {
            assert_eq!(limited.get().await.violated(), ["tenant"]);
        }
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(897));
    let statuses = limited.statuses((0..5).map(|_| get("/"))).await;
    assert_eq!(statuses, [200, 200, 200, 200, 429], "around a reset too");
}
