//! Leases: put only where nothing is, and taken away only by whom they are of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::JoinSet;
use tower_keep_cache::store::{AskLease, SharedStore as _, ToldEntry};
use tower_keep_tests::wait_until;

use super::process::{MINUTE, PATIENT, Process, sent};
use crate::limit_store::site::{Kind, Site};

fn lease(name: &str, lasting: Duration) -> AskLease {
    AskLease { blob: Bytes::copy_from_slice(name.as_bytes()), lasting }
}

fn there(blob: &str) -> ToldEntry {
    ToldEntry { blob: Some(Bytes::copy_from_slice(blob.as_bytes())), leased: false }
}

const OURS: ToldEntry = ToldEntry { blob: None, leased: true };

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_who_ask_at_once_one_gets_it() {
    const RACERS: usize = 8;
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let processes =
            Arc::new([Process::new(&site.url()).await, Process::new(&site.url()).await]);
        for round in 0..30 {
            let mut racing = JoinSet::new();
            for racer in 0..RACERS {
                let processes = Arc::clone(&processes);
                racing.spawn(async move {
                    let key = format!("cache:acme:test:{round}");
                    let lease = lease(&format!("lease {racer}"), MINUTE);
                    (racer, processes[racer % 2].lease(&key, &lease).await)
                });
            }
            let told = racing.join_all().await;
            let winners: Vec<_> = told.iter().filter(|(_, told)| told.leased).collect();
            let [(winner, _)] = winners[..] else { panic!("{}: {told:?}", kind.name()) };
            for (racer, told) in &told {
                if racer != winner {
                    assert_eq!(*told, there(&format!("lease {winner}")));
                }
            }
        }
    }
}

#[tokio::test]
async fn it_stands_until_it_is_replaced_or_released_or_over() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let [it, other] = [Process::new(&site.url()).await, Process::new(&site.url()).await];
        let key = "cache:acme:test:a";
        let (mine, theirs) = (lease("mine", MINUTE), lease("theirs", MINUTE));
        let mut monitor = site.monitor().await;
        assert_eq!(it.lease(key, &mine).await, OURS);
        assert_eq!(sent(&mut monitor).await, ["SET"], "one command finds out and takes it");
        let lasting = site.command(&["PTTL", key]).await.int();
        assert!((1..=60_000).contains(&lasting), "{lasting}");
        assert_eq!(other.lease(key, &theirs).await, there("mine"));
        other.store.release(key, theirs.blob.clone()).await.unwrap();
        assert_eq!(other.read(key).await.unwrap(), "mine", "only its own is taken away");
        it.store.release(key, mine.blob.clone()).await.unwrap();
        assert_eq!(other.lease(key, &theirs).await, OURS);
        other.write(key, b"entry").await.unwrap();
        assert_eq!(it.lease(key, &mine).await, there("entry"));
        other.store.release(key, theirs.blob.clone()).await.unwrap();
        assert_eq!(it.read(key).await.unwrap(), "entry", "it is no lease any more");

        let brief = lease("brief", Duration::from_millis(20));
        assert_eq!(it.lease("cache:acme:test:b", &brief).await, OURS);
        let over = wait_until(PATIENT, || async {
            other.lease("cache:acme:test:b", &theirs).await == OURS
        });
        assert!(over.await, "it never ends");
    }
}

/// Where it cannot be put the entry is read all the same.
#[tokio::test]
async fn where_it_is_refused_the_entry_is_read_without() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url()).await;
        let (key, mine) = ("cache:acme:test:a", lease("mine", MINUTE));
        it.write(key, b"entry").await.unwrap();
        for (refuse, allow) in [
            (&["CONFIG", "SET", "maxmemory", "1"][..], &["CONFIG", "SET", "maxmemory", "0"][..]),
            (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
        ] {
            site.command(refuse).await;
            assert_eq!(it.lease(key, &mine).await, there("entry"), "{refuse:?}");
            let nothing = it.lease("cache:acme:test:b", &mine).await;
            assert_eq!(nothing, ToldEntry::default(), "{refuse:?}");
            site.command(allow).await;
        }
        site.command(&["HSET", "cache:acme:test:c", "a", "1"]).await;
        assert_eq!(it.lease("cache:acme:test:c", &mine).await, ToldEntry::default());
        it.store.release("cache:acme:test:c", mine.blob.clone()).await.unwrap();
        assert_eq!(site.command(&["TYPE", "cache:acme:test:c"]).await.text(), "hash");
        assert!(it.connection.is_available());
    }
}
