//! Two containers on one network: a load, and the server that counts for it. The server is taken
//! out of the network for two seconds, runs on meanwhile, and is brought back.
//!
//! Prints what the callers saw (`--no-capture` shows it), and fails on any wrong answer.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;
use tower_keep_tests::{Container, Engine, Flavor, Network, engine, wait_until};

const CUT: Duration = Duration::from_secs(2);
/// After this time in the cut, every request that was under way has been answered.
const SETTLED: Duration = Duration::from_millis(500);
const BEFORE_AND_AFTER: Duration = Duration::from_secs(1);
const STARTED: Duration = Duration::from_secs(20);
const RECOVERED: Duration = Duration::from_secs(20);
/// In seconds; the test ends it sooner.
const LIFE: &str = "120";

/// What the load told of a twentieth of a second.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    answered: u64,
    wrong: u64,
    denied: u64,
    counted: u64,
    slowest: Duration,
}

impl Told {
    fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        let number = |name| line[name].as_u64().unwrap();
        Self {
            at: Instant::now(),
            answered: number("answered"),
            wrong: number("wrong"),
            denied: number("denied"),
            counted: number("counted"),
            slowest: Duration::from_millis(number("slowest_ms")),
        }
    }
}

/// The load in its container.
struct Load {
    container: Container,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Load {
    async fn start(engine: &Engine, network: &Network, url: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_limit-load"));
        let container = engine.program(program, &[url, LIFE], network).await;
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let (mut lines, heard) = (container.lines(), Arc::clone(&told));
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(Told::parse(&line));
            }
        });
        Self { container, told }
    }

    /// When it told first of a request that was counted by the server, from `from` on.
    async fn counted(&self, from: Instant, at_most: Duration) -> Instant {
        let first = || self.between(from, Instant::now()).into_iter().find(|told| told.counted > 0);
        if !wait_until(at_most, || async { first().is_some() }).await {
            let complaints = self.complaints().await;
            panic!("not counted by the server within {at_most:?}; the load says:\n{complaints}");
        }
        first().unwrap().at
    }

    /// The first of them.
    async fn complaints(&self) -> String {
        let errors = self.container.errors().await;
        errors.lines().take(10).collect::<Vec<_>>().join("\n")
    }

    fn between(&self, from: Instant, to: Instant) -> Vec<Told> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|told| (from..to).contains(&told.at)).copied().collect()
    }
}

async fn cut_off(flavor: Flavor) {
    let Some(engine) = engine().await else { return };
    let network = engine.network().await;
    let server = engine.server(flavor).await;
    let link = network.join(&server, "redis").await;
    let begun = Instant::now();
    let load = Load::start(&engine, &network, "redis://redis:6379").await;
    load.counted(begun, STARTED).await;
    sleep(BEFORE_AND_AFTER).await;

    let cut = Instant::now();
    link.cut().await;
    let gone = Instant::now();
    sleep(CUT).await;
    let mending = Instant::now();
    link.mend().await;
    let back = Instant::now();
    let recovered = load.counted(mending, RECOVERED).await;
    sleep(BEFORE_AND_AFTER).await;

    let all = load.between(begun, Instant::now());
    let (silent, outage) = (load.between(gone + SETTLED, mending), load.between(cut, recovered));
    let sum = |told: &[Told], number: fn(&Told) -> u64| told.iter().map(number).sum::<u64>();
    let slowest = |told: &[Told]| told.iter().map(|told| told.slowest).max().unwrap_or_default();
    println!(
        "{flavor} cut off for {:?}: {} requests until it counted again, the slowest took {:?}; \
         wrong answers {}; counted by it again {:?} after its return",
        mending - gone,
        sum(&outage, |told| told.answered),
        slowest(&outage),
        sum(&all, |told| told.wrong),
        recovered.saturating_duration_since(back),
    );
    let complaints = load.complaints().await;
    assert_eq!(sum(&all, |told| told.wrong), 0, "wrong answers; the load says:\n{complaints}");
    assert_eq!(sum(&silent, |told| told.counted), 0, "it was not cut off");
    assert!(sum(&silent, |told| told.answered) > 500, "the load fell asleep: {silent:?}");
    assert!(sum(&all, |told| told.denied) > 100, "the limits were not held");
    // The deadline is 75 ms; the rest is for a machine that has other things to do.
    assert!(slowest(&all) < Duration::from_secs(1), "a request hung");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cut_off_under_load() {
    cut_off(Flavor::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_cut_off_under_load() {
    cut_off(Flavor::Valkey).await;
}
