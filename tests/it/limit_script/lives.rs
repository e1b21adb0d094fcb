//! How long keys live, whatever happens to them and whatever the algorithm; and what others left
//! under the keys of sliding windows and GCRA.

use tower_keep::{TenantId, UserId};
use tower_keep_core::key::{BlockKey, UserPart};
use tower_keep_rate_limit::{Algorithm, LimitStore as _, Settlement, Verdict};

use super::Desk;
use crate::limit_store::{
    backend::{Counter, HOUR, only},
    site::Kind,
};

/// One counter of each algorithm, and some that are kept longer than they count.
fn counters() -> Vec<Counter> {
    let name = |counter: Counter, name: &str| {
        let rule = format!("{name}-{:?}", counter.algorithm);
        counter.rule(rule)
    };
    let short = Counter::of_each_algorithm("acme", 5, HOUR).map(|it| name(it, "short"));
    let long =
        Counter::of_each_algorithm("acme", 5, HOUR).map(|it| name(it.life(10 * HOUR), "long"));
    short.into_iter().chain(long).collect()
}

fn key(counter: &Counter) -> String {
    counter.limit().key.spell(false)
}

/// Every one of these is there, and has a life of at most what it is told.
async fn all_live(desk: &Desk, counters: &[Counter], when: &str) {
    for counter in counters {
        let left = desk.site.command(&["PTTL", &key(counter)]).await.int();
        let most = i64::try_from(counter.limit().life_ms).unwrap();
        assert!(0 < left && left <= most, "{}: {left} of {most} {when}", key(counter));
    }
}

async fn settle(desk: &Desk, verdict: &Verdict, counters: &[&Counter], difference: i64) {
    let settlements: Vec<_> = counters
        .iter()
        .zip(&verdict.limits)
        .map(|(counter, standing)| {
            let limit = counter.limit();
            let window = Settlement::window(&limit, standing, verdict.at_ms);
            Settlement { limit, difference, window }
        })
        .collect();
    desk.store.settle(&settlements).await.unwrap();
}

#[tokio::test]
async fn every_key_has_a_life_after_whatever_happens() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counters = counters();
        let all: Vec<_> = counters.iter().collect();
        let verdict = desk.check(&all).await;
        assert!(verdict.allowed);
        all_live(&desk, &counters, "when admitted").await;
        for difference in [2, -1, 100, -1000] {
            settle(&desk, &verdict, &all, difference).await;
            all_live(&desk, &counters, &format!("when settled by {difference}")).await;
        }
        let full: Vec<_> = counters.iter().map(|counter| counter.cost(5)).collect();
        assert!(desk.check(&full.iter().collect::<Vec<_>>()).await.allowed);
        assert!(!desk.check(&all).await.allowed);
        all_live(&desk, &counters, "when denied").await;
        let shadows: Vec<_> = counters.iter().map(|it| it.clone().shadow()).collect();
        assert!(desk.check(&shadows.iter().collect::<Vec<_>>()).await.allowed);
        all_live(&desk, &counters, "when watched").await;
        assert_eq!(desk.site.keys().await.len(), counters.len());

        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("42").unwrap());
        let caller = BlockKey { tenant: &tenant, user: UserPart::User(&user) };
        desk.store.block(caller, 5000).await.unwrap();
        let left = desk.site.command(&["PTTL", &caller.spell(false)]).await.int();
        assert!(0 < left && left <= 5000, "a block lives for {left} ms");
        desk.store.block(caller, 0).await.unwrap();
        assert_eq!(desk.site.keys().await.len(), counters.len(), "its key is gone");
    }
}

/// A counter that lost its expiry gets a new one, whoever is denied, admitted or settled, and
/// keeps what it has counted.
#[tokio::test]
async fn a_lost_expiry_is_given_back_whatever_the_algorithm() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counters = counters();
        let all: Vec<_> = counters.iter().collect();
        let verdict = desk.check(&all).await;
        let persist = async |when: &str| {
            for counter in &counters {
                let done = desk.site.command(&["PERSIST", &key(counter)]).await.int();
                assert_eq!(done, 1, "{} had no expiry {when}", key(counter));
            }
        };
        persist("when admitted").await;
        assert!(desk.check(&all).await.allowed);
        persist("when admitted again").await;
        settle(&desk, &verdict, &all, 1).await;
        persist("when settled").await;
        let denied: Vec<_> = counters.iter().map(|counter| counter.cost(3)).collect();
        let denied = desk.check(&denied.iter().collect::<Vec<_>>()).await;
        assert!(!denied.allowed);
        persist("when denied").await;
        let peeked: Vec<_> = counters.iter().map(|counter| counter.cost(0)).collect();
        let peeked = desk.check(&peeked.iter().collect::<Vec<_>>()).await;
        for standing in denied.limits.iter().chain(&peeked.limits) {
            assert_eq!(standing.remaining, 2, "2 were counted, and 1 settled");
        }
        all_live(&desk, &counters, "when only looked at").await;
    }
}

