use std::time::Duration;

use tower_keep_core::{
    ErrorClass, TenantId, UserId,
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
    time::UnixMillis,
};

use super::*;

const WINDOW: u64 = 1_000;

fn store(clock: &Clock) -> MemoryStore {
    MemoryStore::new().with_clock(clock.clone())
}

fn clock() -> Clock {
    Clock::manual(UnixMillis(1_000_000))
}

/// One check of `user`, and of the tenant's rule `all` if it has a quota.
fn ask(store: &MemoryStore, tenant: &str, user: &str, quota: u64, all: Option<u64>) -> Verdict {
    try_ask(store, tenant, user, quota, all).unwrap()
}

fn try_ask(
    store: &MemoryStore,
    tenant: &str,
    user: &str,
    quota: u64,
    all: Option<u64>,
) -> Result<Verdict, StoreError> {
    let (tenant, user) = (TenantId::new(tenant).unwrap(), UserId::new(user).unwrap());
    let key = |user, rule| key(&tenant, user, rule);
    let mut limits = vec![Limit::new(key(UserPart::User(&user), "user"), quota, WINDOW)];
    limits.extend(all.map(|quota| Limit::new(key(UserPart::All, "all"), quota, WINDOW)));
    store.check(&limits, &[]).now().unwrap()
}

fn key<'a>(tenant: &'a TenantId, user: UserPart<'a>, rule: &'a str) -> CounterKey<'a> {
    let (endpoint, part) = (EndpointPart::All, CustomPart::Unused);
    CounterKey { tenant, user, endpoint, rule: Some(rule), part }
}

#[test]
fn a_window_admits_its_limit_and_then_the_full_limit_again() {
    let clock = clock();
    let store = store(&clock);
    for _ in 0..2 {
        for left in [2, 1, 0] {
            let verdict = ask(&store, "t", "u", 3, None);
            assert!(verdict.allowed);
            assert_eq!(verdict.limits[0].remaining, left);
        }
        clock.advance(Duration::from_millis(600));
        let denied = ask(&store, "t", "u", 3, None);
        assert!(!denied.allowed);
        assert_eq!(denied.limits[0], Standing { remaining: 0, resets_in_ms: 400, wait_ms: 400 });
        clock.advance(Duration::from_millis(399));
        assert!(!ask(&store, "t", "u", 3, None).allowed, "a denial extends nothing");
        clock.advance(Duration::from_millis(1));
    }
}

#[test]
fn a_denial_is_counted_by_no_limit() {
    let clock = clock();
    let store = store(&clock);
    assert!(ask(&store, "t", "a", 1, Some(2)).allowed);
    for _ in 0..5 {
        let denied = ask(&store, "t", "a", 1, Some(2));
        assert!(!denied.allowed);
        assert_eq!(denied.limits[1].remaining, 1);
    }
    assert!(ask(&store, "t", "b", 1, Some(2)).allowed, "the tenant's last place is still there");
    assert!(!ask(&store, "t", "c", 1, Some(2)).allowed);
    assert_eq!(ask(&store, "t", "c", 1, None).limits[0].remaining, 0, "and c was not counted");
}

#[test]
fn groups_never_share() {
    let store = store(&clock());
    for (tenant, user) in [("a:b", "c"), ("a", "b:c"), ("a", "c"), ("a:b", "b:c")] {
        assert!(ask(&store, tenant, user, 1, None).allowed, "{tenant} {user}");
    }
}

