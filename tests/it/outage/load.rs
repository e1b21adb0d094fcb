//! A load through an outage, and what its callers saw.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use tower_keep::Keep;
use tower_keep_tests::{Answered, Load, wait_until};

const EVERY: Duration = Duration::from_millis(2);
/// The deadline of a command, which is 75 ms, and what is done after it.
const ANSWERED: Duration = Duration::from_millis(125);
const RECOVERED: Duration = Duration::from_secs(1);
/// The same on a machine that has other things to do.
const ANSWERED_AT_MOST: Duration = Duration::from_secs(10);
const RECOVERED_AT_MOST: Duration = Duration::from_secs(10);

/// A load that runs until it is told to finish.
pub(crate) struct Running {
    load: Load,
    seen: Arc<Mutex<Vec<Answered>>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(url: &str) -> Self {
        let keep = Keep::connect(url).unwrap();
        keep.require_connection().await.unwrap();
        let (load, seen) = (Load::new(&keep), Arc::<Mutex<Vec<Answered>>>::default());
        let (stop, stopped) = oneshot::channel();
        let (callers, noted) = (load.clone(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let end = async { drop(stopped.await) };
            callers.run(EVERY, end, move |answered| noted.lock().unwrap().push(answered)).await;
        });
        Self { load, seen, stop, task }
    }

    pub(crate) async fn run_for(&self, time: Duration) {
        sleep(time).await;
    }

    /// When the store has counted a request that was sent from now on.
    pub(crate) async fn run_until_counted_by_store(&self, at_most: Duration) -> Instant {
        let now = Instant::now();
        let found = wait_until(at_most, || async {
            let seen = self.seen.lock().unwrap();
            seen.iter().rev().take(1000).any(|seen| seen.at > now && seen.is_counted())
        });
        assert!(found.await, "not counted by the store within {at_most:?}");
        Instant::now()
    }

    pub(crate) async fn finish(self) -> Report {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        Report { seen, most_admitted: self.load.most_admitted() }
    }
}

/// What all callers saw.
pub(crate) struct Report {
    seen: Vec<Answered>,
    most_admitted: u64,
}

impl Report {
    /// Prints what was seen in an outage that was over so long before the store counted again.
    /// Panics if it was not good; answers whether it was also as quick as promised.
    pub(crate) fn judge(&self, what: &str, outage: Range<Instant>, recovery: Duration) -> bool {
        let wrong: Vec<_> = self.seen.iter().filter(|seen| seen.is_wrong()).collect();
        let during = self.seen.iter().filter(|seen| outage.contains(&seen.at));
        let mut latencies: Vec<_> = during.map(|seen| seen.latency).collect();
        latencies.sort_unstable();
        let percentile = |percent| {
            let last = latencies.len().saturating_sub(1);
            latencies.get(last * percent / 100).copied().unwrap_or_default()
        };
        let slowest = percentile(100);
        println!(
            "{what}: {} requests in the outage, latency p50 {:?} p99 {:?} max {slowest:?}; wrong \
             answers {}; counted by the store again {recovery:?} after its return",
            latencies.len(),
            percentile(50),
            percentile(99),
            wrong.len(),
        );
        assert!(wrong.is_empty(), "wrong answers: {:?}", wrong.iter().take(5).collect::<Vec<_>>());
        let length = u64::try_from((outage.end - outage.start).as_millis()).unwrap();
        assert!(slowest < ANSWERED_AT_MOST, "a request hung");
        assert!(recovery < RECOVERED_AT_MOST, "recovery took {recovery:?}");
        // One limit by the store before, one in this process meanwhile, one by the store after.
        assert!(self.most_admitted <= 3 * Load::QUOTA, "over-admitted beyond what is said");
        let awake = latencies.len() as u64 > length / 3;
        awake && slowest < ANSWERED && recovery < RECOVERED
    }
}
