//! An outage under load: 500 requests a second while the server is killed or stopped for three
//! seconds. Prints what callers saw (`--no-capture` shows it), and fails on any wrong answer.
//!
//! Wrong is a 5xx, and a 429 for a caller who is below its limit.

pub(crate) mod load;

use std::time::{Duration, Instant};

use tower_keep_tests::{Flavor, Server, prompt_once};

use self::load::Running;

const OUTAGE: Duration = Duration::from_secs(3);

/// What is done to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// `kill -9`, and a restart with nothing kept.
    Kill,
    /// SIGSTOP and SIGCONT: connections stay open, and nothing answers.
    Stop,
}

impl Fault {
    pub(crate) fn harm(self, server: &mut Server) {
        match self {
            Self::Kill => server.kill(),
            Self::Stop => server.pause(),
        }
    }

    pub(crate) async fn heal(self, server: &mut Server) {
        match self {
            Self::Kill => server.restart().await,
            Self::Stop => server.resume(),
        }
    }
}

async fn outage(flavor: Flavor, fault: Fault) -> bool {
    let mut server = Server::start(flavor).await;
    let load = Running::start(&server.url()).await;
    load.run_for(Duration::from_secs(1)).await;

    let began = Instant::now();
    fault.harm(&mut server);
    load.run_for(OUTAGE).await;
    fault.heal(&mut server).await;
    let back = Instant::now();
    let recovered = load.run_until_counted_by_store(Duration::from_secs(20)).await;
    load.run_for(Duration::from_secs(1)).await;
    let report = load.finish().await;
    report.judge(&format!("{flavor} {fault:?}"), began..back, recovered - back)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_under_load() {
    prompt_once(async || outage(Flavor::Redis, Fault::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stopped_under_load() {
    prompt_once(async || outage(Flavor::Redis, Fault::Stop).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_killed_under_load() {
    prompt_once(async || outage(Flavor::Valkey, Fault::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_stopped_under_load() {
    prompt_once(async || outage(Flavor::Valkey, Fault::Stop).await).await;
}
