//! A long run with random faults: 300 requests a second, and a bus, in a process of their own,
//! whose servers and whose links to them are broken again and again.
//!
//! It takes 20 seconds on one Redis; `SOAK_SECONDS=600` makes it a long one, and
//! `SOAK_STAGE=valkey`, `cluster`, `valkey-cluster`, `sentinel` or `valkey-sentinel` has it
//! elsewhere. Prints what it saw (`--no-capture` shows it).

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::sleep,
};
use tower_keep_tests::Flavor;

use crate::guard::stage::{Fault, Place, Site, Stage};

const PER_SECOND: u64 = 300;
/// The time before the first fault and after the last.
const CALM: Duration = Duration::from_secs(3);

/// Sentinels that take a link that fails for longer for a primary that does.
const PATIENCE: Duration = Duration::from_secs(2);
const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Stop,
    Fault::ClientKill,
    Fault::ScriptFlush,
    Fault::CutLink,
    Fault::HalfOpen,
    Fault::Vanish,
    Fault::Wedge,
    Fault::Slow,
];

/// A generator of chances: the same ones in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
        (self.0 >> 33) % below
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.throw(to - from))
    }
}

/// What the load has told so far.
#[derive(Debug, Default)]
struct Told {
    answered: u64,
    wrong: u64,
    counted: u64,
    slowest_ms: u64,
    /// Messages of the bus, and gaps that were told, and messages missed without.
    heard: u64,
    gaps: u64,
    untold: u64,
    /// Tasks alive, at each telling.
    tasks: Vec<u64>,
}

struct Load {
    child: Child,
    told: Arc<Mutex<Told>>,
}

impl Load {
    fn start(url: &str, time: Duration) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_limit-load"))
            .args([url, &time.as_secs().to_string(), &PER_SECOND.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told: Arc<Mutex<Told>> = Arc::default();
        let heard = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line: Value = serde_json::from_str(&line).unwrap();
                let number = |name| line[name].as_u64().unwrap();
                let mut told = heard.lock().unwrap();
                told.answered += number("answered");
                told.wrong += number("wrong");
                told.counted += number("counted");
                told.slowest_ms = told.slowest_ms.max(number("slowest_ms"));
                told.heard += number("heard");
                told.gaps += number("gaps");
                told.untold += number("untold");
                told.tasks.push(number("tasks"));
            }
        });
        Self { child, told }
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The fewest tasks that were alive in the last second.
    fn tasks(&self) -> u64 {
        let told = self.told.lock().unwrap();
        told.tasks.iter().rev().take(20).copied().min().unwrap_or_default()
    }

    /// Requests that the server has counted, and messages that were heard.
    fn served(&self) -> [u64; 2] {
        let told = self.told.lock().unwrap();
        [told.counted, told.heard]
    }
}

/// Where to soak, and for how long.
#[expect(clippy::disallowed_methods, reason = "the test's own switches, not the product's")]
fn wanted() -> (Site, Duration) {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let name = std::env::var("SOAK_STAGE").unwrap_or_else(|_| "redis".to_owned());
    let flavor = if name.starts_with("valkey") { Flavor::Valkey } else { Flavor::Redis };
    let place = match name.trim_start_matches("valkey-") {
        "redis" | "valkey" => Place::Single,
        "cluster" => Place::Cluster,
        "sentinel" => Place::Sentinel,
        _ => panic!("SOAK_STAGE={name} is no stage"),
    };
    (Site { place, flavor }, Duration::from_secs(seconds.unwrap_or(20)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_for_a_while() {
    let (site, time) = wanted();
    let mut stage = Stage::set(site, PATIENCE, &[]).await;
    // The last fault may take as long as a failover does.
    let load = Load::start(&stage.url(), time + 100 * CALM);
    sleep(CALM).await;
    let (tasks_before, begun) = (load.tasks(), Instant::now());

    let mut dice = Dice(20_261_122);
    let mut struck = [0_u32; FAULTS.len()];
    let mut memory = Vec::new();
    while begun.elapsed() < time {
        let index = usize::try_from(dice.throw(9)).unwrap();
        struck[index] += 1;
        let (fault, lasting) = (FAULTS[index], dice.millis(100, 2_000));
        stage.harm(fault).await;
        sleep(lasting).await;
        stage.heal(fault).await;
        stage.settle(usize::try_from(dice.throw(3)).unwrap()).await;
        sleep(dice.millis(200, 2_000)).await;
        memory.push(load.memory());
    }
    // Sentinels have noticed the last fault by now, and may have begun a failover because of it.
    sleep(CALM).await;
    stage.settle(0).await;
    let before = load.served();
    sleep(CALM).await;
    let (tasks_after, after) = (load.tasks(), load.served());

    let struck: Vec<_> = FAULTS.iter().zip(struck).collect();
    let quarters = [1, 2, 3, 4].map(|quarter| memory[(memory.len() * quarter / 4).max(1) - 1]);
    let [early, _, _, late] = quarters;
    let told = load.told.lock().unwrap();
    println!(
        "soak of {:?} on {site:?}: {} answers, wrong {}, slowest {} ms; {} messages heard, {} gaps \
         told, {} missed without; faults {struck:?}; resident memory {quarters:?} KiB after each \
         quarter of the time; tasks {tasks_before} before, {tasks_after} after",
        begun.elapsed(),
        told.answered,
        told.wrong,
        told.slowest_ms,
        told.heard,
        told.gaps,
        told.untold,
    );
    assert_eq!(told.wrong, 0, "wrong answers");
    assert!(told.answered > begun.elapsed().as_secs() * PER_SECOND / 3, "the load fell asleep");
    assert_eq!(told.untold, 0, "messages were missed and nobody was told");
    assert!(after[0] > before[0], "not counted by the server after the last fault");
    assert!(after[1] > before[1], "the bus is dumb after the last fault");
    assert!(late < early + 8 * 1024, "memory grows");
    // Requests under way are tasks too.
    assert!(tasks_after <= tasks_before + 8, "tasks leak");
}
