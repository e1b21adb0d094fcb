//! Limits that are watched only.

use tower_keep_rate_limit::NEVER;

use super::backend::{Backend, Counter, HOUR, remaining};

pub(super) async fn a_watched_limit_denies_nothing_and_counts_what_fits(backend: Backend) {
    let name = backend.tenant();
    for watched in Counter::of_each_algorithm(&name, 5, HOUR).map(Counter::shadow) {
        let enforced =
            Counter::new(&name, 20, HOUR).rule(format!("beside-{:?}", watched.algorithm));
        for (cost, left, fits) in
            [(2, [18, 3], true), (2, [16, 1], true), (2, [14, 1], false), (1, [13, 0], true)]
        {
            let priced = [enforced.cost(cost), watched.cost(cost)];
            let verdict = backend.check(&priced.each_ref()).await;
            assert!(verdict.allowed);
            assert_eq!(remaining(&verdict), left, "{:?}", watched.algorithm);
            let wait = verdict.limits[1].wait_ms;
            assert!((wait == 0) == fits && wait <= watched.memory(), "{verdict:?}");
        }
        let never = backend.check(&[&enforced, &watched.cost(6)]).await;
        assert!(never.allowed);
        assert_eq!((never.limits[1].wait_ms, never.limits[1].remaining), (NEVER, 0));
        assert_eq!(backend.left(&enforced).await, 12, "the other counted all of it");
    }
}

pub(super) async fn a_watched_limit_counts_nothing_that_another_denies(backend: Backend) {
    let name = backend.tenant();
    for watched in Counter::of_each_algorithm(&name, 5, HOUR).map(Counter::shadow) {
        let enforced = Counter::new(&name, 2, HOUR).rule(format!("beside-{:?}", watched.algorithm));
        for (allowed, left) in [(true, [4, 1]), (true, [3, 0]), (false, [3, 0]), (false, [3, 0])] {
            let verdict = backend.check(&[&watched, &enforced]).await;
            assert_eq!((verdict.allowed, remaining(&verdict)), (allowed, left.to_vec()));
            assert_eq!(verdict.limits[0].wait_ms, 0);
        }
        // All limits of a check are watched: it cannot be denied.
        for _ in 0..10 {
            assert!(backend.check(&[&watched]).await.allowed);
        }
    }
}