/// What is no counter of that algorithm counts as nothing, gets an expiry by a denial, and is
/// overwritten by the first one admitted.
#[tokio::test]
async fn garbage_counts_as_nothing_for_sliding_windows_and_gcra() {
    let digits = "9".repeat(50);
    let garbage = [
        "",
        " ",
        "x",
        "5",
        "-5",
        "5 5",
        "5 5 5 5",
        "5  5 5",
        "-5 5 5",
        "5 5 -5",
        "5.0 5 5",
        "1e3 100 5",
        "5 5 5\n",
        "@",
        "@-5",
        "@5.5",
        "@1e9",
        "@x",
        "5@5",
        " @5",
        "@5 ",
        "@5\n",
        "5 0 5",
        "5 1 9",
        "@0",
        "@1",
        "inf inf inf",
        "@inf",
        "nan nan nan",
        &digits,
        "%d",
    ];
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let full = Counter::new("acme", 1, HOUR).rule("full");
        desk.check(&[&full]).await;
        for counter in &Counter::of_each_algorithm("acme", 3, HOUR)[1..] {
            for value in garbage {
                let case = format!("{:?}: {}", counter.algorithm, value.escape_debug());
                desk.set(&key(counter), value).await;
                let denied = desk.check(&[counter, &full]).await;
                assert!(!denied.allowed);
                assert_eq!(
                    (denied.limits[0].remaining, denied.limits[0].wait_ms),
                    (3, 0),
                    "{case}"
                );
                assert_ne!(desk.expires_at(&key(counter)).await, -1, "{case}: lives for ever");
                let admitted = desk.check(&[&counter.cost(3)]).await;
                assert!(admitted.allowed && only(&admitted).remaining == 0, "{case}");
                assert!(!desk.check(&[counter]).await.allowed, "{case}");
            }
            for plant in
                [&["LPUSH", "KEY", "5"][..], &["HSET", "KEY", "5", "5"], &["SADD", "KEY", "5"]]
            {
                desk.site.command(&["DEL", &key(counter)]).await;
                let name = key(counter);
                let plant: Vec<_> = plant
                    .iter()
                    .map(|arg| if *arg == "KEY" { name.as_str() } else { arg })
                    .collect();
                desk.site.command(&plant).await;
                assert!(desk.check(&[&counter.cost(3)]).await.allowed, "{plant:?}");
                assert!(!desk.check(&[counter]).await.allowed, "{plant:?}");
            }
        }
    }
}

/// Counters that are well formed but cannot be: whoever is denied is told a time within reach, and
/// waiting it is enough.
#[tokio::test]
async fn impossible_counters_lock_nobody_out_whatever_the_algorithm() {
    const WINDOW: u64 = 60;
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let soon = desk.site.now().await + HOUR;
        let (digits, now) = ("9".repeat(400), desk.site.now().await);
        let [_, sliding, gcra] = Counter::of_each_algorithm("acme", 3, WINDOW);
        let windows = [
            format!("3 {soon} 3"),
            format!("3 {digits} 3"),
            format!("{digits} {now} {digits}"),
            format!("0 {now} {digits}"),
            format!("{digits} {digits} {digits}"),
            "9007199254740991 9007199254740991 9007199254740991".to_owned(),
        ];
        let arrivals = [
            format!("@{soon}000"),
            format!("@{digits}"),
            "@9007199254740993".to_owned(),
            "@18446744073709551616".to_owned(),
        ];
        let cases = windows.iter().map(|value| (&sliding, value));
        for (counter, value) in cases.chain(arrivals.iter().map(|value| (&gcra, value))) {
            let counter = counter.clone().life(HOUR);
            desk.set(&key(&counter), value).await;
            let verdict = desk.check(&[&counter]).await;
            let told = only(&verdict).wait_ms;
            assert!(told <= counter.memory(), "{value}: told {told} ms");
            assert_ne!(desk.expires_at(&key(&counter)).await, -1, "{value}: lives for ever");
            tokio::time::sleep(std::time::Duration::from_millis(told)).await;
            assert!(desk.check(&[&counter]).await.allowed, "{value}: waited {told} ms");
        }
    }
}

/// One key under which a settlement finds what is no counter keeps no other from being settled.
#[tokio::test]
async fn a_settlement_passes_over_what_is_no_counter() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counters = Counter::of_each_algorithm("acme", 10, HOUR);
        let [fixed, sliding, gcra] = &counters;
        for planted in [fixed, sliding] {
            let all = [
                planted,
                if planted.algorithm == Algorithm::FixedWindow { sliding } else { fixed },
                gcra,
            ];
            let verdict = desk.check(&all).await;
            assert!(verdict.allowed);
            let before = desk.check(&all.map(|it| it.cost(0)).each_ref()).await;
            desk.site.command(&["DEL", &key(planted)]).await;
            desk.site.command(&["LPUSH", &key(planted), "5"]).await;
            settle(&desk, &verdict, &all, 2).await;
            let after = desk.check(&all.map(|it| it.cost(0)).each_ref()).await;
            for other in [1, 2] {
                let (before, after) = (before.limits[other], after.limits[other]);
                assert_eq!(before.remaining - 2, after.remaining);
            }
            desk.site.command(&["DEL", &key(planted)]).await;
        }
    }
}
