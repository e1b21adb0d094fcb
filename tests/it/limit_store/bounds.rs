//! What no algorithm admits too much of, and when the next one fits.

use tokio::task::JoinSet;
use tower_keep_rate_limit::{Algorithm, Verdict};

use super::backend::{Backend, Counter, HOUR, only, remaining};

/// Asks on and on for so many milliseconds of the store's time, and until the limit was admitted
/// three times; tells when and at what cost that was, by the store's clock.
async fn hammer(backend: &Backend, counter: &Counter, for_ms: u64) -> Vec<(u64, u64)> {
    let (mut admitted, mut end) = (Vec::new(), None);
    loop {
        // Several at once, so that a window is full even where the way to the store is long.
        let asking: JoinSet<_> = (0..8)
            .map(|turn| {
                let priced = counter.cost(turn % 3 + 1);
                let answer = backend.try_check(&[&priced]);
                async move { (answer.await.unwrap(), turn % 3 + 1) }
            })
            .collect();
        for (verdict, cost) in asking.join_all().await {
            if verdict.allowed {
                admitted.push((verdict.at_ms, cost));
            }
            let sum: u64 = admitted.iter().map(|(_, cost)| cost).sum();
            let is_over = verdict.at_ms > *end.get_or_insert(verdict.at_ms + for_ms);
            if is_over && sum > 3 * counter.quota {
                admitted.sort_unstable();
                return admitted;
            }
        }
        if backend.is_by_hand() {
            backend.wait(1).await;
        }
    }
}

/// The most that is admitted within `span` ms.
fn bound(counter: &Counter, span: u64) -> u64 {
    let (quota, window) = (counter.quota, counter.window);
    match counter.algorithm {
        // A window's end and the next one's begin.
        Algorithm::FixedWindow => quota * (span / window + 2).min(2 + span),
        Algorithm::SlidingWindow => quota * (window + span) / window,
        // The server's clock is finer than what it tells.
        Algorithm::Gcra => quota + (span + 1) * 1000 / counter.interval(),
    }
}

pub(super) async fn nothing_is_admitted_over_the_bound_wherever_windows_meet(backend: Backend) {
    const WINDOW: u64 = 150;
    let mut tasks = JoinSet::new();
    for counter in Counter::of_each_algorithm(&backend.tenant(), 20, WINDOW) {
        let backend = backend.clone();
        tasks.spawn(async move {
            let admitted = hammer(&backend, &counter, 5 * WINDOW).await;
            for (first, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (to, cost) in &admitted[first..] {
                    sum += cost;
                    let (span, algorithm) = (to - from, counter.algorithm);
                    let most = bound(&counter, span);
                    assert!(sum <= most, "{algorithm:?}: {sum}, not {most}, within {span} ms");
                }
            }
        });
    }
    tasks.join_all().await;
}

/// The longest that a denied request has to wait.
fn longest(verdict: &Verdict) -> u64 {
    verdict.limits.iter().map(|standing| standing.wait_ms).max().unwrap()
}

/// Always, at the very millisecond, for limits of one algorithm and of all three at once; and not
/// a millisecond before.
pub(super) async fn waiting_is_enough_whatever_the_algorithm_and_the_cost(backend: Backend) {
    let (mut tasks, mut denials, by_hand) = (JoinSet::new(), 0, backend.is_by_hand());
    for window in [1, 7, 50, 333] {
        let (name, backend) = (backend.tenant(), backend.clone());
        let all = Counter::of_each_algorithm(&name, 6, window);
        let sizes = [(0, 7, window), (1, 9, window + window / 3), (2, 6, 2 * window)];
        let together = sizes.map(|(index, quota, window)| {
            all[index].window(window).quota(quota).user("together").route("/r")
        });
        let mut sets: Vec<Vec<Counter>> = all.into_iter().map(|alone| vec![alone]).collect();
        sets.push(together.into());
        for counters in sets {
            let backend = backend.clone();
            let waits = async move { waits(&backend, &counters).await };
            if by_hand {
                // One clock: nobody else may set it on meanwhile.
                denials += waits.await;
            } else {
                tasks.spawn(waits);
            }
        }
    }
    denials += tasks.join_all().await.iter().sum::<u64>();
    assert!(denials > 100, "{denials}");
    println!("{denials} were denied at some cost, and admitted as soon as they were told");
}

