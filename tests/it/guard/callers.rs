//! Callers that go on through a fault, and what they saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use tower_keep_redis::{Connection, ConnectionState, ErrorClass, Script, fred::types::Value};
use tower_keep_tests::wait_until;

use super::{PATIENT, ms, stage::Stage};

/// Says what it was told, and how often it was told that.
static TELL: Script = Script::new("return {ARGV[1], redis.call('HINCRBY', KEYS[1], ARGV[1], 1)}");

/// One command that failed.
struct Failed {
    at: Instant,
    took: Duration,
    class: ErrorClass,
    /// Whether the breaker was open before and after.
    open: bool,
    token: String,
}

#[derive(Default)]
struct Seen {
    answers: u64,
    wrong: u64,
    failed: Vec<Failed>,
}

/// What all callers have in common.
#[derive(Default)]
struct Common {
    stop: AtomicBool,
    answers: AtomicU64,
}

/// Each with a key of its own.
pub(super) struct Callers {
    common: Arc<Common>,
    tasks: JoinSet<(usize, Seen)>,
}

/// What the callers saw of the fault, in a row of the table.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How long the first failure took, and the longest.
    pub(super) first: Option<Duration>,
    pub(super) slowest: Option<Duration>,
    /// How long a refusal took while the breaker was open: the median.
    pub(super) open: Option<Duration>,
    pub(super) wrong: u64,
    pub(super) answers: u64,
    pub(super) after_not_sent: u64,
}

impl Callers {
    pub(super) fn keys() -> Vec<String> {
        (0..8).map(|caller| format!("told:{{{caller}}}")).collect()
    }

    pub(super) fn start(connection: &Connection) -> Self {
        let (common, mut tasks) = (Arc::new(Common::default()), JoinSet::new());
        for (caller, key) in Self::keys().into_iter().enumerate() {
            let (connection, common) = (connection.clone(), Arc::clone(&common));
            tasks.spawn(async move { (caller, call(&connection, caller, &key, &common).await) });
        }
        Self { common, tasks }
    }

    /// Waits until they have been answered so many times more; how long is the machine's affair.
    pub(super) async fn are_answered(&self, times: u64) -> bool {
        let answers = || self.common.answers.load(Ordering::Relaxed);
        let enough = answers() + times;
        wait_until(PATIENT, || async { answers() >= enough }).await
    }

    /// Ends them, and compares what they were told with what was done.
    pub(super) async fn finish(self, stage: &Stage, since: Instant) -> Report {
        self.common.stop.store(true, Ordering::Relaxed);
        let all = self.tasks.join_all().await;
        let mut report = Report::default();
        let (mut first, mut open) = (None, Vec::new());
        for (caller, seen) in all {
            report.answers += seen.answers;
            report.wrong += seen.wrong;
            for failed in seen.failed {
                report.slowest = report.slowest.max(Some(failed.took));
                let not_sent = failed.class == ErrorClass::NotSent;
                if not_sent {
                    let tell = ["HEXISTS", &Self::keys()[caller], &failed.token];
                    let done = stage.server_of(caller).command(&tell).await.unwrap();
                    report.after_not_sent += u64::from(done.int() != 0);
                }
                if failed.open && not_sent {
                    open.push(failed.took);
                } else if failed.at + failed.took >= since
                    && first.is_none_or(|(at, _)| failed.at < at)
                {
                    first = Some((failed.at, failed.took));
                }
            }
        }
        open.sort_unstable();
        report.first = first.map(|(_, took)| took);
        report.open = open.get(open.len() / 2).copied();
        report
    }
}

async fn call(connection: &Connection, caller: usize, key: &str, common: &Common) -> Seen {
    let mut seen = Seen::default();
    for number in 0_u64.. {
        if common.stop.load(Ordering::Relaxed) {
            break;
        }
        let token = format!("{caller}-{number}");
        let before = connection.state();
        let at = Instant::now();
        let args = vec![Value::from(token.as_str())];
        let answer = connection.run_script(&TELL, vec![key.to_owned()], args).await;
        let took = at.elapsed();
        match answer {
            Ok(answer) => {
                seen.answers += 1;
                common.answers.fetch_add(1, Ordering::Relaxed);
                let right = Value::Array(vec![token.as_str().into(), 1.into()]);
                if answer != right {
                    println!("wrong: told {token}, answered {answer:?}");
                    seen.wrong += 1;
                }
            }
            Err(error) => {
                let open = [before, connection.state()] == [ConnectionState::Down; 2];
                seen.failed.push(Failed { at, took, class: error.class(), open, token });
            }
        }
        sleep(ms(4)).await;
    }
    seen
}