#[test]
fn many_threads_admit_exactly_the_limit() {
    let store = store(&clock());
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, admitted) = (&store, &admitted);
            scope.spawn(move || {
                for _ in 0..500 {
                    let user = format!("u{}", thread % 4);
                    if ask(store, "t", &user, 700, Some(1_000)).allowed {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
}

#[test]
fn counters_whose_window_ended_are_swept() {
    let clock = clock();
    let store = store(&clock);
    for n in 0..5_000 {
        ask(&store, &format!("t{}", n % 40), &format!("u{n}"), 1, None);
    }
    assert_eq!(store.len(), 5_000);
    clock.advance(Duration::from_millis(WINDOW));
    // One busy tenant; the other shards lie idle.
    for _ in 0..20_000 {
        ask(&store, "busy", "u", u64::MAX, None);
    }
    assert_eq!(store.len(), 1);
}

#[test]
fn a_flood_of_new_keys_never_evicts_somebody_at_the_limit() {
    let clock = clock();
    let store = store(&clock).with_capacity(1_000);
    for n in 0..100 {
        let user = format!("denied{n}");
        ask(&store, "t", &user, 1, None);
    }
    for n in 0..100_000 {
        let tenant = if n % 2 == 0 { "t" } else { "other" };
        assert!(ask(&store, tenant, &format!("flood{n}"), 5, None).allowed);
        assert!(store.len() <= 1_000);
    }
    for n in 0..100 {
        assert!(!ask(&store, "t", &format!("denied{n}"), 1, None).allowed, "denied{n} got in");
    }
}

#[test]
fn the_least_used_goes_first() {
    let clock = clock();
    let store = store(&clock).with_capacity(10);
    for _ in 0..50 {
        ask(&store, "t", "regular", 100, None);
    }
    for n in 0..1_000 {
        ask(&store, "t", &format!("flood{n}"), 100, None);
    }
    assert_eq!(ask(&store, "t", "regular", 100, None).limits[0].remaining, 49);
}

#[test]
fn full_of_callers_at_their_limit_is_a_refusal_and_ends_with_the_window() {
    let clock = clock();
    let store = store(&clock).with_capacity(20);
    for n in 0..20 {
        ask(&store, "t", &format!("u{n}"), 1, None);
    }
    for tenant in ["t", "other"] {
        let error = try_ask(&store, tenant, "new", 1, None).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Refused);
    }
    assert_eq!(store.len(), 20);
    assert!(!ask(&store, "t", "u3", 1, None).allowed, "who is known is still told");
    clock.advance(Duration::from_millis(WINDOW));
    assert!(ask(&store, "other", "new", 1, None).allowed);
}

#[test]
fn who_is_blocked_is_denied_until_the_end_of_the_block() {
    let clock = clock();
    let store = store(&clock);
    let (tenant, user) = (TenantId::new("t").unwrap(), UserId::new("u").unwrap());
    let block = BlockKey { tenant: &tenant, user: UserPart::User(&user) };
    let limit = Limit::new(key(&tenant, UserPart::All, "all"), 5, WINDOW);
    let ask = || store.check(&[limit], &[block]).now().unwrap().unwrap();
    assert!(ask().allowed);
    store.block(block, 300).now().unwrap().unwrap();
    clock.advance(Duration::from_millis(100));
    let denied = ask();
    assert_eq!((denied.allowed, denied.blocked_ms), (false, 200));
    assert_eq!(denied.limits[0].remaining, 4, "it is not counted");
    clock.advance(Duration::from_millis(200));
    assert!(ask().allowed);
    store.block(block, 300).now().unwrap().unwrap();
    assert!(!ask().allowed);
    store.block(block, 0).now().unwrap().unwrap();
    assert!(ask().allowed);
}

#[test]
fn a_late_cost_of_gcra_is_owed_by_a_counter_that_was_forgotten() {
    let clock = clock();
    let store = store(&clock);
    let tenant = TenantId::new("t").unwrap();
    let limit = Limit {
        algorithm: Algorithm::Gcra,
        ..Limit::new(key(&tenant, UserPart::All, "all"), 10, WINDOW)
    };
    let verdict = store.check(&[limit], &[]).now().unwrap().unwrap();
    let window = Settlement::window(&limit, &verdict.limits[0], verdict.at_ms);
    clock.advance(Duration::from_millis(500));
    for _ in 0..64 {
        ask(&store, "t", "sweeper", u64::MAX, None);
    }
    store.settle(&[Settlement { limit, difference: 8, window }]).now().unwrap().unwrap();
    let verdict = store.check(&[limit], &[]).now().unwrap().unwrap();
    assert_eq!(verdict.limits[0].remaining, 1);
}

proptest::proptest! {
    /// The short way is the long one, whatever the algorithm, also when the clock goes back: where
    /// it gives an answer, it is the same answer and leaves the same counter.
    #[test]
    fn to_count_at_once_is_to_decide(
        algorithm in 0..3_usize,
        quota in 0_u64..6,
        steps in proptest::collection::vec((0_u64..400, 0..10_u8), 1..80),
    ) {
        let algorithm = [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra][algorithm];
        let clock = clock();
        let (short, long) = (store(&clock), store(&clock));
        let tenant = TenantId::new("t").unwrap();
        for (step, kind) in steps {
            // Now and then the clock is set back.
            let now = clock.now().0;
            clock.set(UnixMillis(if kind == 0 { now - step } else { now + step }));
            let key = key(&tenant, UserPart::All, "all");
            let limit = Limit { algorithm, ..Limit::new(key, quota, WINDOW) };
            let expected = long.check(&[limit], &[]).now().unwrap().unwrap();
            if let Some(standing) = short.count_one(&limit.key, limit.terms()) {
                proptest::prop_assert!(expected.allowed);
                proptest::prop_assert_eq!(standing, expected.limits[0]);
            } else {
                let answer = short.check(&[limit], &[]).now().unwrap().unwrap();
                proptest::prop_assert_eq!(answer, expected);
            }
        }
    }
}

#[test]
fn who_is_blocked_is_not_counted_at_once() {
    let clock = clock();
    let store = store(&clock);
    let tenant = TenantId::new("t").unwrap();
    let limit = Limit::new(key(&tenant, UserPart::All, "all"), 9, WINDOW);
    assert!(store.count_one(&limit.key, limit.terms()).is_none(), "there is no counter yet");
    assert!(ask(&store, "t", "u", 9, Some(9)).allowed);
    assert_eq!(store.count_one(&limit.key, limit.terms()).unwrap().remaining, 7);
    let block = BlockKey { tenant: &tenant, user: UserPart::All };
    store.block(block, 500).now().unwrap().unwrap();
    assert!(store.count_one(&limit.key, limit.terms()).is_none());
}
