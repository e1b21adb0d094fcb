//! A load on rate limits that are counted by a server elsewhere, and what its callers see:
//! `tests/it/containers/cut.rs` runs it in a container, `tests/it/soak.rs` for a long time.
//!
//! Arguments: url, seconds, and requests per second if not 500. Sends them until the time is over,
//! however slowly they are answered, and talks to itself over the bus meanwhile. Prints what the
//! answers were of each twentieth of a second, what was heard, and how many tasks there were at
//! its end: a line of JSON each.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{interval, sleep},
};
use tower_keep::Keep;
use tower_keep_tests::{Answered, Chatter, Heard, Load};

const PER_SECOND: u32 = 500;
const TOLD_EVERY: Duration = Duration::from_millis(50);

/// What was seen since it was told last.
#[derive(Default)]
struct Seen {
    answered: u64,
    wrong: u64,
    denied: u64,
    /// Decided by the server.
    counted: u64,
    slowest: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or_else(|| format!("{what} is missing"));
    let keep = Keep::connect(&next("the url")?)?;
    let time = Duration::from_secs(next("the number of seconds")?.parse()?);
    let per_second = next("the rate").map_or(Ok(PER_SECOND), |rate| rate.parse())?;
    keep.require_connection().await?;
    let chatter = Chatter::start(&keep.bus()?.ok_or("there is no bus")?);

    let seen: Arc<Mutex<Seen>> = Arc::default();
    let load = Load::new(&keep);
    let noted = Arc::clone(&seen);
    let note = move |answered| note(&noted, answered);
    let sending = load.run(Duration::from_secs(1) / per_second, sleep(time), note);
    let telling = async {
        let mut telling = interval(TOLD_EVERY);
        loop {
            telling.tick().await;
            tell(&mem::take(&mut *lock(&seen)), chatter.take())?;
        }
    };
    tokio::select! {
        () = sending => Ok(()),
        told = telling => told,
    }
}

fn note(seen: &Mutex<Seen>, answered: Answered) {
    if answered.is_wrong() {
        eprintln!("wrong: {answered:?}");
    }
    let mut seen = lock(seen);
    seen.answered += 1;
    seen.wrong += u64::from(answered.is_wrong());
    seen.denied += u64::from(answered.is_denied());
    seen.counted += u64::from(answered.is_counted());
    seen.slowest = seen.slowest.max(answered.latency);
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(seen: &Seen, heard: Heard) -> Result<(), Box<dyn Error>> {
    let Seen { answered, wrong, denied, counted, slowest } = seen;
    let Heard { messages, gaps, untold } = heard;
    let slowest = slowest.as_millis();
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        r#"{{"answered":{answered},"wrong":{wrong},"denied":{denied},"counted":{counted},"slowest_ms":{slowest},"heard":{messages},"gaps":{gaps},"untold":{untold},"tasks":{tasks}}}"#
    )?;
    Ok(out.flush()?)
}
