//! Requests that cost more than one, or nothing.

use tokio::task::JoinSet;
use tower_keep_rate_limit::NEVER;

use super::backend::{Backend, Counter, HOUR, only, remaining};

pub(super) async fn costs_are_counted_in_full_or_not_at_all(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 10, HOUR) {
        for (cost, allowed, left) in
            [(4, true, 6), (4, true, 2), (3, false, 2), (10, false, 2), (2, true, 0), (1, false, 0)]
        {
            let verdict = backend.check(&[&counter.cost(cost)]).await;
            let (standing, case) = (only(&verdict), format!("{:?} {cost}", counter.algorithm));
            assert_eq!((verdict.allowed, standing.remaining), (allowed, left), "{case}");
            assert_eq!(standing.wait_ms == 0, allowed, "{case}");
            assert!(standing.wait_ms <= counter.memory(), "{case}: {standing:?}");
        }
    }
}

pub(super) async fn what_can_never_fit_is_told_so_and_consumes_nothing(backend: Backend) {
    let name = backend.tenant();
    let all = Counter::of_each_algorithm(&name, 10, HOUR);
    let small = all[2].clone().burst(4).rule("small-burst");
    for counter in all {
        for cost in [11, 1000, u64::from(u32::MAX), u64::MAX] {
            let verdict = backend.check(&[&counter.cost(cost)]).await;
            assert_eq!((verdict.allowed, only(&verdict).wait_ms), (false, NEVER), "{cost}");
            assert_eq!(only(&verdict).remaining, 10);
        }
        let none = backend.check(&[&counter.quota(0)]).await;
        assert_eq!((none.allowed, only(&none).wait_ms), (false, NEVER), "a limit of 0");
        assert!(backend.check(&[&counter.cost(10)]).await.allowed, "all of it is still there");
    }
    let verdict = backend.check(&[&small.cost(5)]).await;
    assert_eq!(only(&verdict).wait_ms, NEVER, "more than may come at once");
    assert!(backend.check(&[&small.cost(4)]).await.allowed);
}

pub(super) async fn no_cost_counts_nothing(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 3, HOUR) {
        for left in [3, 3] {
            assert_eq!(backend.left(&counter).await, left, "and opens no window");
        }
        backend.wait(5).await;
        let first = only(&backend.check(&[&counter.cost(3)]).await);
        let whole = counter.memory().min(HOUR);
        assert_eq!(first.resets_in_ms, whole, "{:?}: it opens now", counter.algorithm);
        for _ in 0..3 {
            assert_eq!(backend.left(&counter).await, 0);
        }
    }
}

pub(super) async fn one_limit_that_is_too_small_for_a_cost_spares_the_others(backend: Backend) {
    let [fixed, sliding, gcra] = Counter::of_each_algorithm(&backend.tenant(), 10, HOUR);
    let (fixed, gcra) = (fixed.quota(20), gcra.quota(30));
    let check = async |cost: u64| {
        let priced = [&fixed, &sliding, &gcra].map(|counter| counter.cost(cost));
        backend.check(&priced.each_ref()).await
    };
    assert_eq!(remaining(&check(6).await), [14, 4, 24]);
    let denied = check(5).await;
    assert!(!denied.allowed);
    let waits: Vec<_> = denied.limits.iter().map(|standing| standing.wait_ms > 0).collect();
    assert_eq!((remaining(&denied), waits), (vec![14, 4, 24], vec![false, true, false]));
    let never = check(11).await;
    assert_eq!((remaining(&never), never.limits[1].wait_ms), (vec![14, 4, 24], NEVER));
    let cheaper = check(4).await;
    assert!(cheaper.allowed);
    assert_eq!(remaining(&cheaper), [10, 0, 20]);
}

pub(super) async fn many_tasks_at_different_costs_never_exceed_the_limit(backend: Backend) {
    // A year: nothing comes back meanwhile, not even by GCRA.
    const YEAR: u64 = 31_536_000_000;
    let counters = Counter::of_each_algorithm(&backend.tenant(), 500, YEAR);
    let counters = [counters[0].quota(700), counters[1].clone(), counters[2].quota(600)];
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let (backend, counters) = (backend.clone(), counters.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            for turn in 0..30 {
                let cost = (task + turn) % 7 + 1;
                let priced = counters.each_ref().map(|counter| counter.cost(cost));
                if backend.check(&priced.each_ref()).await.allowed {
                    admitted += cost;
                }
            }
            admitted
        });
    }
    let sum: u64 = tasks.join_all().await.iter().sum();
    assert!((494..=500).contains(&sum), "{sum}: full, but for what was too large for the rest");
    for (counter, quota) in counters.iter().zip([700, 500, 600]) {
        assert_eq!(backend.left(counter).await, quota - sum, "{:?}", counter.algorithm);
    }
}

/// What a limit of 0 finds is still there when the limit is back.
pub(super) async fn a_limit_of_0_forgets_nothing(backend: Backend) {
    for counter in Counter::of_each_algorithm(&backend.tenant(), 3, HOUR) {
        assert!(backend.check(&[&counter.cost(3)]).await.allowed);
        let none = counter.quota(0);
        assert_eq!(backend.left(&none).await, 0);
        assert!(backend.check(&[&none.clone().shadow()]).await.allowed);
        let denied = backend.check(&[&none]).await;
        assert_eq!((denied.allowed, only(&denied).wait_ms), (false, NEVER));
        assert!(!backend.check(&[&counter]).await.allowed, "{:?}", counter.algorithm);
    }
}
