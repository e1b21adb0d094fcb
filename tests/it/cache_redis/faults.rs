//! Servers that refuse, and keys that are somebody else's.

use std::time::Duration;

use tower_keep_cache::{Validity, store::SharedStore as _};
use tower_keep_core::ErrorClass;

use super::process::{Process, tag, tenant};
use crate::limit_store::site::{Kind, Site};

#[tokio::test]
async fn what_another_program_keeps_under_the_key_is_no_entry() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let (acme, key) = (tenant("acme"), "cache:acme:test:a");
        let known = it.generations(&acme).await.stamp();
        site.command(&["LPUSH", key, "a", "b"]).await;
        assert_eq!(it.read(key).await, None);
        let told = it.ask(Some(key), None, Some((&acme, Some(known)))).await.unwrap();
        assert_eq!(told.entry.unwrap().blob, None);
        it.write(key, b"entry").await.unwrap();
        assert_eq!(it.read(key).await.unwrap(), "entry", "and is replaced by one");
        site.command(&["DEL", key]).await;
        site.command(&["SET", key, ""]).await;
        assert_eq!(it.read(key).await, None);
        site.command(&["SET", key, "anything"]).await;
        assert_eq!(it.read(key).await.unwrap(), "anything", "whoever asked judges it");
        it.remove(&acme, key).await.unwrap();
        assert_eq!(site.keys().await, ["cache:acme:~gen"]);
        assert!(it.connection.is_available());
    }
}

/// What is full takes no entry, but what must not be used any more can be said there.
#[tokio::test]
async fn a_full_server_refuses_entries_and_not_purges() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let (acme, globex, key) = (tenant("acme"), tenant("globex"), "cache:acme:test:a");
        it.write(key, b"entry").await.unwrap();
        let stamp = it.generations(&acme).await.stamp();
        site.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let error = it.write(key, b"another").await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Refused, "{error}");
        assert_eq!(it.read(key).await.unwrap(), "entry");
        for tags in [Some(&[tag("a")][..]), None] {
            let purged = it.purge(&acme, tags, false).await.unwrap();
            let now = it.generations(&acme).await;
            assert_eq!(now.stamp(), purged);
            assert_eq!(now.judge(stamp, [tag("a")]), Validity::Gone);
        }
        let made = it.generations(&globex).await;
        assert_eq!(it.generations(&globex).await, made, "they can be made as well");
        let purged = it.purge(&tenant("initech"), None, true).await.unwrap();
        assert_eq!(purged.version, 1);
        it.remove(&acme, key).await.unwrap();
        assert_eq!(it.read(key).await, None);
        assert!(it.connection.is_available());
        site.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        it.write(key, b"another").await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_refuses_all_that_changes_something() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let (acme, key) = (tenant("acme"), "cache:acme:test:a");
        it.write(key, b"entry").await.unwrap();
        let before = it.generations(&acme).await;
        site.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
        let refused = [
            it.write(key, b"another").await.err(),
            it.remove(&acme, key).await.err(),
            it.purge(&acme, None, false).await.err(),
            it.purge(&tenant("globex"), None, false).await.err(),
            it.store.release(key, "entry".into()).await.err(),
            it.ask(None, None, Some((&tenant("globex"), None))).await.err(),
        ];
        for error in refused {
            assert_eq!(error.unwrap().class(), ErrorClass::Refused);
        }
        assert_eq!(it.read(key).await.unwrap(), "entry");
        assert_eq!(it.generations(&acme).await, before);
        assert!(it.connection.is_available());
        site.command(&["REPLICAOF", "NO", "ONE"]).await;
        it.purge(&acme, None, false).await.unwrap();
    }
}

/// A script is not known to a server that has forgotten it.
#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        for round in 0..3 {
            let tenant = tenant(&format!("t{round}"));
            it.generations(&tenant).await;
            it.purge(&tenant, None, false).await.unwrap();
            it.remove(&tenant, "cache:acme:test:a").await.unwrap();
            it.store.release("cache:acme:test:a", "lease".into()).await.unwrap();
            for node in site.nodes() {
                node.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
            }
        }
    }
}

/// Every key has an expiry.
#[tokio::test]
async fn nothing_is_kept_for_ever() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        for (number, everything) in [(0, false), (1, true)] {
            let tenant = tenant(&format!("t{number}"));
            for soft in [true, false] {
                let tags = [tag("a")];
                it.purge(&tenant, (!everything).then_some(&tags[..]), soft).await.unwrap();
            }
        }
        it.generations(&tenant("t2")).await;
        it.write("cache:acme:test:a", b"entry").await.unwrap();
        let brief = Duration::from_nanos(1);
        it.store.write("cache:acme:test:b", "brief".into(), brief).await.unwrap();
        let keys = site.keys().await;
        assert!(keys.len() >= 4, "{keys:?}");
        for key in keys {
            let lasting = site.command(&["PTTL", &key]).await.int();
            assert!(lasting != -1, "{key} is there for ever");
        }
    }
}
