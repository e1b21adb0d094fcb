//! A long run with random faults: 300 requests a second in a process of their own, whose server
//! and whose link to it are broken again and again.
//!
//! It takes 20 seconds; `SOAK_SECONDS=600` makes it a long one. Prints what it saw
//! (`--no-capture` shows it).

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
use tower_keep_tests::{Cut, Flavor, Proxy, Server};

const PER_SECOND: u64 = 300;
/// The time before the first fault and after the last.
const CALM: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Stop,
    ClientKill,
    ScriptFlush,
    Cut,
    HalfOpen,
    Slow,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Kill,
        Self::Stop,
        Self::ClientKill,
        Self::ScriptFlush,
        Self::Cut,
        Self::HalfOpen,
        Self::Slow,
    ];
}

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

    fn counted(&self) -> u64 {
        self.told.lock().unwrap().counted
    }
}

async fn strike(fault: Fault, server: &mut Server, proxy: &Proxy, lasting: Duration) {
    match fault {
        Fault::Kill => {
            server.kill();
            sleep(lasting).await;
            server.restart().await;
        }
        Fault::Stop => {
            server.pause();
            sleep(lasting).await;
            server.resume();
        }
        Fault::ClientKill => {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
        }
        Fault::ScriptFlush => {
            server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        }
        Fault::Cut => {
            proxy.refuse();
            proxy.cut(Cut::Reset);
            sleep(lasting).await;
            proxy.heal();
        }
        Fault::HalfOpen => {
            proxy.half_open();
            sleep(lasting).await;
            proxy.heal();
        }
        Fault::Slow => {
            let slow = Duration::from_millis(60);
            proxy.delay(slow, slow);
            sleep(lasting).await;
            proxy.heal();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_for_a_while() {
    #[expect(clippy::disallowed_methods, reason = "how long this test runs")]
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(20));
    let mut server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let load = Load::start(&proxy.url(), time + 10 * CALM);
    sleep(CALM).await;
    let (tasks_before, begun) = (load.tasks(), Instant::now());

    let mut dice = Dice(20_261_122);
    let mut struck = [0_u32; Fault::ALL.len()];
    let mut memory = Vec::new();
    while begun.elapsed() < time {
        let fault = usize::try_from(dice.throw(7)).unwrap();
        struck[fault] += 1;
        let lasting = dice.millis(100, 2_000);
        strike(Fault::ALL[fault], &mut server, &proxy, lasting).await;
        sleep(dice.millis(200, 2_000)).await;
        memory.push(load.memory());
    }
    sleep(CALM).await;
    let counted = load.counted();
    sleep(CALM).await;
    let (tasks_after, counted) = (load.tasks(), load.counted() - counted);

    let struck: Vec<_> = Fault::ALL.iter().zip(struck).collect();
    let early = memory[memory.len() / 4];
    let late = memory[memory.len() - 1];
    let told = load.told.lock().unwrap();
    println!(
        "soak of {:?}: {} answers, wrong {}, slowest {} ms; faults {struck:?}; resident memory \
         {early} KiB after a quarter of the time, {late} KiB at the end; tasks {tasks_before} before, \
         {tasks_after} after",
        begun.elapsed(),
        told.answered,
        told.wrong,
        told.slowest_ms,
    );
    assert_eq!(told.wrong, 0, "wrong answers");
    assert!(told.answered > time.as_secs() * PER_SECOND / 2, "the load fell asleep");
    assert!(counted > 0, "not counted by the server after the last fault");
    assert!(late < early + 8 * 1024, "memory grows");
    // Requests under way are tasks too.
    assert!(tasks_after <= tasks_before + 8, "tasks leak");
}
