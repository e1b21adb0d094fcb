//! What others left under a counter's key.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Desk;
use crate::limit_store::{
    backend::{Counter, HOUR, Watch, in_time, only},
    site::Kind,
};

const WINDOW: u64 = 60;

fn counter(user: &str, quota: u64, window: u64) -> Counter {
    Counter::new("acme", quota, window).user(user).route("/x")
}

/// A short window on a key that stays.
fn short(quota: u64) -> Counter {
    counter("42", quota, WINDOW).life(HOUR)
}

fn key(user: &str) -> String {
    format!("ratelimit:acme:{user}:/x")
}

/// A limit of the same tenant that denies from the second check on.
fn full() -> Counter {
    Counter::new("acme", 1, HOUR).rule("full")
}

/// A counter that lost its expiry gets a new one, whoever is denied or admitted, and keeps its
/// count and its window.
#[tokio::test]
async fn a_lost_expiry_is_given_back() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        assert!(desk.check(&[&full()]).await.allowed);
        let start = desk.site.now().await - 1000;
        let ends = |at: i64| super::assert_about(at, start + 2 * HOUR);
        for (user, count, other, allowed, after) in [
            ("admitted", 3, None, true, 4),
            ("denied", 5, None, false, 5),
            ("denied-above", 7, None, false, 7),
            ("denied-by-another", 3, Some(full()), false, 3),
        ] {
            let counter = counter(user, 5, HOUR).life(2 * HOUR);
            desk.set(&key(user), format!("{count} {start}")).await;
            assert_eq!(desk.expires_at(&key(user)).await, -1);
            let limits: Vec<_> = [&counter].into_iter().chain(&other).collect();
            let verdict = desk.check(&limits).await;
            assert_eq!(verdict.allowed, allowed, "{user}");
            let told = verdict.limits[0].resets_in_ms;
            assert!((HOUR - 60_000..=HOUR - 1000).contains(&told), "{user}: {told}");
            assert_eq!(desk.read(&key(user)).await, (after, start), "{user}");
            ends(desk.expires_at(&key(user)).await);
        }
    }
}

/// Somebody's own INCR with an EXPIRE: the window ends when that key would have.
#[tokio::test]
async fn bare_integers_are_read_with_their_expiry() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        for (user, expiry) in
            [("shorter", HOUR / 2), ("equal", HOUR), ("longer", 2 * HOUR), ("none", 0)]
        {
            let counter = counter(user, 5, HOUR);
            desk.set(&key(user), "3").await;
            if expiry > 0 {
                desk.expire(&key(user), expiry).await;
            }
            let ends = if expiry > 0 { desk.expires_at(&key(user)).await } else { i64::MAX };
            let latest = desk.site.now().await + HOUR;
            let verdict = desk.check(&[&counter]).await;
            let standing = only(&verdict);
            assert!(verdict.allowed);
            assert_eq!(standing.remaining, 1, "{user}: 3 were counted, and this one");
            let (count, start) = desk.read(&key(user)).await;
            assert_eq!(count, 4);
            // No later than its own end, and never longer than a window from now.
            let expected = latest.min(u64::try_from(ends).unwrap());
            super::assert_about(i64::try_from(start + HOUR).unwrap(), expected);
            super::assert_about(desk.expires_at(&key(user)).await, expected);
        }
    }
}

/// Whatever the integer and its expiry, a denied caller is told how long to wait, and that is
/// enough.
#[tokio::test]
async fn nobody_is_locked_out_by_a_bare_integer() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        for expiry in [None, Some(1), Some(WINDOW / 2), Some(WINDOW), Some(WINDOW + 1), Some(HOUR)]
        {
            for count in ["2", "3", "1000000", "9007199254740993", "99999999999999999999999999"] {
                let counter = short(2);
                desk.set(&key("42"), count).await;
                if let Some(expiry) = expiry {
                    desk.expire(&key("42"), expiry).await;
                }
                must_pass_as_told(&desk, &counter, &format!("{count} for {expiry:?}")).await;
            }
        }
    }
}

