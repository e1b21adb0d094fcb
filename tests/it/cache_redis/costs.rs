//! What each thing costs.

use tower_keep::RedisConfig;
use tower_keep_cache::store::{SharedStore as _, ToldGenerations};
use tower_keep_tests::{Flavor, Proxy, Server, prompt_once};

use super::process::{PATIENT, Process, sent, tag, tenant};
use crate::limit_store::site::{Kind, Site};

#[tokio::test]
async fn each_thing_is_one_command_and_generations_are_another() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let mut monitor = site.monitor().await;
        let acme = tenant("acme");
        // A script is not known at first.
        it.purge(&acme, Some(&[tag("x")]), false).await.unwrap();
        it.remove(&acme, "cache:acme:test:x").await.unwrap();
        it.store.release("cache:acme:test:x", "lease".into()).await.unwrap();
        let known = it.generations(&acme).await.stamp();
        monitor.drain().await;

        let key = "cache:acme:test:a";
        assert_eq!(it.read(key).await, None);
        assert_eq!(sent(&mut monitor).await, ["GETRANGE"], "a miss");
        it.write(key, b"blob").await.unwrap();
        assert_eq!(sent(&mut monitor).await, ["SET"]);
        assert_eq!(it.read(key).await.unwrap(), "blob");
        assert_eq!(sent(&mut monitor).await, ["GETRANGE"], "a hit");
        let told = it.ask(Some(key), None, Some((&acme, Some(known)))).await.unwrap();
        assert_eq!(told.entry.unwrap().blob.unwrap(), "blob");
        assert_eq!(told.generations, Some(ToldGenerations::Unchanged));
        let mut both = sent(&mut monitor).await;
        both.sort();
        assert_eq!(both, ["GETRANGE", "HMGET"], "a hit, and what is known of purges");
        let told = it.ask(None, None, Some((&acme, Some(known)))).await.unwrap();
        assert!(told.entry.is_none());
        assert_eq!(sent(&mut monitor).await, ["HMGET"]);
        let stamp = it.purge(&acme, Some(&[tag("a"), tag("b")]), true).await.unwrap();
        assert_eq!((stamp.epoch, stamp.version), (known.epoch, known.version + 1));
        assert_eq!(sent(&mut monitor).await, ["EVALSHA"], "a purge");
        let told = it.ask(Some(key), None, Some((&acme, Some(known)))).await.unwrap();
        let Some(ToldGenerations::Whole(changed)) = told.generations else { panic!("{told:?}") };
        assert_eq!(changed.stamp(), stamp);
        let mut three = sent(&mut monitor).await;
        three.sort();
        assert_eq!(three, ["GETRANGE", "HGETALL", "HMGET"], "once after each change");
        it.ask(Some(key), None, Some((&acme, None))).await.unwrap();
        let mut first = sent(&mut monitor).await;
        first.sort();
        assert_eq!(first, ["GETRANGE", "HGETALL"], "where nothing is known yet");
        it.remove(&acme, key).await.unwrap();
        it.store.release(key, "lease".into()).await.unwrap();
        assert_eq!(sent(&mut monitor).await, ["EVALSHA", "EVALSHA"]);
        println!("{}: a hit 1 command, with generations 2, a purge 1, put 1", kind.name());
    }
}

/// An entry and generations leave together.
#[tokio::test]
async fn a_read_of_both_is_one_write() {
    const TIMES: u64 = 200;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        // Without a bus, whose connection is another one that writes.
        let config = RedisConfig::from_url(&proxy.url()).unwrap();
        let it = Process::with(config.with_timeout(PATIENT).with_pubsub(false)).await;
        let acme = tenant("acme");
        let key = "cache:acme:test:a";
        it.write(key, b"blob").await.unwrap();
        let known = it.generations(&acme).await.stamp();
        prompt_once(async || {
            let before = proxy.client_writes();
            for _ in 0..TIMES {
                let told = it.ask(Some(key), None, Some((&acme, Some(known)))).await.unwrap();
                assert_eq!(told.generations, Some(ToldGenerations::Unchanged));
            }
            let both = proxy.client_writes() - before;
            println!("{flavor}: {both} writes for {TIMES} reads of an entry and generations");
            let before = proxy.client_writes();
            for _ in 0..TIMES {
                it.read(key).await.unwrap();
            }
            let one = proxy.client_writes() - before;
            // Now and then one is a probe's.
            let nearly = TIMES..=TIMES + 2;
            assert!(nearly.contains(&both) && nearly.contains(&one), "{both} and {one}");
            both == TIMES && one == TIMES
        })
        .await;
        assert!(!it.store.is_live(), "nobody would tell");
    }
}
