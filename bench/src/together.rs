//! Work that many tasks of one process do at once, each kind of it in turns: how often it is done in
//! a second, and what it costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::{TICK_MICROS, argument, median, quantile, servers::Process};

/// A kind of work.
pub trait Work: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The kind that it is compared with.
    fn beside(&self) -> &'static str;

    /// Does it once, with what has this number.
    fn once(&self, number: usize) -> impl Future<Output = ()> + Send;
}

/// What was measured in one turn.
struct Turn {
    rate: f64,
    /// Microseconds of this process each time.
    cost: f64,
    /// The same of Redis.
    redis: f64,
}

/// Lets so many tasks do each kind of work, on `--keys N` numbers at random, in `--rounds N` of
/// `--millis N`; and tells of it.
pub async fn together<W: Work>(all: &[Arc<W>], tasks: usize, redis: Option<&Process>) {
    let (rounds, length) = (argument("--rounds", 21), argument("--millis", 200));
    let length = Duration::from_millis(length as u64);
    let mut turns: Vec<Vec<Turn>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for place in 0..all.len() {
            let index = (round + place) % all.len();
            let turn = turn(&all[index], tasks, length, redis).await;
            // The first round is to warm up.
            if round > 0 {
                turns[index].push(turn);
            }
        }
    }
    println!("\n{tasks} tasks at once, {rounds} rounds of {length:?}:\n");
    println!(
        "| | a second | µs of CPU | µs of Redis | beside | a second (10..90 %) | CPU (10..90 %) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (peer, own) in all.iter().zip(&turns) {
        let middle = |of: fn(&Turn) -> f64| median(&own.iter().map(of).collect::<Vec<_>>());
        let beside = all.iter().position(|other| other.name() == peer.beside());
        let against = |of: fn(&Turn) -> f64| {
            let Some(beside) = beside else { return "-".to_owned() };
            let each = own.iter().zip(&turns[beside]).map(|(own, its)| of(own) / of(its));
            let each: Vec<f64> = each.collect();
            let part = |part| quantile(&each, part);
            format!("{:.2} ({:.2}..{:.2})", part(0.5), part(0.1), part(0.9))
        };
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {} | {} | {} |",
            peer.name(),
            middle(|turn| turn.rate),
            middle(|turn| turn.cost),
            middle(|turn| turn.redis),
            peer.beside(),
            against(|turn| turn.rate),
            against(|turn| turn.cost),
        );
    }
}

/// So many tasks do it as often as they can.
async fn turn<W: Work>(
    work: &Arc<W>,
    tasks: usize,
    length: Duration,
    redis: Option<&Process>,
) -> Turn {
    let keys = argument("--keys", 1000);
    let of_redis = || redis.map_or(0.0, Process::ticks);
    let (redis_before, begun, before) = (of_redis(), Instant::now(), process_nanos());
    let end = begun + length;
    let doing = |task: usize| {
        let work = Arc::clone(work);
        async move {
            let (mut times, mut at) = (0, task as u64);
            while Instant::now() < end {
                for _ in 0..16 {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
                    work.once((at >> 33) as usize % keys).await;
                    times += 1;
                }
                // What is in memory waits for nobody.
                tokio::task::yield_now().await;
            }
            times
        }
    };
    let tasks: JoinSet<usize> = (0..tasks).map(doing).collect();
    let times = tasks.join_all().await.iter().sum::<usize>() as f64;
    let micros = (process_nanos() - before) / 1000.0;
    Turn {
        rate: times / begun.elapsed().as_secs_f64(),
        cost: micros / times,
        redis: (of_redis() - redis_before) * TICK_MICROS / times,
    }
}

/// Nanoseconds that this process has worked, in all its threads.
fn process_nanos() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
