//! Generations: made once, agreed on, and the twin of those in memory.

use std::{collections::HashSet, sync::Arc};

use tokio::task::JoinSet;
use tower_keep_cache::{
    Tag, Validity,
    store::{GENERATIONS_TTL, MAX_TAGS, ToldGenerations},
};
use tower_keep_core::key::GenerationsKey;

use super::process::{Process, sent, tag, tenant};
use crate::limit_store::site::{Kind, Site};

/// Two processes that find none at the same time, reading or purging, agree on the epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_finds_none_at_the_same_time_agrees() {
    const TENANTS: usize = 40;
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let processes = [Process::new(&site.url()).await, Process::new(&site.url()).await];
        let processes = Arc::new(processes);
        let mut epochs = HashSet::new();
        for number in 0..TENANTS {
            let mut racing = JoinSet::new();
            for racer in 0..6 {
                let processes = Arc::clone(&processes);
                racing.spawn(async move {
                    let tenant = tenant(&format!("t{number}"));
                    let it = &processes[racer % 2];
                    if racer == 5 {
                        return it.purge(&tenant, None, false).await.unwrap().epoch;
                    }
                    it.generations(&tenant).await.stamp().epoch
                });
            }
            let told: HashSet<_> = racing.join_all().await.into_iter().collect();
            assert_eq!(told.len(), 1, "{}: {told:?}", kind.name());
            epochs.extend(told);
        }
        assert_eq!(epochs.len(), TENANTS, "each tenant has its own");
    }
}

/// However they are lost, everything that was stored before is gone.
#[tokio::test]
async fn lost_or_spoilt_ones_are_made_anew() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let acme = tenant("acme");
        let key = GenerationsKey { tenant: &acme }.spell();
        let spoilt: [&[&str]; 8] = [
            &["DEL", &key],
            &["SET", &key, "not a hash"],
            &["HSET", &key, "epoch", "short"],
            &["HSET", &key, "v", "many"],
            &["HSET", &key, "v", "9007199254740991"],
            &["HSET", &key, "floor", "-1"],
            &["HDEL", &key, "soft"],
            &["HSET", &key, "epoch", "longer than 8"],
        ];
        for how in spoilt {
            for by_purge in [false, true] {
                let before = it.generations(&acme).await;
                let stamp = before.stamp();
                site.command(how).await;
                if by_purge {
                    let made = it.purge(&acme, Some(&[tag("a")]), false).await.unwrap();
                    assert_eq!(made.version, 1, "{how:?}");
                } else if !how.contains(&"floor") && !how.contains(&"soft") {
                    // Whoever knows them hears of it.
                    let told = it.ask(None, None, Some((&acme, Some(stamp)))).await.unwrap();
                    assert!(
                        matches!(told.generations, Some(ToldGenerations::Whole(_))),
                        "{how:?}: {told:?}"
                    );
                }
                let after = it.generations(&acme).await;
                assert_ne!(after.stamp().epoch, stamp.epoch, "{how:?}");
                assert_eq!(after.judge(stamp, []), Validity::Gone, "{how:?}");
                let lasting = site.command(&["PTTL", &key]).await.int();
                let most = i64::try_from(GENERATIONS_TTL.as_millis()).unwrap();
                assert!((most - 60_000..=most).contains(&lasting), "{how:?}: {lasting}");
            }
        }
        // What is no purge of ours says nothing.
        let before = it.generations(&acme).await;
        site.command(&["HSET", &key, "hshort", "9", "more", "9", "h0123456789abcdef", "x"]).await;
        assert_eq!(it.generations(&acme).await, before);
    }
}