async fn waits(backend: &Backend, counters: &[Counter]) -> u64 {
    let (mut denials, window) = (0, counters[0].window);
    let wanted = (600 / window).clamp(2, 40);
    for turn in 0..600 {
        let cost = turn * 7 % 5 + 1;
        let priced: Vec<_> = counters.iter().map(|counter| counter.cost(cost)).collect();
        let priced: Vec<_> = priced.iter().collect();
        let verdict = backend.check(&priced).await;
        let wait = longest(&verdict);
        assert_eq!(verdict.allowed, wait == 0, "{verdict:?}");
        if verdict.allowed {
            continue;
        }
        denials += 1;
        // Who is denied may ask for more at once, and is told for how long that waits.
        let dear: Vec<_> = counters.iter().map(|counter| counter.cost(cost + turn % 2)).collect();
        let (cost, priced) = (cost + turn % 2, dear.iter().collect::<Vec<_>>());
        let verdict = backend.check(&priced).await;
        let wait = longest(&verdict);
        if verdict.allowed {
            continue;
        }
        let most = counters.iter().map(Counter::memory).max().unwrap() + u64::from(verdict.known);
        assert!(wait <= most, "{wait} of {most} ms");
        if backend.is_by_hand() {
            backend.wait(wait - 1).await;
            let early = backend.check(&priced).await;
            assert_eq!((early.allowed, longest(&early)), (false, 1), "{counters:?}");
            backend.wait(1).await;
        } else {
            backend.wait(wait).await;
        }
        let verdict = backend.check(&priced).await;
        assert!(verdict.allowed, "told {wait} ms at {cost}, then {verdict:?} of {counters:?}");
        if denials >= wanted {
            break;
        }
    }
    denials
}

/// Right after a window's end the full limit is there, or what has slid out.
pub(super) async fn a_sliding_window_remembers_and_a_fixed_one_forgets(backend: Backend) {
    const WINDOW: u64 = 400;
    let [fixed, sliding, _] = Counter::of_each_algorithm(&backend.tenant(), 100, WINDOW);
    let full = backend.check(&[&fixed.cost(100), &sliding.cost(100)]).await;
    assert!(full.allowed);
    assert_eq!(remaining(&full), [0, 0]);
    backend.wait(WINDOW).await;
    let after = backend.check(&[&fixed.cost(0), &sliding.cost(0)]).await;
    let since = after.at_ms - full.at_ms;
    assert!(since >= WINDOW);
    // What slid out since the window's end, rounded down; all, one window later.
    let slid = ((since - WINDOW) * 100 / WINDOW).min(100);
    assert_eq!(remaining(&after), [100, slid], "{since} ms later");
    let at_once = backend.check(&[&fixed.cost(100)]).await;
    assert!(at_once.allowed, "the full limit, in one piece");
    backend.wait(WINDOW).await;
    assert_eq!(backend.left(&sliding).await, 100);
}

pub(super) async fn gcra_gives_back_evenly_and_as_much_at_once_as_the_burst(backend: Backend) {
    for burst in [1, 3, 10, 25] {
        let counter = Counter::new(&backend.tenant(), 10, HOUR).algorithm(Algorithm::Gcra);
        let counter = counter.burst(burst);
        for left in (0..burst).rev() {
            let verdict = backend.check(&[&counter]).await;
            assert!(verdict.allowed);
            let standing = only(&verdict);
            assert_eq!((standing.remaining, standing.wait_ms), (left, 0));
            let due = (burst - left) * HOUR / 10;
            assert!((due - 60_000..=due).contains(&standing.resets_in_ms), "{standing:?}");
        }
        let denied = backend.check(&[&counter]).await;
        assert!(!denied.allowed);
        let wait = only(&denied).wait_ms;
        assert!((HOUR / 10 - 60_000..=HOUR / 10).contains(&wait), "one interval, not {wait}");
    }
    let counter = Counter::new(&backend.tenant(), 10, 500).algorithm(Algorithm::Gcra);
    assert!(backend.check(&[&counter.cost(10)]).await.allowed);
    let mut last = 0;
    for _ in 0..5 {
        let wait = only(&backend.check(&[&counter]).await).wait_ms;
        assert!(wait <= 50, "one comes back every 50 ms, not {wait}");
        if wait == 0 {
            // The store was asked so slowly that one had come back, and is gone again.
            continue;
        }
        backend.wait(wait).await;
        let verdict = backend.check(&[&counter]).await;
        assert!(verdict.allowed);
        last = last.max(only(&verdict).remaining);
    }
    assert!(!backend.is_by_hand() || last == 0, "one at a time, not {last}");
}