/// In the last millisecond of its life a key is still there, with nothing left of it.
#[tokio::test]
async fn the_last_millisecond_of_a_bare_integer_is_no_trap() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counter = counter("42", 5, WINDOW);
        let mut denials = 0;
        for _ in 0..40 {
            desk.set(&key("42"), "5").await;
            desk.expire(&key("42"), 10).await;
            loop {
                let verdict = desk.check(&[&counter]).await;
                if verdict.allowed {
                    break;
                }
                denials += 1;
                assert!(only(&verdict).resets_in_ms > 0, "denied without a reset to wait for");
            }
        }
        assert!(denials > 0);
    }
}

/// Checks until denied or admitted; if denied, waits as told and must be admitted.
async fn must_pass_as_told(desk: &Desk, counter: &Counter, case: &str) {
    let verdict = desk.check(&[counter]).await;
    if !verdict.allowed {
        let told = only(&verdict).resets_in_ms;
        assert!((1..=counter.window).contains(&told), "{case}: told {told} ms");
        assert_ne!(desk.expires_at(&key("42")).await, -1, "{case}: not healed by the denial");
        let begun = Instant::now();
        sleep(Duration::from_millis(told)).await;
        let verdict = desk.check(&[counter]).await;
        assert!(verdict.allowed, "{case}: waited {:?} of {told} ms: {verdict:?}", begun.elapsed());
    }
    let (count, start) = desk.read(&key("42")).await;
    let now = desk.site.now().await;
    assert!((1..=counter.quota).contains(&count), "{case}: counts {count}");
    assert!(start <= now && now < start + 60_000, "{case}: begins {start}");
    let ends = desk.expires_at(&key("42")).await;
    super::assert_about(ends, start + counter.limit().life_ms);
}

