//! Checks that are asked for at about the same time.

use std::task::{Context, Waker};

use tokio::task::JoinSet;
use tower_keep::{BusState, TenantId, UserId};
use tower_keep_core::key::{BlockKey, UserPart};
use tower_keep_rate_limit::{Limit, Settlement};
use tower_keep_tests::{Monitor, wait_until};

use super::*;

/// How many checks were sent, and in how many commands.
async fn sent(monitor: &mut Monitor) -> usize {
    let lines = monitor.drain().await;
    lines.iter().filter(|line| line.name() == "EVALSHA").count()
}

/// Whoever takes longer to ask than others wait for the one that is to take them repeats it: each
/// time other callers are asked about.
const SWIFT: Duration = Duration::from_millis(20);

/// In this test's runtime one task comes after the other, so that all have asked before anything
/// is sent.
#[tokio::test]
async fn they_share_a_command_and_are_decided_one_by_one() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        // The script is known from here on.
        desk.check(&[&Counter::new("somebody", 1, HOUR)]).await;
        let mut monitor = desk.site.monitor().await;
        for (checks, commands) in [(1, 1), (2, 1), (32, 1), (33, 2), (90, 3)] {
            let mut told = Vec::new();
            while told.len() < 100 {
                let tenant = format!("{checks}-{}", told.len());
                monitor.drain().await;
                let is_swift = ask_at_once(&desk, &tenant, checks).await;
                told.push(sent(&mut monitor).await);
                if is_swift {
                    break;
                }
            }
            assert_eq!(told.last(), Some(&commands), "{checks} on {}: {told:?}", kind.name());
        }
    }
}

/// Asks for so many checks and looks at what they are told. Whether asking was swift.
async fn ask_at_once(desk: &Desk, tenant: &str, checks: usize) -> bool {
    let (mut asked, begun) = (JoinSet::new(), Instant::now());
    for turn in 0..checks {
        // Every third is somebody else's, over whose head the others count.
        let user = if turn % 3 == 2 { "other" } else { "42" };
        let counters = [
            Counter::new(tenant, 20, HOUR).user(user),
            Counter::new(tenant, 40, HOUR).rule("both"),
        ];
        let limits = counters.each_ref().map(Counter::limit);
        let verdict = desk.store.check(&limits, &[]);
        asked.spawn(async move { (user, verdict.await.unwrap()) });
    }
    let is_swift = begun.elapsed() < SWIFT;
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (user, verdict) in asked.join_all().await {
        let told = if user == "42" { &mut own } else { &mut others };
        told.push((verdict.allowed, verdict.limits[0].remaining));
    }
    for told in [own, others] {
        let admitted = told.iter().filter(|(allowed, _)| *allowed);
        let mut left: Vec<u64> = admitted.map(|(_, left)| *left).collect();
        left.sort_unstable_by(|a, b| b.cmp(a));
        let expected = (0..20).rev().take(told.len().min(20));
        assert_eq!(left, expected.collect::<Vec<_>>(), "{tenant}: each its own");
    }
    is_swift
}

/// A caller that is gone before its check was sent is not asked about; those beside it are.
#[tokio::test]
async fn who_is_gone_before_it_was_sent_is_not_counted() {
    let desk = Desk::open(Kind::SINGLE[0]).await;
    let counter = Counter::new("acme", 9, HOUR).user("42");
    desk.check(&[&counter]).await;
    let mut monitor = desk.site.monitor().await;
    monitor.drain().await;
    let ask = || {
        let mut verdict = Box::pin(desk.store.check(&[counter.limit()], &[]));
        assert!(verdict.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        verdict
    };
    let gone = [ask(), ask()];
    drop(gone);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(sent(&mut monitor).await, 0);
    let (gone, stays, also_gone) = (ask(), ask(), ask());
    drop((gone, also_gone));
    assert_eq!(remaining(&stays.await.unwrap()), [7]);
    assert_eq!(sent(&mut monitor).await, 1);
}

/// It is another runtime's task that would have sent it: nobody waits for ever, and the next is
/// sent.
#[test]
fn the_end_of_a_runtime_holds_up_nobody() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (lives, ends) = (runtime(), runtime());
    let desk = lives.block_on(Desk::open(Kind::SINGLE[0]));
    let counter = Counter::new("acme", 9, HOUR).user("42");
    let lost = {
        let _inside = ends.enter();
        desk.store.check(&[counter.limit()], &[])
    };
    drop(ends);
    lives.block_on(async {
        let error = lost.await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unknown);
        assert_eq!(remaining(&desk.check(&[&counter]).await), [8]);
    });
}

