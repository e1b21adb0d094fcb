//! One loads for all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinSet};
use tower_keep_query_cache::{Invalidate, LoadError, QueryKey, Source};
use tower_keep_tests::{prompt_once, wait_until};

use super::place::{PATIENT, Place, Process, class, key};
use crate::limit_store::site::Kind;

/// So many ask at the same time, in turn at these; how often was it loaded, and what was told?
async fn herd(processes: &[&Arc<Process>], key: &QueryKey, most: usize) -> (u64, Vec<Source>) {
    let (loads, barrier) = (Arc::new(AtomicU64::new(0)), Arc::new(Barrier::new(most)));
    let mut herd = JoinSet::new();
    for number in 0..most {
        let process = Arc::clone(processes[number % processes.len()]);
        let (key, loads, barrier) = (key.clone(), Arc::clone(&loads), Arc::clone(&barrier));
        herd.spawn(async move {
            let load = move || async move {
                // As long as a database may take.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, String>(loads.fetch_add(1, Ordering::SeqCst))
            };
            barrier.wait().await;
            process.cache.get_or_load(&key, &class(), load).await.unwrap().source
        });
    }
    let sources = herd.join_all().await;
    (loads.load(Ordering::SeqCst), sources)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_who_miss_in_one_process_load_once() {
    for place in Place::all().await {
        for round in 0..3 {
            let key = key(format_args!("herd-{round}"));
            let (loads, sources) = herd(&[&place.one], &key, 200).await;
            assert_eq!(loads, 1, "{}", place.name);
            assert_eq!(sources.iter().filter(|source| **source == Source::Loaded).count(), 1);
        }
        println!("{}: 200 misses, 1 load", place.name);
    }
}

async fn leasing(url: &str) -> Arc<Process> {
    let config = tower_keep::RedisConfig::from_url(url).unwrap().with_timeout(PATIENT);
    let process = Process::with(config, |it| it.fill_lease(PATIENT).patience(PATIENT));
    Arc::new(process.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_who_miss_in_two_processes_load_once_with_a_lease() {
    for kind in Kind::ALL {
        let place = Place::start(kind).await;
        let url = place.site.as_ref().unwrap().url();
        let (without, _) = herd(&[&place.one, &place.other], &key("without"), 200).await;
        assert!(without <= 2, "{without}");
        let (one, other) = (leasing(&url).await, leasing(&url).await);
        for round in 0..3 {
            let key = key(format_args!("lease-{round}"));
            let (loads, sources) = herd(&[&one, &other], &key, 200).await;
            assert_eq!(loads, 1, "{}", kind.name());
            assert!(sources.contains(&Source::Store), "the other process found it");
            // What was invalidated is loaded once too.
            one.is_stored(&key, 0).await;
            one.cache.invalidate(key.tenant(), Invalidate::Key(&key)).await.unwrap();
            other.hears(&key).await;
            let (loads, sources) = herd(&[&one, &other], &key, 200).await;
            assert_eq!(loads, 1, "{}: invalidated", kind.name());
            assert!(sources.contains(&Source::Store), "the other process found it");
        }
        println!("{}: 200 misses in two processes, {without} loads, 1 with a lease", kind.name());
    }
}

/// Whoever looks whether it is there does not promise to make it.
#[tokio::test]
async fn who_only_gets_keeps_nobody_waiting() {
    for kind in Kind::SINGLE {
        let site = crate::limit_store::site::Site::start(kind).await;
        let (one, other) = (leasing(&site.url()).await, leasing(&site.url()).await);
        assert!(one.cache.get::<u64>(&key("got")).await.unwrap().is_none());
        let there = site.command(&["EXISTS", &key("got").spell()]).await;
        assert_eq!(there.int(), 0, "no lease");
        assert_eq!(other.load(&key("got"), 1).await, (1, Source::Loaded));
    }
}

/// Who has waited in vain for another's loader here does not wait as long for that of another process,
/// and holds no turn meanwhile.
#[tokio::test]
async fn nobody_waits_twice_for_others() {
    const PATIENCE: Duration = Duration::from_secs(1);
    for kind in Kind::SINGLE {
        let site = crate::limit_store::site::Site::start(kind).await;
        let config = tower_keep::RedisConfig::from_url(&site.url()).unwrap().with_timeout(PATIENT);
        let one = Arc::new(
            Process::with(config, |it| {
                it.fill_lease(PATIENT).patience(PATIENCE).max_direct_loads(2)
            })
            .await,
        );
        let other = leasing(&site.url()).await;
        let mut round = 0;
        prompt_once(async || {
            round += 1;
            let key = key(format_args!("vain-{round}"));
            let hang = |process: &Arc<Process>| {
                let (cache, asked) = (process.cache.clone(), key.clone());
                let hang = std::future::pending::<Result<u64, String>>;
                tokio::spawn(async move { cache.get_or_load(&asked, &class(), hang).await })
            };
            // The other process has the lease; here one waits for it, and more for that one.
            let elsewhere = hang(&other);
            tokio::time::sleep(Duration::from_millis(100)).await;
            let here = hang(&one);
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            let mut waiting = JoinSet::new();
            for _ in 0..10 {
                let (one, key) = (Arc::clone(&one), key.clone());
                waiting.spawn(async move { one.load(&key, 1).await.0 });
            }
            assert_eq!(waiting.join_all().await, [1; 10]);
            let took = begun.elapsed();
            elsewhere.abort();
            here.abort();
            took < PATIENCE + PATIENCE / 2
        })
        .await;
    }
}

/// A loader that fails, panics or is dropped gives its lease back, and stores nothing.
#[tokio::test]
async fn a_lease_is_given_back_when_nothing_was_loaded() {
    for kind in Kind::SINGLE {
        let site = crate::limit_store::site::Site::start(kind).await;
        let (one, other) = (leasing(&site.url()).await, leasing(&site.url()).await);
        for how in ["fails", "panics", "is dropped"] {
            let key = key(how.replace(' ', "-"));
            let (cache, asked) = (one.cache.clone(), key.clone());
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let (go, gone) = tokio::sync::oneshot::channel::<()>();
            let first = tokio::spawn(async move {
                let load = move || async move {
                    begun.send(()).unwrap();
                    gone.await.unwrap();
                    assert!(how != "panics", "as it is to");
                    Err::<u64, _>("down".to_owned())
                };
                cache.get_or_load(&asked, &class(), load).await
            });
            has_begun.await.unwrap();
            let waiting = {
                let (other, key) = (Arc::clone(&other), key.clone());
                tokio::spawn(async move { other.load(&key, 7).await })
            };
            let there = site.command(&["EXISTS", &key.spell()]).await;
            assert_eq!(there.int(), 1, "the lease");
            if how == "is dropped" {
                first.abort();
            } else {
                go.send(()).unwrap();
            }
            assert_eq!(waiting.await.unwrap(), (7, Source::Loaded), "{how}");
            match first.await {
                Ok(told) => assert!(matches!(told, Err(LoadError::Loader(_)))),
                Err(error) => assert!(error.is_panic() || error.is_cancelled()),
            }
            other.is_stored(&key, 7).await;
            let seen = wait_until(PATIENT, || async { one.load(&key, 9).await.0 == 7 });
            assert!(seen.await);
        }
    }
}
