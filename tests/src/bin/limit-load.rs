//! A load on rate limits that are counted by a server elsewhere, and what its callers see:
//! `tests/it/containers/cut.rs` runs it in a container, `tests/it/soak.rs` for a long time.
//!
//! Arguments: url, seconds, and requests per second if not 500. Sends them until the time is over,
//! however slowly they are answered, and prints what the answers were of each twentieth of a
//! second, and how many tasks there were at its end: a line of JSON each.

use std::{
    convert::Infallible,
    env,
    error::Error,
    io::{self, Write as _},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{Keep, Principal, RateLimitLayer, RateLimitOutcome, Rule, TenantId, UserId};

const PER_SECOND: u32 = 500;
const TOLD_EVERY: Duration = Duration::from_millis(50);
/// Longer than any deadline here.
const HUNG: Duration = Duration::from_secs(1);
/// Requests that one caller may make in the load's time.
const QUOTA: u64 = 40;
const WINDOW: Duration = Duration::from_secs(600);
/// Callers: the greedy ones send every other request, and go far over their limit.
const GREEDY: usize = 4;
const MODEST: usize = 400;

/// What was seen since it was told last.
#[derive(Default)]
struct Seen {
    answered: u64,
    /// Denied below the limit, a 5xx, or no answer.
    wrong: u64,
    denied: u64,
    /// Decided by the server.
    counted: u64,
    slowest: Duration,
}

/// One who sends requests.
struct Caller {
    principal: Principal,
    /// Requests that were admitted, or are under way.
    admitted: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or_else(|| format!("{what} is missing"));
    let keep = Keep::connect(&next("the url")?)?;
    let time = Duration::from_secs(next("the number of seconds")?.parse()?);
    let per_second = next("the rate").map_or(Ok(PER_SECOND), |rate| rate.parse())?;
    keep.require_connection().await?;
    let rule = Rule::per_user(QUOTA, WINDOW);
    let layer = keep.rate_limit().rule(rule).expose_outcome(true).build()?;
    let callers = (0..GREEDY + MODEST).map(caller).collect::<Result<Vec<_>, _>>()?;

    let (seen, end) = (Arc::new(Mutex::new(Seen::default())), Instant::now() + time);
    let mut sending = interval(Duration::from_secs(1) / per_second);
    let mut telling = interval(TOLD_EVERY);
    sending.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut turn = 0_usize;
    while Instant::now() < end {
        tokio::select! {
            _ = sending.tick() => {
                turn += 1;
                let half = turn / 2;
                let index =
                    if turn.is_multiple_of(2) { half % GREEDY } else { GREEDY + half % MODEST };
                if let Some(caller) = callers.get(index) {
                    tokio::spawn(ask(layer.clone(), Arc::clone(caller), Arc::clone(&seen)));
                }
            }
            _ = telling.tick() => tell(&mem::take(&mut *lock(&seen)))?,
        }
    }
    Ok(())
}

fn caller(index: usize) -> Result<Arc<Caller>, Box<dyn Error>> {
    let principal =
        Principal::new(TenantId::new("acme")?).with_user(UserId::new(index.to_string())?);
    Ok(Arc::new(Caller { principal, admitted: AtomicU64::new(0) }))
}

async fn ask(layer: RateLimitLayer, caller: Arc<Caller>, seen: Arc<Mutex<Seen>>) {
    let handler = |_: Request<()>| async { Ok::<Response<()>, Infallible>(Response::new(())) };
    let mut request = Request::new(());
    request.extensions_mut().insert(caller.principal.clone());
    let (before, begun) = (caller.admitted.fetch_add(1, Ordering::Relaxed), Instant::now());
    let answer = timeout(HUNG, layer.layer(service_fn(handler)).oneshot(request)).await;
    let latency = begun.elapsed();
    let (status, outcome) = match &answer {
        Ok(Ok(response)) => (Some(response.status()), response.extensions().get().copied()),
        Ok(Err(never)) => match *never {},
        Err(_) => (None, None),
    };
    let (admitted, denied) =
        (status == Some(StatusCode::OK), status == Some(StatusCode::TOO_MANY_REQUESTS));
    if !admitted {
        caller.admitted.fetch_sub(1, Ordering::Relaxed);
    }
    let counted = matches!(outcome, Some(RateLimitOutcome::Allowed | RateLimitOutcome::Denied));
    let wrong = !admitted && (!denied || before < QUOTA);
    if wrong {
        eprintln!("wrong: {status:?} {outcome:?} after {latency:?}, {before} admitted before");
    }
    let mut seen = lock(&seen);
    seen.answered += 1;
    seen.wrong += u64::from(wrong);
    seen.denied += u64::from(denied);
    seen.counted += u64::from(counted);
    seen.slowest = seen.slowest.max(latency);
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(seen: &Seen) -> io::Result<()> {
    let Seen { answered, wrong, denied, counted, slowest } = seen;
    let slowest = slowest.as_millis();
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        r#"{{"answered":{answered},"wrong":{wrong},"denied":{denied},"counted":{counted},"slowest_ms":{slowest},"tasks":{tasks}}}"#
    )?;
    out.flush()
}
