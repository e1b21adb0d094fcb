//! Sentinels put another primary in place, under load. Prints what callers saw.

use std::time::{Duration, Instant};

use tower_keep_tests::{Flavor, Sentinel, prompt_once};

use super::{LONG, connected, limits};
use crate::outage::{Fault, load::Running};

async fn failover(flavor: Flavor, fault: Fault) -> bool {
    let mut sentinel = Sentinel::start(flavor).await;
    let load = Running::start(&sentinel.url()).await;
    load.run_for(Duration::from_secs(1)).await;

    let began = Instant::now();
    let old = sentinel.primary().await.unwrap();
    fault.harm(sentinel.node_mut(old));
    let new = sentinel.wait_until_failed_over(old, LONG).await;
    let failed_over = Instant::now();
    assert!(new.is_some(), "the sentinels did not fail over");
    let recovered = load.run_until_counted_by_store(LONG).await;
    fault.heal(sentinel.node_mut(old)).await;
    // The old primary becomes a replica, which refuses writes: nobody may still be there.
    load.run_for(Duration::from_secs(3)).await;
    let report = load.finish().await;
    let what = format!("{flavor} {fault:?}, the sentinels took {:?}", failed_over - began);
    report.judge(&what, began..recovered, recovered - failed_over)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_primary_killed() {
    prompt_once(async || failover(Flavor::Redis, Fault::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_primary_killed() {
    prompt_once(async || failover(Flavor::Valkey, Fault::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_primary_stopped() {
    prompt_once(async || failover(Flavor::Redis, Fault::Stop).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_primary_stopped() {
    prompt_once(async || failover(Flavor::Valkey, Fault::Stop).await).await;
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
