//! An outage under load: 500 requests a second while the server is killed or stopped for three
//! seconds. Prints what callers saw (`--no-capture` shows it), and fails on any wrong answer.
//!
//! Wrong is a 5xx, and a 429 for a caller who is below its limit.

pub(crate) mod load;

use std::time::{Duration, Instant};

use tower_keep_tests::{Flavor, Server};

use self::load::Load;

const OUTAGE: Duration = Duration::from_secs(3);

/// What is done to the server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9`, and a restart with nothing kept.
    Kill,
    /// SIGSTOP and SIGCONT: connections stay open, and nothing answers.
    Stop,
}

async fn outage(flavor: Flavor, fault: Fault) {
    let mut server = Server::start(flavor).await;
    let load = Load::start(&server.url()).await;
    load.run_for(Duration::from_secs(1)).await;

    let began = Instant::now();
    match fault {
        Fault::Kill => server.kill(),
        Fault::Stop => server.pause(),
    }
    load.run_for(OUTAGE).await;
    match fault {
        Fault::Kill => server.restart().await,
        Fault::Stop => server.resume(),
    }
    let back = Instant::now();
    let recovered = load.run_until_counted_by_store(Duration::from_secs(20)).await;
    load.run_for(Duration::from_secs(1)).await;
    let report = load.finish().await;

    let during = report.between(began, back);
    let recovery = recovered.saturating_duration_since(back);
    println!(
        "{flavor:?} {fault:?}: {} requests in the outage, latency p50 {:?} p99 {:?} max {:?}; wrong \
         answers {}; counted by Redis again {recovery:?} after its return",
        during.len(),
        during.latency(0.50),
        during.latency(0.99),
        during.latency(1.0),
        report.wrong(),
    );
    assert_eq!(report.wrong(), 0, "wrong answers");
    assert!(during.len() > 1_000, "the load fell asleep: {} requests", during.len());
    // The deadline is 75 ms; the rest is for a machine that has other things to do.
    assert!(during.latency(1.0) < Duration::from_secs(1), "a request hung");
    assert!(recovery < Duration::from_secs(3), "recovery took {recovery:?}");
    // One limit by Redis before, one in this process meanwhile, one by Redis after.
    assert!(report.most_admitted() <= 3 * load::QUOTA, "over-admitted beyond what is said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_under_load() {
    outage(Flavor::Redis, Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stopped_under_load() {
    outage(Flavor::Redis, Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_killed_under_load() {
    outage(Flavor::Valkey, Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_stopped_under_load() {
    outage(Flavor::Valkey, Fault::Stop).await;
}
