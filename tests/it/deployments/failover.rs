//! Sentinels put another primary in place, under load. Prints what callers saw.

use std::time::{Duration, Instant};

use tower_keep_tests::{Flavor, Sentinel};

use super::{LONG, connected, limits};
use crate::outage::load::{Load, QUOTA};

/// What is done to the primary.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    /// Its connections stay open, and nothing answers.
    Stop,
}

async fn failover(flavor: Flavor, fault: Fault) {
    let mut sentinel = Sentinel::start(flavor).await;
    let load = Load::start(&sentinel.url()).await;
    load.run_for(Duration::from_secs(1)).await;

    let began = Instant::now();
    let old = match fault {
        Fault::Kill => sentinel.kill_primary().await,
        Fault::Stop => {
            let primary = sentinel.primary().await.unwrap();
            sentinel.node_mut(primary).pause();
            primary
        }
    };
    let new = sentinel.wait_until_failed_over(old, LONG).await;
    let failed_over = Instant::now();
    assert!(new.is_some(), "the sentinels did not fail over");
    let recovered = load.run_until_counted_by_store(LONG).await;
    match fault {
        Fault::Kill => sentinel.node_mut(old).restart().await,
        Fault::Stop => sentinel.node_mut(old).resume(),
    }
    // The old primary becomes a replica, which refuses writes: nobody may still be there.
    load.run_for(Duration::from_secs(3)).await;
    let report = load.finish().await;

    let during = report.between(began, recovered);
    let recovery = recovered.saturating_duration_since(failed_over);
    println!(
        "{flavor} {fault:?}: the sentinels took {:?}; {} requests meanwhile, latency p50 {:?} p99 \
         {:?} max {:?}; wrong answers {}; counted by Redis again {recovery:?} after",
        failed_over - began,
        during.len(),
        during.latency(0.50),
        during.latency(0.99),
        during.latency(1.0),
        report.wrong(),
    );
    assert_eq!(report.wrong(), 0, "wrong answers");
    assert!(during.latency(1.0) < Duration::from_secs(1), "a request hung");
    assert!(recovery < Duration::from_secs(5), "recovery took {recovery:?}");
    // One limit by Redis before, one in this process meanwhile, one by Redis after.
    assert!(report.most_admitted() <= 3 * QUOTA, "over-admitted beyond what is said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_primary_killed() {
    failover(Flavor::Redis, Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_primary_killed() {
    failover(Flavor::Valkey, Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_primary_stopped() {
    failover(Flavor::Redis, Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_primary_stopped() {
    failover(Flavor::Valkey, Fault::Stop).await;
}

/// A sentinel that takes connections and says nothing is not asked for ever.
#[tokio::test]
async fn sentinels_that_hang_are_passed_over() {
    for flavor in Flavor::ALL {
        let mut sentinel = Sentinel::start(flavor).await;
        let url = sentinel.url();
        sentinel.sentinel_mut(0).pause();
        sentinel.sentinel_mut(1).pause();
        let begun = Instant::now();
        let keep = connected(&[("REDIS_URL", &url), ("REDIS_CONNECT_TIMEOUT_MS", "20000")]).await;
        println!("{flavor}: two of three sentinels hung, connected after {:?}", begun.elapsed());
        limits(&keep, 1).await;
    }
}

/// One sentinel of three is enough to be told the primary.
#[tokio::test]
async fn sentinels_that_are_down_are_passed_over() {
    for flavor in Flavor::ALL {
        let mut sentinel = Sentinel::start(flavor).await;
        let url = sentinel.url();
        sentinel.sentinel_mut(0).kill();
        sentinel.sentinel_mut(1).kill();
        limits(&connected(&[("REDIS_URL", &url)]).await, 1).await;
    }
}
