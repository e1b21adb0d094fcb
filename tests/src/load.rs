//! An open-loop load on rate limits, and what its callers see.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{Keep, Principal, RateLimitLayer, RateLimitOutcome, Rule, TenantId, UserId};

const WINDOW: Duration = Duration::from_secs(600);
/// Longer than any deadline here.
const HUNG: Duration = Duration::from_secs(1);
/// Callers: the greedy ones send every other request, and go far over their limit.
const GREEDY: usize = 4;
const MODEST: usize = 400;

/// Callers of a rate-limited service: a few go far over their limit, hundreds stay below it for
/// about a minute.
#[derive(Clone, Debug)]
pub struct Load {
    layer: RateLimitLayer,
    callers: Arc<[Caller]>,
}

/// One who sends requests.
#[derive(Debug)]
struct Caller {
    principal: Principal,
    /// Requests that were admitted, or are under way.
    admitted: AtomicU64,
}

/// One request, as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When it was sent.
    pub at: Instant,
    /// How long the answer took.
    pub latency: Duration,
    /// `None` if there was no answer at all.
    pub status: Option<StatusCode>,
    /// Who decided, and what.
    pub outcome: Option<RateLimitOutcome>,
    /// Requests of the caller that were or might have been admitted when this one was sent.
    pub before: u64,
}

impl Answered {
    /// Whether it was let through.
    pub fn is_admitted(&self) -> bool {
        self.status == Some(StatusCode::OK)
    }

    /// Whether it was refused for being one too many.
    pub fn is_denied(&self) -> bool {
        self.status == Some(StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether the server decided.
    pub fn is_counted(&self) -> bool {
        matches!(self.outcome, Some(RateLimitOutcome::Allowed | RateLimitOutcome::Denied))
    }

    /// Whether it must not be: denied below the limit, a 5xx, or no answer.
    pub fn is_wrong(&self) -> bool {
        !self.is_admitted() && (!self.is_denied() || self.before < Load::QUOTA)
    }
}

impl Load {
    /// Requests that one caller may make in the load's time.
    pub const QUOTA: u64 = 40;

    /// A load that is yet to begin; panics if the keep does not take its rule.
    pub fn new(keep: &Keep) -> Self {
        let rule = Rule::per_user(Self::QUOTA, WINDOW);
        let layer = keep.rate_limit().rule(rule).expose_outcome(true).build().unwrap();
        let callers = (0..GREEDY + MODEST).map(|index| Caller {
            principal: Principal::new(TenantId::new("acme").unwrap())
                .with_user(UserId::new(index.to_string()).unwrap()),
            admitted: AtomicU64::new(0),
        });
        Self { layer, callers: callers.collect() }
    }

    /// Sends a request each time, however slowly they are answered, and tells of each answer;
    /// until `end` is over, and all have been answered.
    pub async fn run(
        &self,
        every: Duration,
        end: impl Future<Output = ()>,
        told: impl Fn(Answered) + Clone + Send + Sync + 'static,
    ) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut requests, mut turn) = (JoinSet::new(), 0_usize);
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = ticks.tick() => {
                    turn += 1;
                    let (load, told, turn) = (self.clone(), told.clone(), turn);
                    requests.spawn(async move { told(load.ask(turn).await) });
                }
                Some(ended) = requests.join_next() => ended.unwrap(),
            }
        }
        requests.join_all().await;
    }

    /// The most that one caller got.
    pub fn most_admitted(&self) -> u64 {
        let admitted = self.callers.iter().map(|caller| caller.admitted.load(Ordering::Relaxed));
        admitted.max().unwrap_or_default()
    }

    async fn ask(&self, turn: usize) -> Answered {
        let half = turn / 2;
        let greedy = turn.is_multiple_of(2);
        let caller = &self.callers[if greedy { half % GREEDY } else { GREEDY + half % MODEST }];
        let handler = |_: Request<()>| async { Ok::<Response<()>, Infallible>(Response::new(())) };
        let mut request = Request::new(());
        request.extensions_mut().insert(caller.principal.clone());
        let (before, at) = (caller.admitted.fetch_add(1, Ordering::Relaxed), Instant::now());
        let answer = self.layer.layer(service_fn(handler)).oneshot(request);
        let answer = timeout(HUNG, answer).await;
        let latency = at.elapsed();
        let (status, outcome) = match &answer {
            Ok(Ok(response)) => (Some(response.status()), response.extensions().get().copied()),
            Ok(Err(never)) => match *never {},
            Err(_) => (None, None),
        };
        let answered = Answered { at, latency, status, outcome, before };
        if !answered.is_admitted() {
            caller.admitted.fetch_sub(1, Ordering::Relaxed);
        }
        answered
    }
}