/// Nobody drives the runtime whose task would have sent it: those of others do not wait for it, and
/// take it along.
#[test]
fn a_runtime_that_stands_still_holds_up_nobody() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (lives, stands) = (runtime(), runtime());
    let desk = lives.block_on(Desk::open(Kind::SINGLE[0]));
    let counter = Counter::new("acme", 9, HOUR).user("42");
    let waits = {
        let _inside = stands.enter();
        desk.store.check(&[counter.limit()], &[])
    };
    lives.block_on(async {
        let soon = Duration::from_secs(20);
        let asked = tokio::time::timeout(soon, desk.check(&[&counter])).await.unwrap();
        let waited = tokio::time::timeout(soon, waits).await.unwrap().unwrap();
        assert_eq!([remaining(&waited), remaining(&asked)], [[8], [7]]);
    });
}

/// What somebody has put under one caller's keys, or asks for one, is nobody else's misfortune.
#[tokio::test]
async fn what_is_wrong_with_one_is_not_with_those_beside_it() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let well = || Counter::new("acme", 99, HOUR).user("well");
        let tenant = TenantId::new("acme").unwrap();
        let ill = UserId::new("ill").unwrap();
        let block = BlockKey { tenant: &tenant, user: UserPart::User(&ill) };
        for ends in ["9999999999999999", "99999999999999999999999999", &"9".repeat(400)] {
            desk.set(&block.spell(false), ends).await;
            let (well, ill) = (well(), Counter::new("acme", 9, HOUR).user("ill"));
            let (before, blocked, after) = tokio::join!(
                desk.store.check(&[well.limit()], &[]),
                desk.store.check(&[ill.limit()], &[block]),
                desk.store.check(&[well.limit()], &[]),
            );
            assert!(before.unwrap().allowed && after.unwrap().allowed, "{ends}");
            let blocked = blocked.unwrap();
            assert!(!blocked.allowed && blocked.blocked_ms > HOUR, "{ends}: {blocked:?}");
        }
        for (quota, window_ms, life_ms) in
            [(u64::MAX, HOUR, HOUR), (9, u64::MAX, u64::MAX), (9, 0, 0), (9, HOUR, u64::MAX)]
        {
            let odd = Counter::new("acme", 9, HOUR).user("odd");
            let odd = Limit { quota, window_ms, life_ms, ..odd.limit() };
            let well = well();
            let (before, _, after) = tokio::join!(
                desk.store.check(&[well.limit()], &[]),
                desk.store.check(&[odd], &[]),
                desk.store.check(&[well.limit()], &[]),
            );
            let told = format!("{quota} {window_ms} {life_ms}");
            assert!(before.is_ok(), "{told}");
            assert!(after.is_ok(), "{told}");
        }
    }
}

#[tokio::test]
async fn more_than_a_check_can_have_is_refused() {
    let desk = Desk::open(Kind::SINGLE[0]).await;
    let keep = desk.site.keep().await;
    let bus = keep.bus().unwrap().unwrap();
    let live = || async { bus.state() == BusState::Live };
    assert!(wait_until(Duration::from_secs(20), live).await);
    let store = desk.store.clone().remember_denials(&bus).unwrap();
    let (tenant, counter) = (TenantId::new("acme").unwrap(), Counter::new("acme", 9, HOUR));
    let block = BlockKey { tenant: &tenant, user: UserPart::All };
    for (limits, blocks) in [(0, 0), (9, 0), (1, 3)] {
        let limits = vec![counter.limit(); limits];
        let refused = store.check(&limits, &vec![block; blocks]).await.unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Refused);
    }
    let settled = Settlement { limit: counter.limit(), difference: -1, window: 0 };
    let refused = store.settle(&[settled; 9]).await.unwrap_err();
    assert_eq!(refused.class(), ErrorClass::Refused);
}