/// What is no counter counts as nothing, and is overwritten by the first one admitted.
#[tokio::test]
async fn garbage_counts_as_nothing() {
    const GARBAGE: &[&[u8]] = &[
        b"",
        b" ",
        b"x",
        b"5 ",
        b" 5",
        b"5 5 5",
        b"5  5",
        b"-5",
        b"-5 100",
        b"5 -100",
        b"5.0",
        b"5.5 100",
        b"1e3",
        b"1e3 100",
        b"0x10",
        b"0x10 100",
        b"+5",
        b"nan",
        b"inf",
        b"inf inf",
        b"5,100",
        b"5\n",
        b"5 100\n",
        b"\n5",
        b"5\0",
        b"\0",
        b"\xff\xfe 5",
        b"{}",
        b"%d %d",
        // Windows that ended long ago.
        b"5 0",
        b"5 1",
        b"9007199254740993 100",
        b"99999999999999999999 00000000000000000000",
    ];
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        desk.check(&[&full()]).await;
        let long = vec![b'7'; 100_000];
        let mut long_text = long.clone();
        long_text.push(b'x');
        let garbage = GARBAGE.iter().copied().chain([long_text.as_slice()]);
        for (index, garbage) in garbage.enumerate() {
            for expiry in [None, Some(HOUR)] {
                let case = format!("{} for {expiry:?}", garbage.escape_ascii());
                let user = format!("u{index}-{}", expiry.is_some());
                let counter = counter(&user, 3, HOUR);
                desk.set(&key(&user), garbage).await;
                if let Some(expiry) = expiry {
                    desk.expire(&key(&user), expiry).await;
                }
                let denied = desk.check(&[&counter, &full()]).await;
                assert!(!denied.allowed);
                assert_eq!(denied.limits[0].remaining, 3, "{case}");
                assert!(desk.expires_at(&key(&user)).await > 0, "{case}: lives for ever");
                let now = desk.site.now().await;
                let admitted = desk.check(&[&counter]).await;
                assert!(admitted.allowed, "{case}");
                assert_eq!((only(&admitted).remaining, only(&admitted).resets_in_ms), (2, HOUR));
                let (count, start) = desk.read(&key(&user)).await;
                assert_eq!(count, 1, "{case}");
                assert!(start >= now, "{case}");
                super::assert_about(desk.expires_at(&key(&user)).await, start + HOUR);
            }
        }
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_overwritten_and_counted() {
    for kind in [Kind::SINGLE[0], Kind::SINGLE[1], Kind::ALL[2]] {
        let desk = Desk::open(kind).await;
        desk.check(&[&full()]).await;
        for (user, plant) in [
            ("list", &["LPUSH", "KEY", "5"][..]),
            ("hash", &["HSET", "KEY", "5", "5"]),
            ("set", &["SADD", "KEY", "5"]),
            ("sorted-set", &["ZADD", "KEY", "5", "5"]),
            ("stream", &["XADD", "KEY", "*", "5", "5"]),
        ] {
            let key = desk.site.key(&format!("ratelimit:{{acme}}:{user}:/x"));
            let plant: Vec<_> =
                plant.iter().map(|arg| if *arg == "KEY" { key.as_str() } else { arg }).collect();
            desk.site.command(&plant).await;
            let counter = counter(user, 2, HOUR);
            let denied = desk.check(&[&counter, &full()]).await;
            assert!(!denied.allowed);
            assert_eq!(denied.limits[0].remaining, 2, "{user}");
            for (allowed, left) in [(true, 1), (true, 0), (false, 0)] {
                let verdict = desk.check(&[&counter]).await;
                assert_eq!((verdict.allowed, only(&verdict).remaining), (allowed, left), "{user}");
            }
            assert_eq!(desk.read(&key).await.0, 2, "{user}");
        }
    }
}

/// Counters that are well formed but cannot be: never a lock-out beyond one window.
#[tokio::test]
async fn impossible_counters_lock_nobody_out() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let now = desk.site.now().await;
        let soon = now + HOUR;
        let digits = "9".repeat(400);
        for value in [
            format!("3 {soon}"),
            format!("3 {digits}"),
            format!("{digits} {now}"),
            format!("{digits} {digits}"),
            format!("{digits} {soon}"),
            "9007199254740991 9007199254740991".to_owned(),
            "9007199254740992 18446744073709551616".to_owned(),
            digits.clone(),
        ] {
            for expiry in [None, Some(10 * HOUR)] {
                let counter = short(3);
                desk.set(&key("42"), &value).await;
                if let Some(expiry) = expiry {
                    desk.expire(&key("42"), expiry).await;
                }
                must_pass_as_told(&desk, &counter, &format!("{value} for {expiry:?}")).await;
            }
        }
    }
}

/// Even a count past all numbers is one, and is kept within those that Redis writes exactly.
#[tokio::test]
async fn a_huge_count_is_denied_for_one_window_and_not_forgotten() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counter = counter("42", 1_000_000_000, HOUR);
        let digits = "9".repeat(400);
        for value in [digits.clone(), format!("{digits} {digits}")] {
            desk.set(&key("42"), &value).await;
            for _ in 0..3 {
                let verdict = desk.check(&[&counter]).await;
                assert_eq!((verdict.allowed, only(&verdict).remaining), (false, 0));
            }
            let (count, start) = desk.read(&key("42")).await;
            assert_eq!(count, (1 << 53) - 1);
            assert!(start <= desk.site.now().await);
        }
    }
}

/// The clock went back: what was counted stays counted, in a window that opens now.
#[tokio::test]
async fn a_window_in_the_future_opens_now_and_keeps_its_count() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let ((first, second, read, future), _) = in_time(1000, async |window| {
            let counter = counter("42", 3, window);
            let future = desk.site.now().await + HOUR;
            desk.set(&key("42"), format!("2 {future}")).await;
            let watch = Watch::start(window);
            let first = desk.check(&[&counter]).await;
            let second = desk.check(&[&counter]).await;
            let read = desk.read(&key("42")).await;
            watch.done(((only(&first), first.allowed), second.allowed, read, future))
        })
        .await;
        assert_eq!((first.1, first.0.remaining, second), (true, 0, false));
        assert!(first.0.resets_in_ms <= 30_000, "{first:?}");
        assert_eq!(read.0, 3);
        assert!(read.1 < future);
    }
}
