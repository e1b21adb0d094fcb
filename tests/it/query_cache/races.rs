//! Invalidating what is being loaded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tower_keep::RedisConfig;
use tower_keep_query_cache::Invalidate;

use super::place::{PATIENT, Place, Process, class, key, tenant};
use crate::limit_store::site::Kind;

const ROUNDS: u64 = 1000;

/// A process that hears nothing is told by the store what was invalidated while it loaded for long:
/// what it brings is given to nobody who asks later.
#[tokio::test]
async fn what_was_invalidated_during_a_long_load_is_not_kept_where_nothing_is_heard() {
    for kind in Kind::SINGLE {
        let place = Place::start(kind).await;
        let site = place.site.as_ref().unwrap();
        let config = RedisConfig::from_url(&site.url()).unwrap().with_timeout(PATIENT);
        let deaf = Process::with(config.with_pubsub(false), |it| it).await;
        // While it loads, the other one invalidates.
        let change = || {
            let other = Arc::clone(&place.other);
            async move {
                let what = Invalidate::Type("thing");
                other.cache.invalidate(&tenant("acme"), what).await.unwrap();
                tokio::time::sleep(Duration::from_millis(600)).await;
            }
        };
        let (one, many) = (key("one"), key("many"));
        let changed = change();
        let load = move || async move {
            changed.await;
            Ok::<_, String>(1_u64)
        };
        assert_eq!(*deaf.cache.get_or_load(&one, &class(), load).await.unwrap(), 1);
        let load = |_| {
            let changed = change();
            async move {
                changed.await;
                Ok::<_, String>([(1, 2_u64)])
            }
        };
        let found = deaf.cache.get_many_or_load([(1, many.clone())], &class(), load).await;
        assert_eq!(found.unwrap()[0].value.as_deref(), Some(&2));
        // What is written is written by now.
        deaf.load(&key("last"), 3).await;
        deaf.is_stored(&key("last"), 3).await;
        for key in [one, many] {
            assert_eq!(site.command(&["EXISTS", &key.spell()]).await.int(), 0, "{}", kind.name());
        }
    }
}

/// What the database holds; a look at it takes a while.
#[derive(Default)]
struct Database(AtomicU64);

async fn read(process: &Process, database: &Arc<Database>) -> u64 {
    let database = Arc::clone(database);
    let load = move || async move {
        let value = database.0.load(Ordering::SeqCst);
        for _ in 0..value % 5 {
            tokio::task::yield_now().await;
        }
        Ok::<_, String>(value)
    };
    let key = key("race").tag("race");
    *process.cache.get_or_load(&key, &class(), load).await.unwrap().value
}

/// A value is changed, then invalidated, while both processes load and read it all the time. Once
/// the invalidation has returned, its process gives nothing older; the other one catches up in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_times_nothing_stale_is_given_after_an_invalidation() {
    // One cluster will do: it takes its time.
    for place in Place::all().await.into_iter().take(4) {
        let (database, over) = (Arc::new(Database::default()), Arc::new(AtomicBool::new(false)));
        let mut readers = JoinSet::new();
        for process in [&place.one, &place.other, &place.one, &place.other] {
            let (process, database) = (Arc::clone(process), Arc::clone(&database));
            let over = Arc::clone(&over);
            readers.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    read(&process, &database).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        let (mut stale, mut slowest) = (0, Duration::ZERO);
        for round in 1..=ROUNDS {
            database.0.store(round, Ordering::SeqCst);
            let what =
                if round % 2 == 0 { Invalidate::Tag("race") } else { Invalidate::Type("thing") };
            place.one.cache.invalidate(&tenant("acme"), what).await.unwrap();
            stale += u64::from(read(&place.one, &database).await < round);
            if round % 20 == 0 {
                let begun = Instant::now();
                while read(&place.other, &database).await < round {
                    assert!(begun.elapsed() < PATIENT, "{}: not seen elsewhere", place.name);
                    tokio::task::yield_now().await;
                }
                slowest = slowest.max(begun.elapsed());
            }
        }
        over.store(true, Ordering::SeqCst);
        readers.join_all().await;
        println!("{}: {ROUNDS} rounds, {stale} stale, elsewhere after {slowest:?}", place.name);
        assert_eq!(stale, 0, "{}", place.name);
    }
}
