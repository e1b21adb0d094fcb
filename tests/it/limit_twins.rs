//! The arithmetic in Rust and its twin in Lua say the same about everything: random histories are
//! told to both, the one in this process and the other on a real server whose clock is set by hand.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tower_keep_core::{
    TenantId,
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
    time::{Clock, UnixMillis},
};
use tower_keep_rate_limit::{Algorithm, Limit, LimitStore as _, MemoryStore, Settlement, Standing};
use tower_keep_tests::{Flavor, Server, Value};

const BEGIN: i64 = 1_700_000_000_000;
const YEAR: u64 = 31_536_000_000;
const RULES: [&str; 3] = ["a", "b", "c"];

macro_rules! script {
    ($file:literal) => {
        concat!(
            include_str!("../../crates/tower-keep-rate-limit/src/algorithm/fixed_window.lua"),
            include_str!("../../crates/tower-keep-rate-limit/src/algorithm/sliding_window.lua"),
            include_str!("../../crates/tower-keep-rate-limit/src/algorithm/gcra.lua"),
            include_str!("../../crates/tower-keep-rate-limit/src/algorithm/kinds.lua"),
            include_str!($file)
        )
    };
}

const CHECK: &str = script!("../../crates/tower-keep-rate-limit/src/redis.lua");
const SETTLE: &str = script!("../../crates/tower-keep-rate-limit/src/settle.lua");

/// What happens to some counters, one thing after another.
#[derive(Clone, Debug)]
struct History {
    algorithms: Vec<Algorithm>,
    windows: Vec<u64>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    /// So many milliseconds pass.
    passes: i64,
    quota: u64,
    burst: u64,
    cost: u64,
    shadow: bool,
    /// Settles so much of the last check, instead of checking.
    settles: Option<i64>,
}

/// Everything there is to a limit, in the order of the script.
fn arguments(limit: &Limit<'_>) -> Vec<String> {
    let kind = match limit.algorithm {
        Algorithm::FixedWindow => "f",
        Algorithm::SlidingWindow => "s",
        Algorithm::Gcra => "g",
    };
    let kind = if limit.shadow { kind.to_uppercase() } else { kind.to_owned() };
    let (quota, window) = match limit.algorithm {
        Algorithm::Gcra if limit.quota == 0 => (0, limit.window_ms * 1000),
        Algorithm::Gcra => (limit.burst, (limit.window_ms * 1000).div_ceil(limit.quota).max(1)),
        _ => (limit.quota, limit.window_ms),
    };
    vec![kind, quota.to_string(), window.to_string(), limit.life_ms.to_string()]
}

fn standing(numbers: &[i64]) -> Standing {
    let [remaining, resets_in_ms] = [numbers[0], numbers[1]].map(|it| u64::try_from(it).unwrap());
    let wait_ms = u64::try_from(numbers[2]).unwrap_or(u64::MAX);
    Standing { remaining, resets_in_ms, wait_ms }
}

/// A server with the scripts, by a clock of the test's own.
struct Twin {
    server: Server,
    check: String,
    settle: String,
}

impl Twin {
    async fn start(flavor: Flavor) -> Self {
        let server = Server::start(flavor).await;
        let load = async |source: &str| {
            let by_hand =
                source.replace("redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)");
            assert_ne!(by_hand, source);
            let sha = server.command(&["SCRIPT", "LOAD", by_hand.as_str()]).await.unwrap();
            sha.ok().unwrap().text()
        };
        let (check, settle) = (load(CHECK).await, load(SETTLE).await);
        Self { server, check, settle }
    }

    async fn command(&self, args: &[String]) -> Value {
        self.server.command(args).await.unwrap().ok().unwrap()
    }

    async fn set_clock(&self, millis: u64) {
        let (seconds, micros) = (millis / 1000, millis % 1000 * 1000);
        let text = format!("DEL clock|RPUSH clock {seconds} {micros}");
        for command in text.split('|') {
            self.command(&command.split(' ').map(str::to_owned).collect::<Vec<_>>()).await;
        }
    }

    async fn run(&self, sha: &str, keys: Vec<String>, arguments: Vec<String>) -> Value {
        let count = keys.len().to_string();
        let head = ["EVALSHA".to_owned(), sha.to_owned(), count];
        let all: Vec<String> = head.into_iter().chain(keys).chain(arguments).collect();
        self.command(&all).await
    }

