//! When the full limit is there again.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::backend::{Backend, Counter, HOUR, Watch, in_time, only, remaining, resets};

pub(super) async fn the_window_opens_with_the_first_hit(backend: Backend) {
    let (seen, window) = in_time(400, async |window| {
        let counter = Counter::new(&backend.tenant(), 3, window).user("u");
        let watch = Watch::start(window);
        let first = backend.check(&[&counter]).await;
        backend.wait(window / 2).await;
        let second = backend.check(&[&counter]).await;
        if !watch.in_time() {
            return None;
        }
        backend.wait(only(&second).resets_in_ms).await;
        let watch = Watch::start(window);
        let mut verdicts = vec![first, second];
        for _ in 0..4 {
            verdicts.push(backend.check(&[&counter]).await);
        }
        watch.done(verdicts)
    })
    .await;
    let allowed: Vec<_> = seen.iter().map(|verdict| verdict.allowed).collect();
    assert_eq!(allowed, [true, true, true, true, true, false]);
    let left: Vec<_> = seen.iter().map(|verdict| only(verdict).remaining).collect();
    assert_eq!(left, [2, 1, 2, 1, 0, 0], "the full limit at once");
    let told: Vec<_> = seen.iter().map(|verdict| only(verdict).resets_in_ms).collect();
    assert_eq!((told[0], told[2]), (window, window));
    assert!(told[1] <= window / 2, "{told:?}: not half of {window} have passed");
}

pub(super) async fn limits_of_one_check_have_windows_of_their_own(backend: Backend) {
    let (seen, window) = in_time(800, async |long| {
        let name = backend.tenant();
        let short = Counter::new(&name, 2, long / 4).user("u");
        let long = Counter::new(&name, 4, long);
        let watch = Watch::start(long.window);
        let mut verdicts = Vec::new();
        for _ in 0..2 {
            let first = backend.check(&[&short, &long]).await;
            backend.wait(first.limits[0].resets_in_ms).await;
            verdicts.push(first);
        }
        verdicts.push(backend.check(&[&short, &long]).await);
        watch.done(verdicts)
    })
    .await;
    assert!(seen.iter().all(|verdict| verdict.allowed));
    let left: Vec<_> = seen.iter().map(remaining).collect();
    assert_eq!(left, [[1, 3], [1, 2], [1, 1]]);
    for (turn, verdict) in (0..).zip(&seen) {
        let told = resets(verdict);
        assert_eq!(told[0], window / 4, "opens anew each time");
        assert!(told[1] <= window - turn * (window / 4), "{told:?} of {window}");
    }
}

pub(super) async fn hammering_extends_nothing(backend: Backend) {
    const STEPS: u64 = 20;
    let name = backend.tenant();
    let counter = Counter::new(&name, 1, 400).user("u");
    let other = Counter::new(&name, 1_000_000, HOUR);
    let first = backend.check(&[&counter, &other]).await;
    assert!(first.allowed);
    let told = first.limits[0].resets_in_ms;
    let mut admitted = 0;
    for _ in 0..STEPS {
        backend.wait(told.div_ceil(STEPS)).await;
        admitted += u64::from(backend.check(&[&counter, &other]).await.allowed);
    }
    assert!(admitted > 0, "not admitted after {told} ms of trying");
    let left = backend.check(&[&other]).await;
    assert_eq!(remaining(&left), [1_000_000 - 2 - admitted], "only the admitted were counted");
}

/// Always, at the very millisecond, for windows of every length.
pub(super) async fn waiting_as_long_as_told_is_enough(backend: Backend) {
    const ENOUGH: Duration = Duration::from_millis(900);
    let mut tasks = JoinSet::new();
    for window in [1, 2, 3, 7, 13, 50, 99, 333, 1001] {
        let backend = backend.clone();
        tasks.spawn(async move {
            let name = backend.tenant();
            // The request must pass all of its limits, so it waits for the longest.
            let counters = [
                Counter::new(&name, 3, window).user("u"),
                Counter::new(&name, 2, window + window / 2).route("/r"),
            ];
            let wanted = (300 / window).max(1);
            let (begun, mut denials) = (Instant::now(), 0);
            // A machine may be too slow to be denied within a millisecond.
            for _ in 0..5000 {
                let verdict = backend.check(&counters.each_ref()).await;
                for (told, counter) in resets(&verdict).iter().zip(&counters) {
                    assert!((1..=counter.window).contains(told), "{verdict:?} of {window} ms");
                }
                if verdict.allowed {
                    continue;
                }
                denials += 1;
                let violated = verdict.limits.iter().filter(|limit| limit.remaining == 0);
                let wait = violated.map(|limit| limit.resets_in_ms).max().unwrap();
                backend.wait(wait).await;
                let verdict = backend.check(&counters.each_ref()).await;
                assert!(verdict.allowed, "told {wait} ms of {window} ms, then {verdict:?}");
                if begun.elapsed() > ENOUGH && denials >= wanted {
                    break;
                }
            }
            assert!(denials > 0 || window < 50, "nobody was denied within {window} ms");
            denials
        });
    }
    let denials: u64 = tasks.join_all().await.iter().sum();
    println!("{denials} callers were denied, and admitted as soon as they were told");
}

pub(super) async fn another_length_of_the_window_keeps_its_begin(backend: Backend) {
    let counter = Counter::new(&backend.tenant(), 5, HOUR).user("u");
    backend.check(&[&counter]).await;
    backend.wait(20).await;
    let longer = backend.check(&[&counter.window(2 * HOUR)]).await;
    let standing = only(&longer);
    assert_eq!(standing.remaining, 3);
    assert!(standing.resets_in_ms <= 2 * HOUR - 20, "{standing:?}");
    let shorter = backend.check(&[&counter.window(20)]).await;
    assert_eq!((only(&shorter).remaining, only(&shorter).resets_in_ms), (4, 20), "it has ended");
}
