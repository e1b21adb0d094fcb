//! Large values beside small ones: 64 readers of 1 MiB and a limiter, on one Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::JoinSet, time::sleep};
use tower_keep_redis::{
    Connection,
    fred::{interfaces::ClientLike, types::Value},
};
use tower_keep_tests::{Flavor, Server, prompt_once, wait_until};

use super::{BACK, PATIENT, config, connected, incr, ms, works};

const READERS: usize = 64;
const BODY: usize = 1 << 20;
/// The limiter's deadline.
const IN_TIME: Duration = Duration::from_millis(75);

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// How long each check took, the shortest first.
async fn read(name: &str, bodies: &Connection, limits: &Connection) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (bodies, stop, reads) = (bodies.clone(), Arc::clone(&stop), Arc::clone(&reads));
        readers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let body = bodies.command("GET", Some("body"), vec!["body".into()]).await;
                assert_eq!(body.unwrap().into_bytes().unwrap().len(), BODY);
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    sleep(ms(300)).await;
    let before = reads.load(Ordering::Relaxed);
    let mut latencies = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ms(3000) {
        let check = Instant::now();
        incr(limits, "n").await.unwrap();
        latencies.push(check.elapsed());
        sleep(ms(2)).await;
    }
    let reads = reads.load(Ordering::Relaxed) - before;
    stop.store(true, Ordering::Relaxed);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    latencies.sort_unstable();
    println!(
        "{READERS} readers of 1 MiB on {name}: {reads} bodies in 3 s; {} checks, p50 {:?} p99 {:?}",
        latencies.len(),
        percentile(&latencies, 50),
        percentile(&latencies, 99),
    );
    latencies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_large_values_do_not_hold_up_the_limiter() {
    let server = Server::start(Flavor::Redis).await;
    let limits = connected(config(&server.url()).with_timeout(PATIENT)).await;
    let body = Value::Bytes(vec![b'x'; BODY].into());
    limits.command("SET", Some("body"), vec!["body".into(), body]).await.unwrap();
    let bulk = limits.bulk();
    bulk.require().await.unwrap();
    prompt_once(async || {
        let shared = read("their connection", &limits, &limits).await;
        let apart = read("the bulk connection", &bulk, &limits).await;
        let slow = percentile(&apart, 99);
        assert!(slow < ms(2000), "p99 {slow:?}");
        percentile(&apart, 50) * 2 < percentile(&shared, 50) && slow < IN_TIME
    })
    .await;
}

/// A connection of its own with everything that belongs to it, and one only.
#[tokio::test]
async fn the_bulk_connection_is_one_and_ends_with_the_other() {
    let mut server = Server::start(Flavor::Redis).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let connection = connected(config(&server.url())).await;
    let bulk = connection.bulk();
    bulk.require().await.unwrap();
    assert_eq!(bulk.client().id(), connection.clone().bulk().client().id());
    assert_eq!(bulk.client().id(), bulk.bulk().client().id(), "it is its own");
    assert_ne!(bulk.client().id(), connection.client().id());
    assert!(bulk.endpoint().contains("bulk"), "{}", bulk.endpoint());
    works(&bulk).await;
    server.restart().await;
    assert!(wait_until(BACK, || async { incr(&bulk, "n").await.is_ok() }).await);
    drop(bulk);
    assert!(wait_until(BACK, || async { connection.health().reconnects >= 1 }).await);
    drop(connection);
    let alive = || Handle::current().metrics().num_alive_tasks();
    assert!(wait_until(ms(3000), || async { alive() == tasks }).await, "{} tasks", alive());
}