/// The script and `Generations::purged` make the same of the same purges, pruning included.
#[tokio::test]
async fn the_script_is_the_twin_of_what_is_decided_in_memory() {
    for kind in [Kind::SINGLE[0], Kind::SINGLE[1], Kind::ALL[2]] {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let acme = tenant("acme");
        let mut twin = it.generations(&acme).await;
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let key = GenerationsKey { tenant: &acme }.spell();
        let (mut pruned, mut fields) = (0, 0);
        for step in 0..120 {
            let soft = next(3) == 0;
            let tags: Option<Vec<Tag>> = match next(40) {
                0 => None,
                1 => Some(Vec::new()),
                2..20 => Some(vec![tag(&next(50).to_string())]),
                _ => {
                    let mut tags: Vec<_> =
                        (0..MAX_TAGS as u64 / 2).map(|_| tag(&next(3000).to_string())).collect();
                    tags.sort_unstable();
                    tags.dedup();
                    Some(tags)
                }
            };
            twin = twin.purged(tags.as_deref(), soft);
            let stamp = it.purge(&acme, tags.as_deref(), soft).await.unwrap();
            assert_eq!(stamp, twin.stamp(), "step {step}");
            let there = it.generations(&acme).await;
            assert_eq!(there, twin, "step {step}: {tags:?}");
            let count = site.command(&["HLEN", &key]).await.int();
            pruned += usize::from(count < fields && tags.is_some());
            fields = count;
        }
        println!("{}: {fields} fields after 120 purges, pruned {pruned} times", kind.name());
        assert!(fields <= 1004 && pruned > 2, "{fields} fields, pruned {pruned} times");
    }
}

/// Over so many tags the oldest are forgotten, and what is older than those is gone, whatever its
/// tags are.
#[tokio::test]
async fn the_oldest_of_too_many_tags_are_forgotten() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let acme = tenant("acme");
        let first = it.generations(&acme).await.stamp();
        let of = |number: usize| tag(&format!("tag {number}"));
        let mut stamps = vec![first];
        for number in 0..1000 {
            stamps.push(it.purge(&acme, Some(&[of(number)]), number % 2 == 1).await.unwrap());
        }
        let full = it.generations(&acme).await;
        assert_eq!(full.judge(first, [tag("other")]), Validity::Valid);
        assert_eq!(full.judge(first, [of(0)]), Validity::Gone);
        assert_eq!(full.judge(first, [of(1)]), Validity::Stale);
        it.purge(&acme, Some(&[of(1000)]), false).await.unwrap();
        let pruned = it.generations(&acme).await;
        assert_eq!(pruned.judge(first, [tag("other")]), Validity::Gone, "older than the floor");
        assert_eq!(pruned.judge(stamps[499], []), Validity::Gone);
        assert_eq!(pruned.judge(stamps[500], [of(0), tag("other")]), Validity::Valid);
        assert_eq!(pruned.judge(stamps[500], [of(500)]), Validity::Gone, "purged after it");
        assert_eq!(pruned.judge(stamps[500], [of(501)]), Validity::Stale);
        assert_eq!(pruned.judge(stamps[501], [of(500)]), Validity::Valid);
        let key = GenerationsKey { tenant: &acme }.spell();
        assert_eq!(site.command(&["HLEN", &key]).await.int(), 4 + 501);
    }
}

/// As many tags as one message takes.
#[tokio::test]
async fn a_purge_of_many_tags_is_one_command() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let [it, other] = [Process::new(&site.url()).await, Process::new(&site.url()).await];
        let acme = tenant("acme");
        it.purge(&acme, None, true).await.unwrap();
        let tags: Vec<Tag> = (0..MAX_TAGS).map(|number| tag(&number.to_string())).collect();
        let mut monitor = site.monitor().await;
        let stamp = it.purge(&acme, Some(&tags), false).await.unwrap();
        assert_eq!(sent(&mut monitor).await, ["EVALSHA"]);
        let said = other.ears.said(2).await;
        let tower_keep_core::Invalidated::Tags { tags: told, epoch, version, soft } = &said[1].what
        else {
            panic!("{said:?}")
        };
        assert_eq!((told.len(), *epoch, *version), (MAX_TAGS, stamp.epoch, stamp.version));
        assert!(!soft);
    }
}

/// Tenants are apart.
#[tokio::test]
async fn a_purge_is_its_tenants_alone() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let [acme, globex] = [tenant("acme"), tenant("globex")];
        let [mine, theirs] = [it.generations(&acme).await, it.generations(&globex).await];
        it.purge(&acme, None, false).await.unwrap();
        assert_eq!(it.generations(&acme).await.judge(mine.stamp(), []), Validity::Gone);
        assert_eq!(it.generations(&globex).await, theirs);
    }
}
