use proptest::prelude::*;

use super::*;
use crate::id::{Origin, SessionId};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token(touched: u64, idle: Duration) -> Token {
    Token {
        id: SessionId::from_bytes([0; 16]),
        origin: Origin([0; 16]),
        user: None,
        touched: UnixMillis(touched),
        idle,
        transient: false,
    }
}

fn problems(lifetimes: &Lifetimes) -> Vec<String> {
    let mut error = ConfigError::default();
    lifetimes.validate(&mut error);
    error.problems().iter().map(|p| format!("{}: {}", p.name, p.message)).collect()
}

#[test]
fn a_session_lives_for_a_day_and_at_most_a_week() {
    let lifetimes = Lifetimes::default();
    assert_eq!(problems(&lifetimes), Vec::<String>::new());
    assert_eq!(lifetimes.idle_for(true, false, None), DAY);
    assert_eq!(lifetimes.idle_for(false, false, None), DAY);
    assert_eq!(lifetimes.absolute_for(DAY), Some(7 * DAY));
    assert_eq!(lifetimes.idle_for(true, true, None), 30 * DAY);
    assert_eq!(lifetimes.absolute_for(30 * DAY), Some(30 * DAY));
    assert_eq!(lifetimes.touch_every, secs(300));
}

#[test]
fn only_users_are_remembered_and_never_for_less() {
    let lifetimes = Lifetimes { anonymous: Some(secs(60)), ..Lifetimes::default() };
    assert_eq!(lifetimes.idle_for(false, true, None), secs(60));
    let long = Lifetimes { idle: 60 * DAY, ..Lifetimes::default() };
    assert_eq!(problems(&long), Vec::<String>::new());
    assert_eq!(long.idle_for(true, true, None), 60 * DAY);
    assert_eq!(long.absolute_for(60 * DAY), Some(60 * DAY));
    assert_eq!(long.idle_for(false, false, None), 60 * DAY);
}

#[test]
fn what_was_asked_for_one_session_is_held_within_the_limits() {
    let lifetimes = Lifetimes { absolute: Absolute::After(7 * DAY), ..Lifetimes::default() };
    for (user, remember, own, expected) in [
        (true, false, 3600, secs(3600)),
        (true, false, 0, secs(1)),
        (true, false, 10 * 86_400, 7 * DAY),
        (true, true, 10 * 86_400, 10 * DAY),
        (true, true, 31 * 86_400, 30 * DAY),
        (false, true, 31 * 86_400, 7 * DAY),
    ] {
        assert_eq!(lifetimes.idle_for(user, remember, Some(secs(own))), expected);
    }
    let own = Some(Duration::from_millis(2_999));
    assert_eq!(lifetimes.idle_for(true, false, own), secs(2));
    let endless = Lifetimes { absolute: Absolute::Never, ..Lifetimes::default() };
    assert_eq!(endless.idle_for(true, false, Some(Duration::MAX)), 400 * DAY);
    assert_eq!(endless.absolute_for(400 * DAY), None);
}

#[test]
fn each_time_has_its_bounds() {
    let good = Lifetimes::default;
    let short = Duration::from_millis(999);
    let long = 400 * DAY + Duration::from_nanos(1);
    for bad in [Duration::ZERO, short, long, Duration::MAX] {
        for (name, lifetimes) in [
            ("ttl", Lifetimes { idle: bad, ..good() }),
            ("anonymous_ttl", Lifetimes { anonymous: Some(bad), ..good() }),
            ("remember_ttl", Lifetimes { remember: bad, ..good() }),
            ("touch_every", Lifetimes { touch_every: bad, ..good() }),
        ] {
            let problems = problems(&lifetimes);
            assert_eq!(problems, [format!("{name}: {bad:?} is not from 1 second to 400 days")]);
        }
        let absolute = Lifetimes { absolute: Absolute::After(bad), ..good() };
        assert!(problems(&absolute)[0].starts_with("absolute_ttl: "));
    }
    let all_bad = Lifetimes { idle: short, remember: short, touch_every: short, ..good() };
    assert_eq!(problems(&all_bad).len(), 3);
    for edge in [SECOND, 400 * DAY] {
        let lifetimes = Lifetimes {
            idle: edge,
            anonymous: Some(edge),
            absolute: Absolute::After(edge),
            remember: edge,
            touch_every: edge,
            touch: Touch::OnRequest,
        };
        assert_eq!(problems(&lifetimes), Vec::<String>::new());
    }
}

#[test]
fn an_absolute_limit_is_not_below_the_idle_times() {
    let lifetimes = Lifetimes {
        idle: secs(61),
        anonymous: Some(secs(62)),
        absolute: Absolute::After(secs(60)),
        ..Lifetimes::default()
    };
    assert_eq!(
        problems(&lifetimes),
        [
            "absolute_ttl: 60s is shorter than `ttl`, which is 61s",
            "absolute_ttl: 60s is shorter than `anonymous_ttl`, which is 62s"
        ]
    );
}