    /// Lives through a history beside the store in memory.
    async fn lives_through(&self, name: &str, history: &History) {
        let tenant = TenantId::new(name).unwrap();
        let key = |rule| CounterKey {
            tenant: &tenant,
            user: UserPart::All,
            endpoint: EndpointPart::All,
            rule: Some(rule),
            part: CustomPart::Unused,
        };
        let mut now = BEGIN;
        let clock = Clock::manual(UnixMillis(now.unsigned_abs()));
        let memory = MemoryStore::new().with_clock(clock.clone());
        let mut counted: Vec<u64> = vec![0; history.algorithms.len()];
        for (turn, step) in history.steps.iter().enumerate() {
            now += step.passes;
            clock.set(UnixMillis(now.unsigned_abs()));
            self.set_clock(now.unsigned_abs()).await;
            let limits: Vec<Limit<'_>> = history
                .algorithms
                .iter()
                .zip(&history.windows)
                .zip(RULES)
                .enumerate()
                .map(|(index, ((algorithm, window), rule))| Limit {
                    algorithm: *algorithm,
                    // Limits of one check differ.
                    quota: step.quota + index as u64 * step.quota.min(3),
                    burst: step.burst,
                    cost: step.cost,
                    shadow: step.shadow && index > 0,
                    life_ms: 4 * YEAR,
                    ..Limit::new(key(rule), 0, *window)
                })
                .collect();
            let keys: Vec<_> = limits.iter().map(|limit| limit.key.spell(false)).collect();
            if let Some(difference) = step.settles {
                let settle = |(limit, window): (&Limit<'_>, &u64)| {
                    let mut all = arguments(&Limit { shadow: false, ..*limit });
                    all.extend([difference.to_string(), window.to_string()]);
                    all
                };
                let all = limits.iter().zip(&counted).flat_map(settle).collect();
                self.run(&self.settle, keys, all).await;
                let settlements = limits.iter().zip(&counted);
                let all: Vec<_> = settlements
                    .map(|(limit, window)| Settlement {
                        limit: *limit,
                        difference,
                        window: *window,
                    })
                    .collect();
                memory.settle(&all).await.unwrap();
                continue;
            }
            let check = |limit: &Limit<'_>| {
                let mut all = arguments(limit);
                all.push(limit.cost.to_string());
                all
            };
            let reply = self.run(&self.check, keys, limits.iter().flat_map(check).collect()).await;
            let numbers: Vec<i64> = reply.array().iter().map(Value::int).collect();
            let theirs: Vec<_> = numbers[2..].chunks(3).map(standing).collect();
            let ours = memory.check(&limits, &[]).await.unwrap();
            let told = format!("{name}, step {turn} of {history:#?}");
            assert_eq!(ours.limits.as_slice(), theirs, "{told}");
            assert_eq!(ours.allowed, numbers[0] == 1, "{told}");
            assert_eq!(ours.at_ms, u64::try_from(numbers[1]).unwrap(), "{told}");
            if ours.allowed {
                counted = limits
                    .iter()
                    .zip(&ours.limits)
                    .map(|(limit, standing)| Settlement::window(limit, standing, ours.at_ms))
                    .collect();
            }
        }
    }
}

fn steps(passes: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Step>> {
    let number = || {
        prop_oneof![
            Just(0_u64),
            1..8_u64,
            1..2000_u64,
            Just(999_999_999_u64),
            Just(1_000_000_000_u64),
        ]
    };
    let settles = prop_oneof![
        8 => Just(None),
        1 => (-5_i64..6).prop_map(Some),
        1 => prop_oneof![Just(i64::from(i32::MAX)), Just(-i64::from(i32::MAX))].prop_map(Some),
    ];
    // Mostly the same limit, so that it is reached.
    let quota = prop_oneof![6 => Just(4_u64), 2 => 1..9_u64, 1 => number()];
    let cost = prop_oneof![8 => Just(1_u64), 4 => 1..4_u64, 1 => number()];
    let step = (
        passes,
        quota,
        prop_oneof![3 => Just(5_u64), 1 => 1..2000_u64],
        cost,
        any::<bool>(),
        settles,
    )
        .prop_map(|(passes, quota, burst, cost, shadow, settles)| Step {
            passes,
            quota,
            burst,
            cost,
            shadow,
            settles,
        });
    prop::collection::vec(step, 2..40)
}

fn history(
    counters: impl Strategy<Value = usize>,
    passes: impl Strategy<Value = i64> + Clone,
) -> impl Strategy<Value = History> {
    let algorithm = prop_oneof![
        Just(Algorithm::FixedWindow),
        Just(Algorithm::SlidingWindow),
        Just(Algorithm::Gcra)
    ];
    let window =
        prop_oneof![Just(1_u64), 2..60_u64, Just(1000_u64), Just(900_000_u64), Just(YEAR),];
    (counters, prop::collection::vec((algorithm, window), 3), steps(passes)).prop_map(
        |(counters, kinds, steps)| {
            let (algorithms, windows) = kinds.into_iter().take(counters).unzip();
            History { algorithms, windows, steps }
        },
    )
}

#[tokio::test]
async fn rust_and_lua_agree_about_every_history() {
    const HISTORIES: usize = 150;
    let forward = prop_oneof![
        3 => Just(0_i64),
        6 => 1..20_i64,
        3 => 20..1500_i64,
        1 => Just(900_000_i64),
        1 => Just(i64::try_from(YEAR).unwrap()),
    ];
    // One counter alone: beside others, memory may have swept it before the clock goes back.
    let any_way = prop_oneof![8 => forward.clone(), 1 => -2000..0_i64, 1 => Just(-900_000_i64)];
    let together = history(1..4_usize, forward.boxed());
    let alone = history(Just(1), any_way.boxed());
    for flavor in Flavor::ALL {
        let twin = Twin::start(flavor).await;
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        for turn in 0..HISTORIES {
            let told = together.new_tree(&mut runner).unwrap().current();
            twin.lives_through(&format!("together-{turn}"), &told).await;
            let told = alone.new_tree(&mut runner).unwrap().current();
            twin.lives_through(&format!("alone-{turn}"), &told).await;
        }
    }
}
