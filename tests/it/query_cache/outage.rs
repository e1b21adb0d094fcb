//! The store is away: values are loaded directly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tower_keep::RedisConfig;
use tower_keep_query_cache::{Invalidate, LoadError, QueryCacheBuilder, Source};
use tower_keep_tests::{Flavor, Server, prompt_once, wait_until};

use super::place::{PATIENT, Process, class, key, tenant};
use crate::limit_store::site::{Kind, Site};

/// Longer than usual: a slow machine must not be taken for a fault.
const DEADLINE: Duration = Duration::from_millis(200);
/// What a machine that is busy may add to it.
const SLACK: Duration = Duration::from_millis(200);
const DIRECT: usize = 4;

async fn process(server: &Server) -> Arc<Process> {
    let config = RedisConfig::from_url(&server.url()).unwrap().with_timeout(DEADLINE);
    Arc::new(Process::with(config, |it| it.max_direct_loads(DIRECT)).await)
}

/// Asks for many different things at once; how many were loaded at the same time at most?
async fn flood(process: &Arc<Process>, name: &str, most: usize) -> usize {
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for number in 0..most {
        let (process, now, peak) = (Arc::clone(process), Arc::clone(&now), Arc::clone(&peak));
        let key = key(format_args!("{name}-{number}"));
        flood.spawn(async move {
            let load = move || async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, String>(number)
            };
            let fetched = process.cache.get_or_load(&key, &class(), load).await.unwrap();
            assert_eq!(*fetched.value, number);
        });
    }
    flood.join_all().await;
    peak.load(Ordering::SeqCst)
}

/// From a store that answers and keeps nothing no process has what another has loaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_store_is_full_not_too_many_load_at_once() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let config = RedisConfig::from_url(&site.url()).unwrap().with_timeout(PATIENT);
        let set = |it: QueryCacheBuilder| it.max_direct_loads(DIRECT).patience(PATIENT);
        let process = Arc::new(Process::with(config, set).await);
        process.load(&key("before"), 1).await;
        process.is_stored(&key("before"), 1).await;
        site.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        // It is found out by what it refuses. What was near once is no question any more.
        let mut round = 0;
        let bounded = wait_until(Duration::from_secs(5), || {
            round += 1;
            let (process, name) = (Arc::clone(&process), format!("full-{round}"));
            async move { flood(&process, &name, 40).await <= DIRECT }
        });
        assert!(bounded.await, "{}: too many at once", kind.name());
        site.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        // The last refusals may still be on their way.
        let mut round = 0;
        let free = wait_until(PATIENT, || {
            round += 1;
            let (process, name) = (Arc::clone(&process), format!("roomy-{round}"));
            process.clock.advance(Duration::from_secs(1));
            async move { flood(&process, &name, 40).await > DIRECT }
        });
        assert!(free.await, "{}: it keeps again", kind.name());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Hung,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_store_is_away_values_are_loaded_directly_and_not_too_many_at_once() {
    for (flavor, fault) in [
        (Flavor::Redis, Fault::Killed),
        (Flavor::Redis, Fault::Hung),
        (Flavor::Valkey, Fault::Killed),
        (Flavor::Valkey, Fault::Hung),
    ] {
        let mut server = Server::start(flavor).await;
        let process = process(&server).await;
        process.load(&key("before"), 1).await;
        match fault {
            Fault::Killed => server.kill(),
            Fault::Hung => server.pause(),
        }
        let mut number = 0;
        prompt_once(async || {
            number += 1;
            let begun = Instant::now();
            let key = key(format_args!("away-{number}"));
            assert_eq!(process.load(&key, number).await, (number, Source::Loaded));
            begun.elapsed() < DEADLINE + SLACK
        })
        .await;
        let peak = flood(&process, "flood", 60).await;
        assert!(peak <= DIRECT, "{fault:?}: {peak} at once");
        // All the same one loads for all.
        let invalidated = process.cache.invalidate(&tenant("acme"), Invalidate::Everything).await;
        assert!(invalidated.is_err(), "nobody may believe that it was done");
        let many = (0..10_u64).map(|id| (id, key(format_args!("many-{id}"))));
        let load =
            |ids: Vec<u64>| async move { Ok::<_, String>(ids.into_iter().map(|id| (id, id))) };
        let found = process.cache.get_many_or_load(many, &class(), load).await.unwrap();
        assert!(found.iter().all(|sought| sought.source == Source::Loaded));
        let load = || async { Err::<u64, _>("down".to_owned()) };
        let failed = process.cache.get_or_load(&key("failing"), &class(), load).await;
        assert!(matches!(failed, Err(LoadError::Loader(_))));

        match fault {
            Fault::Killed => server.restart().await,
            Fault::Hung => server.resume(),
        }
        // Once the store is back, values are kept again, near too.
        let mut number = 0;
        let back = wait_until(PATIENT, || {
            number += 1;
            let process = Arc::clone(&process);
            async move {
                process.load(&key("back"), number).await;
                process.load(&key("back"), number).await.1 == Source::Near
            }
        });
        assert!(back.await, "{flavor}, {fault:?}: nothing is kept");
        println!("{flavor}, {fault:?}: {peak} at once of 60");
    }
}