#[test]
fn a_touch_is_due_once_the_interval_has_passed() {
    let lifetimes = Lifetimes::default();
    let token = token(1_000_000, DAY);
    for (now, due) in [
        (1_000_000, false),
        (1_299_999, false),
        (1_300_000, true),
        // A clock that is ahead has made it, or this one was put back.
        (700_001, false),
        (700_000, true),
        (0, true),
    ] {
        let now = UnixMillis(now);
        assert_eq!(lifetimes.touch_due(&token, now), due);
        assert_eq!(lifetimes.is_stale(&token, now), due);
        let never = Lifetimes { touch: Touch::Never, ..Lifetimes::default() };
        assert!(!never.touch_due(&token, now));
        assert_eq!(never.is_stale(&token, now), due);
    }
}

#[test]
fn the_interval_of_a_short_session_is_a_quarter_of_its_idle_time() {
    let lifetimes = Lifetimes::default();
    for (idle, interval) in [(1_200, 300_000), (1_199, 299_750), (60, 15_000), (1, 250)] {
        let token = token(0, secs(idle));
        assert!(!lifetimes.touch_due(&token, UnixMillis(interval - 1)));
        assert!(lifetimes.touch_due(&token, UnixMillis(interval)));
    }
}

#[test]
fn it_is_over_when_the_store_too_must_think_so() {
    let lifetimes = Lifetimes::default();
    let token = token(5_000, secs(60));
    for (now, over) in
        [(0, false), (65_000, false), (80_000, false), (80_001, true), (u64::MAX, true)]
    {
        assert_eq!(lifetimes.is_over(&token, UnixMillis(now)), over, "{now}");
    }
}

#[test]
fn a_new_token_is_urgent_when_half_the_time_has_passed() {
    let token = token(5_000, secs(60));
    for (now, urgent) in [(0, false), (34_999, false), (35_000, true), (u64::MAX, true)] {
        assert_eq!(Lifetimes::is_urgent(&token, UnixMillis(now)), urgent, "{now}");
    }
}

#[test]
fn a_cookie_does_not_outlive_its_session() {
    let now = UnixMillis(10_000);
    let age = |idle, end: Option<u64>| {
        Lifetimes::max_age(false, secs(idle), end.map(UnixMillis), now).map(|age| age.as_secs())
    };
    assert_eq!(age(60, None), Some(60));
    assert_eq!(age(60, Some(100_000)), Some(60));
    assert_eq!(age(60, Some(69_999)), Some(59));
    assert_eq!(age(60, Some(10_000)), Some(0));
    assert_eq!(age(60, Some(0)), Some(0));
    assert_eq!(Lifetimes::max_age(true, secs(60), None, now), None);
}

prop_compose! {
    fn any_lifetimes()(
        idle in 1..=34_560_000_u64,
        anonymous in prop::option::of(1..=34_560_000_u64),
        absolute in prop_oneof![
            Just(Absolute::Usual),
            Just(Absolute::Never),
            (1..=34_560_000_u64).prop_map(|limit| Absolute::After(secs(limit))),
        ],
        remember in 1..=34_560_000_u64,
        touch_every in 1..=34_560_000_u64,
        touch in prop_oneof![Just(Touch::OnAccess), Just(Touch::OnRequest), Just(Touch::Never)],
    ) -> Lifetimes {
        Lifetimes {
            idle: secs(idle),
            anonymous: anonymous.map(secs),
            absolute,
            remember: secs(remember),
            touch_every: secs(touch_every),
            touch,
        }
    }
}

proptest! {
    #[test]
    fn a_touch_is_due_before_it_is_over_and_nothing_overflows(
        lifetimes in any_lifetimes(), touched: u64, idle: u32, now: u64,
    ) {
        let (token, now) = (token(touched, secs(idle.into())), UnixMillis(now));
        if lifetimes.is_over(&token, now) {
            prop_assert!(lifetimes.is_stale(&token, now));
            let end = token.touched.plus(token.idle);
            prop_assert!(now > end);
        }
        if lifetimes.touch_due(&token, now) {
            prop_assert!(lifetimes.is_stale(&token, now));
            prop_assert_ne!(lifetimes.touch, Touch::Never);
        }
    }

    #[test]
    fn an_idle_time_is_whole_and_within_the_absolute_limit(
        lifetimes in any_lifetimes(), user: bool, remember: bool,
        own in prop::option::of(any::<Duration>()),
    ) {
        let mut error = ConfigError::default();
        lifetimes.validate(&mut error);
        let idle = lifetimes.idle_for(user, remember, own);
        prop_assert!((SECOND..=LONGEST).contains(&idle));
        prop_assert_eq!(idle.subsec_nanos(), 0);
        let absolute = lifetimes.absolute_for(idle);
        prop_assert!(absolute.is_none_or(|absolute| absolute >= idle && absolute <= LONGEST));
        if let (Absolute::After(limit), true) = (lifetimes.absolute, error.problems().is_empty()) {
            // Only remembering leads past what was configured.
            prop_assert!(idle <= limit || (user && remember));
        }
    }

    #[test]
    fn a_cookie_is_gone_with_the_absolute_limit(idle: u32, end: u64, now: u64) {
        let idle = secs(idle.into());
        let age = Lifetimes::max_age(false, idle, Some(UnixMillis(end)), UnixMillis(now)).unwrap();
        prop_assert!(age <= idle);
        prop_assert!(age.is_zero() || UnixMillis(now).plus(age) <= UnixMillis(end));
    }
}
