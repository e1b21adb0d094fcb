//! What processes hear of each other.

use std::time::{Duration, Instant};

use tower_keep::RedisConfig;
use tower_keep_cache::{
    RedisStore,
    store::{Listener, SharedStore as _},
};
use tower_keep_core::{Invalidated, Invalidation};
use tower_keep_redis::BusState;
use tower_keep_tests::{Cut, Flavor, Proxy, Server, prompt_once, wait_until};

use super::process::{Event, Heard, PATIENT, Process, tag, tenant};
use crate::limit_store::site::{Kind, Site};

/// How soon others are to know.
const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn all_hear_of_purges_and_removals_in_their_order() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let [it, other] = [Process::new(&site.url()).await, Process::new(&site.url()).await];
        let acme = tenant("acme");
        let mut expected = Vec::new();
        for number in 0..20 {
            let soft = number % 3 == 0;
            let tags = [tag(&number.to_string())];
            let named = (number % 5 > 0).then_some(&tags[..]);
            // By both, one after the other.
            let by = if number % 2 == 0 { &it } else { &other };
            let made = by.purge(&acme, named, soft).await.unwrap();
            let (epoch, version) = (made.epoch, made.version);
            let what = match named {
                Some(_) => {
                    Invalidated::Tags { soft, tags: vec![tags[0].to_bytes()], epoch, version }
                }
                None => Invalidated::Everything { soft, epoch, version },
            };
            expected.push(Invalidation::new(&acme, what));
        }
        for process in [&it, &other] {
            assert_eq!(process.ears.said(20).await, expected, "{}", kind.name());
        }
        it.remove(&acme, "cache:acme:test:a").await.unwrap();
        let removed = Invalidated::Entry(Invalidation::entry_hash("cache:acme:test:a"));
        let said = other.ears.said(21).await;
        assert_eq!(said.last(), Some(&Invalidation::new(&acme, removed)));
    }
}

#[tokio::test]
async fn another_process_hears_within_a_tenth_of_a_second() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let [it, other] = [Process::new(&server.url()).await, Process::new(&server.url()).await];
        let mut purges = 0;
        prompt_once(async || {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                purges += 1;
                let begun = Instant::now();
                it.purge(&tenant("acme"), Some(&[tag("a")]), false).await.unwrap();
                assert_eq!(other.ears.said(purges).await.len(), purges);
                slowest = slowest.max(begun.elapsed());
            }
            println!("{flavor}: a purge is done and heard elsewhere within {slowest:?}");
            slowest < SOON
        })
        .await;
    }
}

/// What is lost is told before what comes after it, and is not believed in between.
#[tokio::test]
async fn a_gap_is_told_before_anything_else_is_believed() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let it = Process::new(&proxy.url()).await;
        let other = Process::new(&server.url()).await;
        assert_eq!(it.ears.all(), [Event::Gap], "as the first link was made");
        proxy.refuse();
        proxy.cut(Cut::Reset);
        let silent = wait_until(PATIENT, || async { !it.store.is_live() });
        assert!(silent.await, "it believes that it hears");
        other.purge(&tenant("acme"), None, false).await.unwrap();
        proxy.accept();
        it.is_live().await;
        let gaps = it.ears.all().iter().filter(|event| **event == Event::Gap).count();
        assert!(gaps >= 2, "{:?}", it.ears.all());
        assert!(it.ears.said(0).await.is_empty(), "that was missed");
        other.purge(&tenant("acme"), None, false).await.unwrap();
        assert_eq!(it.ears.said(1).await.len(), 1);
    }
}

/// Nobody listens on where nobody is left to be told.
#[tokio::test]
async fn listening_ends_with_the_last_handle() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let listening =
            || async { site.command(&["PUBSUB", "NUMSUB", "keep:bus"]).await.array()[1].int() };
        assert_eq!(listening().await, 1);
        let Process { connection, bus, store, ears } = it;
        // Whoever is told is held weakly, and whoever has gone is told nothing.
        drop(ears);
        bus.publish(tower_keep_core::key::BUS_CACHES, b"anything").await.unwrap();
        drop(store);
        assert_eq!(bus.state(), BusState::Live, "it is not ours alone");
        drop((bus, connection));
        let ended = wait_until(PATIENT, || async { listening().await == 0 });
        assert!(ended.await, "somebody still listens");
    }
}

/// A listener that fails is told nothing more, and nobody believes that it is.
#[tokio::test]
async fn who_fails_to_listen_is_deaf() {
    struct Fails;
    impl Listener for Fails {
        fn message(&self, _: &[u8]) {
            panic!("as asked");
        }

        fn gap(&self) {}
    }
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let fails = std::sync::Arc::new(Fails);
        it.store.listen(std::sync::Arc::downgrade(&fails) as std::sync::Weak<dyn Listener>);
        it.is_live().await;
        it.purge(&tenant("acme"), None, false).await.unwrap();
        let deaf = wait_until(PATIENT, || async { !it.store.is_live() });
        assert!(deaf.await, "it believes that it hears");
        it.purge(&tenant("acme"), None, false).await.unwrap();
    }
}

/// A bus that is off tells nobody, and nobody believes that it does.
#[tokio::test]
async fn where_the_bus_is_off_nothing_is_published() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let off = RedisConfig::from_url(&site.url()).unwrap().with_pubsub(false);
        let [it, other] = [Process::with(off).await, Process::new(&site.url()).await];
        let alone = RedisStore::new(&it.connection, None);
        let ears = std::sync::Arc::<Heard>::default();
        alone.listen(std::sync::Arc::downgrade(&ears) as std::sync::Weak<dyn Listener>);
        assert!(!it.store.is_live() && !alone.is_live());
        it.purge(&tenant("acme"), None, false).await.unwrap();
        let mut monitor = site.monitor().await;
        it.remove(&tenant("acme"), "cache:acme:test:a").await.unwrap();
        alone.remove("cache:acme:test:a", vec![1]).await.unwrap();
        assert_eq!(super::process::sent(&mut monitor).await, ["DEL", "DEL"]);
        other.purge(&tenant("acme"), None, false).await.unwrap();
        let said = other.ears.said(1).await;
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(matches!(said[0].what, Invalidated::Everything { version: 2, .. }));
        assert!(it.ears.all().is_empty() && ears.all().is_empty());
    }
}
