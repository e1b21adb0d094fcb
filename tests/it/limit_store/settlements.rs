//! Costs that are known only later.

use tower_keep_rate_limit::Algorithm;

use super::backend::{Backend, Counter, HOUR, Watch, in_time, remaining};

pub(super) async fn more_and_less_is_corrected(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 10, HOUR) {
        let priced = counter.cost(4);
        let counted: &[&Counter] = &[&priced];
        let verdict = backend.check(counted).await;
        for (difference, left) in [(0, 6), (3, 3), (-2, 5), (4, 1), (1, 0)] {
            backend.settle((&verdict, counted), difference, |window| window).await;
            assert_eq!(backend.left(&counter).await, left, "{:?} {difference}", counter.algorithm);
        }
        assert!(!backend.check(&[&counter]).await.allowed);
        // More than the limit: whoever was admitted may have used it.
        backend.settle((&verdict, counted), 1_000_000_000, |window| window).await;
        let denied = backend.check(&[&counter]).await;
        assert!(!denied.allowed);
        let wait = denied.limits[0].wait_ms;
        assert!((1..=counter.memory()).contains(&wait), "nobody is locked out: {wait}");
    }
}

pub(super) async fn never_below_nothing(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 10, HOUR) {
        let counted: &[&Counter] = &[&counter];
        let verdict = backend.check(counted).await;
        for difference in [-1, -1, -500, -i64::from(i32::MAX), i64::MIN + 1] {
            backend.settle((&verdict, counted), difference, |window| window).await;
            assert_eq!(backend.left(&counter).await, 10, "{difference}");
        }
        assert!(backend.check(&[&counter.cost(10)]).await.allowed);
        assert!(!backend.check(&[&counter]).await.allowed, "nothing was given away");
    }
}

pub(super) async fn another_window_is_left_alone(backend: Backend) {
    let [fixed, sliding, gcra] = Counter::of_each_algorithm(&backend.tenant(), 10, HOUR);
    for (counter, others) in [
        (&fixed, [-1_i64, 1, -36_000_000, 36_000_000]),
        (&sliding, [-1, 1, -36_000_000, 36_000_000]),
        // For GCRA what still counts is one window: a full burst's time.
        (&gcra, [-3_600_000, -3_600_001, -36_000_000, -360_000_000]),
    ] {
        let priced = counter.cost(4);
        let counted: &[&Counter] = &[&priced];
        let verdict = backend.check(counted).await;
        for other in others {
            for difference in [3, -3] {
                let elsewhere = |window: u64| window.saturating_add_signed(other);
                backend.settle((&verdict, counted), difference, elsewhere).await;
                let case = format!("{:?}: {difference} in {other}", counter.algorithm);
                assert_eq!(backend.left(counter).await, 6, "{case}");
            }
        }
    }
}

pub(super) async fn each_counter_is_corrected_by_itself(backend: Backend) {
    let counters = Counter::of_each_algorithm(&backend.tenant(), 10, HOUR);
    let all: Vec<_> = counters.iter().collect();
    let verdict = backend.check(&all).await;
    // The sliding window's settlement comes too late, and keeps no other back.
    let first = verdict.at_ms;
    let mut told = verdict.clone();
    told.limits[1].resets_in_ms -= 1;
    backend.settle((&told, &all), 4, |window| window).await;
    let left = backend.check(&counters.each_ref().map(|it| it.cost(0)).each_ref()).await;
    assert_eq!(remaining(&left), [5, 9, 5]);
    // No settlement extends or opens anything.
    for (before, after) in verdict.limits.iter().zip(&left.limits).take(2) {
        let passed = left.at_ms - first;
        assert_eq!(before.resets_in_ms - passed, after.resets_in_ms);
    }
}

/// However large: what was counted is forgotten.
pub(super) async fn a_settlement_of_what_has_expired_leaves_a_full_limit(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 10, 40) {
        let counted: &[&Counter] = &[&counter];
        let verdict = backend.check(counted).await;
        backend.wait(counter.memory() + 2).await;
        for difference in [100, -100] {
            backend.settle((&verdict, counted), difference, |window| window).await;
            assert_eq!(backend.left(&counter).await, 10, "{:?} {difference}", counter.algorithm);
        }
    }
}

/// A settlement that falls in the next window changes neither that one nor what weighs on it.
pub(super) async fn a_sliding_window_that_has_become_the_one_before_is_left_alone(
    backend: Backend,
) {
    let ((left, after), _) = in_time(400, async |window| {
        let [_, gauge, _] = Counter::of_each_algorithm(&backend.tenant(), 10, window);
        let counted: &[&Counter] = &[&gauge];
        let verdict = backend.check(counted).await;
        backend.wait(window).await;
        let watch = Watch::start(window / 2);
        backend.check(&[&gauge.cost(5)]).await;
        let left = backend.left(&gauge).await;
        for difference in [3, -3] {
            backend.settle((&verdict, counted), difference, |window| window).await;
        }
        let after = backend.left(&gauge).await;
        watch.done((left, after))
    })
    .await;
    assert_eq!((left, after), (4, 4), "5, and the one that still weighs");
}

/// A limit that gives back evenly is owed what was used, however much more than a burst that is.
pub(super) async fn what_is_used_beyond_a_burst_is_owed(backend: Backend) {
    const LIFE: u64 = 900_000;
    let gauge = Counter::new(&backend.tenant(), 3600, HOUR).algorithm(Algorithm::Gcra);
    let gauge = gauge.burst(50).life(LIFE);
    let counted: &[&Counter] = &[&gauge];
    let verdict = backend.check(counted).await;
    let wait = async |at_least: u64| {
        let denied = backend.check(counted).await;
        let wait = denied.limits[0].wait_ms;
        assert!(!denied.allowed && (at_least - 60_000..=at_least).contains(&wait), "{wait}");
        assert_eq!(denied.limits[0].remaining, 0);
    };
    backend.settle((&verdict, counted), 499, |window| window).await;
    wait(451_000).await;
    wait(451_000).await;
    // Later than all has come back that was reserved: more is owed, and nothing is given back twice.
    let long_ago = |window: u64| window - 400_000;
    backend.settle((&verdict, counted), -100, long_ago).await;
    wait(451_000).await;
    backend.settle((&verdict, counted), 100, long_ago).await;
    wait(551_000).await;
    backend.settle((&verdict, counted), 100, |window| window - LIFE).await;
    wait(551_000).await;
    // Nobody is locked out for longer than the counter is kept.
    backend.settle((&verdict, counted), 1_000_000, |window| window).await;
    wait(LIFE - 49_000).await;
    backend.settle((&verdict, counted), -870, |window| window).await;
    assert!(backend.check(counted).await.allowed);
}
