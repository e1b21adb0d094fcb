//! Who is admitted, and what is told about it.

use tokio::task::JoinSet;
use tower_keep::ErrorClass;

use super::backend::{Backend, Counter, HOUR, only, remaining, resets};

pub(super) async fn admits_exactly_the_limit_then_denies(backend: Backend) {
    let counter = Counter::new(&backend.tenant(), 5, HOUR).user("u").route("/r");
    let mut before = HOUR;
    for left in [Some(4), Some(3), Some(2), Some(1), Some(0), None, None, None] {
        let verdict = backend.check(&[&counter]).await;
        let standing = only(&verdict);
        assert_eq!(verdict.allowed, left.is_some());
        assert_eq!(standing.remaining, left.unwrap_or(0));
        if left == Some(4) {
            assert_eq!(standing.resets_in_ms, HOUR, "the first hit has the whole window");
        }
        assert!((1..=before).contains(&standing.resets_in_ms), "{standing:?} after {before}");
        before = standing.resets_in_ms;
    }
}

/// Also from the limits that were not violated, and without opening a window.
pub(super) async fn a_denial_consumes_nothing(backend: Backend) {
    let name = backend.tenant();
    let tenant = Counter::new(&name, 10, HOUR);
    let user = Counter::new(&name, 2, HOUR).user("u");
    let endpoint = Counter::new(&name, 5, HOUR).route("/r");
    let untouched = Counter::new(&name, 7, HOUR).user("u").route("/r").rule("untouched");
    for left in [[9, 1, 4], [8, 0, 3]] {
        let verdict = backend.check(&[&tenant, &user, &endpoint]).await;
        assert!(verdict.allowed);
        assert_eq!(remaining(&verdict), left);
    }
    for _ in 0..30 {
        let verdict = backend.check(&[&untouched, &endpoint, &user, &tenant]).await;
        assert!(!verdict.allowed);
        assert_eq!(remaining(&verdict), [7, 3, 0, 8]);
        assert_eq!(verdict.limits[0].resets_in_ms, HOUR, "it has not begun");
    }
    backend.wait(5).await;
    let verdict = backend.check(&[&tenant, &endpoint, &untouched]).await;
    assert!(verdict.allowed);
    assert_eq!(remaining(&verdict), [7, 2, 6]);
    let resets = resets(&verdict);
    assert!(resets[0] < HOUR && resets[1] < HOUR, "{resets:?}: older than that");
    assert_eq!(resets[2], HOUR, "it begins now");
}

pub(super) async fn eight_limits_are_decided_at_once(backend: Backend) {
    let name = backend.tenant();
    let quotas = [7, 9, 3, 10, 5, 8, 4, 6];
    let windows = [1, 5, 3, 2, 9, 7, 4, 8].map(|hours| hours * HOUR);
    let limit = |(index, (quota, window))| {
        Counter::new(&name, quota, window).user("u").rule(format!("r{index}"))
    };
    let counters: Vec<_> = quotas.into_iter().zip(windows).enumerate().map(limit).collect();
    let counters: Vec<_> = counters.iter().collect();
    for (used, allowed) in [(1, true), (2, true), (3, true), (3, false), (3, false)] {
        let verdict = backend.check(&counters).await;
        assert_eq!(verdict.allowed, allowed);
        assert_eq!(remaining(&verdict), quotas.map(|quota| quota - used), "in the order asked");
        for (told, window) in resets(&verdict).into_iter().zip(windows) {
            assert!(told <= window && told > window - HOUR, "{told} of {window}");
        }
    }
}

pub(super) async fn more_limits_than_eight_are_refused(backend: Backend) {
    let name = backend.tenant();
    let counters: Vec<_> =
        (0..9).map(|n| Counter::new(&name, 5, HOUR).rule(format!("r{n}"))).collect();
    let counters: Vec<_> = counters.iter().collect();
    let error = backend.try_check(&counters).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    assert_eq!(remaining(&backend.check(&counters[..8]).await), [4; 8], "none was counted");
}

pub(super) async fn counts_survive_a_change_of_the_limit(backend: Backend) {
    let counter = Counter::new(&backend.tenant(), 5, HOUR).user("u");
    for (quota, allowed, left) in [
        (5, true, 4),
        (5, true, 3),
        (5, true, 2),
        (2, false, 0),
        (1, false, 0),
        (3, false, 0),
        (4, true, 0),
        (4, false, 0),
        (1_000_000_000, true, 999_999_995),
        (10, true, 4),
        (6, false, 0),
    ] {
        let verdict = backend.check(&[&counter.quota(quota)]).await;
        assert_eq!((verdict.allowed, only(&verdict).remaining), (allowed, left), "of {quota}");
    }
}

pub(super) async fn many_tasks_are_admitted_exactly_to_the_limit(backend: Backend) {
    let name = backend.tenant();
    let limits = [
        Counter::new(&name, 900, HOUR),
        Counter::new(&name, 300, HOUR).user("u"),
        Counter::new(&name, 400, HOUR).route("/r"),
    ];
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let (backend, limits) = (backend.clone(), limits.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            for _ in 0..25 {
                let verdict = backend.check(&limits.each_ref()).await;
                admitted += u64::from(verdict.allowed);
                // Whatever the others do, one's own request is among those counted.
                assert_eq!(verdict.limits[0].remaining - 600, verdict.limits[1].remaining);
                assert_eq!(verdict.limits[2].remaining - 100, verdict.limits[1].remaining);
            }
            admitted
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u64>(), 300);
    let verdict = backend.check(&[&limits[0], &limits[2]]).await;
    assert_eq!(remaining(&verdict), [599, 99], "300 were counted, and this one");
}
