//! An open-loop load on a rate-limited service, and what its callers saw.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{Keep, PeerAddr, PrincipalLayer, RateLimitOutcome, Rule, Scope};

/// Requests that one caller may make in the test's time.
pub(crate) const QUOTA: u64 = 40;
const EVERY: Duration = Duration::from_millis(2);
/// Callers: some stay below their limit, some go far over it.
const MODEST: u64 = 400;
const GREEDY: u64 = 4;

type Service = BoxCloneSyncService<Request<()>, Response<()>, Infallible>;

/// One request, as its caller saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    caller: u8,
    at: Instant,
    latency: Duration,
    status: u16,
    outcome: RateLimitOutcome,
    /// Requests of the caller that were or might have been admitted when this one was sent.
    before: u64,
}

/// Requests of each caller that were admitted, or are under way.
type Admitted = Arc<Mutex<HashMap<u64, u64>>>;

/// A load that runs until it is told to finish.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    /// Tells each time when the store itself counted a request.
    counted: Mutex<mpsc::UnboundedReceiver<Instant>>,
    task: tokio::task::JoinHandle<Vec<Seen>>,
    admitted: Admitted,
}

impl Load {
    pub(crate) async fn start(url: &str) -> Self {
        let keep = Keep::connect(url).unwrap();
        keep.require_connection().await.unwrap();
        let service = service(&keep);
        let (stop, stopped) = watch::channel(false);
        let (count, counted) = mpsc::unbounded_channel();
        let admitted = Admitted::default();
        let task = tokio::spawn(drive(service, stopped, count, Arc::clone(&admitted)));
        Self { stop, counted: Mutex::new(counted), task, admitted }
    }

    pub(crate) async fn run_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// When the store first counted a request from now on.
    pub(crate) async fn run_until_counted_by_store(&self, at_most: Duration) -> Instant {
        let now = Instant::now();
        let found = tower_keep_tests::wait_until(at_most, || async {
            let mut counted = self.counted.lock().unwrap();
            std::iter::from_fn(|| counted.try_recv().ok()).any(|at| at > now)
        });
        assert!(found.await, "not counted by the store within {at_most:?}");
        Instant::now()
    }

    pub(crate) async fn finish(self) -> Report {
        self.stop.send_replace(true);
        let seen = self.task.await.unwrap();
        let admitted = self.admitted.lock().unwrap().clone();
        Report { seen, admitted }
    }
}

fn service(keep: &Keep) -> Service {
    let limit = keep
        .rate_limit()
        .rule(Rule::per(Scope::tenant().address(), QUOTA, Duration::from_secs(600)))
        .expose_outcome(true)
        .build()
        .unwrap();
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let stack = PrincipalLayer::fixed("acme").build().unwrap().layer(limit.layer(inner));
    BoxCloneSyncService::new(stack.map_response(|response| response.map(drop)))
}

async fn drive(
    service: Service,
    stopped: watch::Receiver<bool>,
    count: mpsc::UnboundedSender<Instant>,
    admitted: Admitted,
) -> Vec<Seen> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    let mut turn = 0_u64;
    while !*stopped.borrow() {
        ticks.tick().await;
        turn += 1;
        // Every other request is a greedy caller's.
        let caller =
            if turn.is_multiple_of(2) { turn / 2 % GREEDY } else { GREEDY + turn % MODEST };
        requests.spawn(ask(service.clone(), caller, count.clone(), Arc::clone(&admitted)));
    }
    requests.join_all().await
}

async fn ask(
    service: Service,
    caller: u64,
    count: mpsc::UnboundedSender<Instant>,
    admitted: Admitted,
) -> Seen {
    let [.., high, low] = caller.to_be_bytes();
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddr(([10, 0, high, low], 1).into()));
    let before = *admitted.lock().unwrap().entry(caller).and_modify(|n| *n += 1).or_insert(1) - 1;
    let at = Instant::now();
    let response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
    let latency = at.elapsed();
    let status = response.status().as_u16();
    let outcome = *response.extensions().get::<RateLimitOutcome>().unwrap();
    if status != 200 {
        *admitted.lock().unwrap().get_mut(&caller).unwrap() -= 1;
    }
    if matches!(outcome, RateLimitOutcome::Allowed | RateLimitOutcome::Denied) {
        let _ = count.send(at);
    }
    Seen { caller: low, at, latency, status, outcome, before }
}

/// What all callers saw.
pub(crate) struct Report {
    seen: Vec<Seen>,
    admitted: HashMap<u64, u64>,
}

impl Report {
    /// Answers that must not be.
    pub(crate) fn wrong(&self) -> usize {
        let wrong =
            |seen: &&Seen| seen.status != 200 && (seen.status != 429 || seen.before < QUOTA);
        let wrong: Vec<_> = self.seen.iter().filter(wrong).collect();
        for seen in wrong.iter().take(5) {
            println!("wrong: caller {} {:?} {}", seen.caller, seen.outcome, seen.status);
        }
        wrong.len()
    }

    /// The most that one caller got.
    pub(crate) fn most_admitted(&self) -> u64 {
        self.admitted.values().copied().max().unwrap_or_default()
    }

    /// The requests sent in this time, the quickest first.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Latencies {
        let inside = self.seen.iter().filter(|seen| (from..to).contains(&seen.at));
        let mut latencies: Vec<_> = inside.map(|seen| seen.latency).collect();
        latencies.sort();
        Latencies(latencies)
    }
}

/// Latencies, the shortest first.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The latency that `share` of the requests did not exceed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a few thousand requests"
    )]
    pub(crate) fn latency(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}
