//! The arithmetic in Rust and its twin in Lua say the same about everything: random histories are
//! told to both, the one in this process and the other on a real server whose clock is set by hand.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tower_keep_core::{
    TenantId, UserId,
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
    time::{Clock, UnixMillis},
};
use tower_keep_rate_limit::{
    Algorithm, Limit, LimitStore as _, MemoryStore, Settlement, Standing, Verdict,
};
use tower_keep_tests::{Flavor, Server, Value};

const BEGIN: i64 = 1_700_000_000_000;
const YEAR: u64 = 31_536_000_000;
const RULES: [&str; 3] = ["a", "b", "c"];

macro_rules! script {
    ($file:literal) => {
        concat!(
            include_str!("../../crates/tower-keep-rate-limit/src/algorithm/common.lua"),
            "\n",
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
    /// For how long counters are kept at least.
    life: u64,
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

impl History {
    /// The same, where each counter is another algorithm's.
    fn by_other_algorithms(&self) -> Self {
        let other = |algorithm: &Algorithm| match algorithm {
            Algorithm::FixedWindow => Algorithm::SlidingWindow,
            Algorithm::SlidingWindow => Algorithm::Gcra,
            Algorithm::Gcra => Algorithm::FixedWindow,
        };
        Self { algorithms: self.algorithms.iter().map(other).collect(), ..self.clone() }
    }

    /// What is checked in this step.
    fn limits<'a>(&self, tenant: &'a TenantId, step: &Step) -> Vec<Limit<'a>> {
        let key = |rule| CounterKey {
            tenant,
            user: UserPart::All,
            endpoint: EndpointPart::All,
            rule: Some(rule),
            part: CustomPart::Unused,
        };
        let counters = self.algorithms.iter().zip(&self.windows).zip(RULES).enumerate();
        counters
            .map(|(index, ((algorithm, window), rule))| Limit {
                algorithm: *algorithm,
                // Limits of one check differ.
                quota: step.quota + index as u64 * step.quota.min(3),
                burst: step.burst,
                cost: step.cost,
                shadow: step.shadow && index > 0,
                // A window is kept as long as it counts, at the least.
                life_ms: if *algorithm == Algorithm::Gcra { self.life } else { 4 * YEAR },
                ..Limit::new(key(rule), 0, *window)
            })
            .collect()
    }
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

/// One check, as the script takes it.
fn packed(limits: &[Limit<'_>], blocks: usize) -> Vec<u8> {
    let mut all = [limits.len(), blocks].map(|count| u8::try_from(count).unwrap()).to_vec();
    for limit in limits {
        let [kind, numbers @ ..] = &arguments(limit)[..] else { panic!("no kind") };
        all.extend(kind.bytes());
        for number in numbers.iter().chain([&limit.cost.to_string()]) {
            all.extend(number.parse::<f64>().unwrap().to_be_bytes());
        }
    }
    all
}

#[track_caller]
fn agree(ours: &Verdict, theirs: &[i64], told: &str) {
    let standings: Vec<_> = theirs[2..].chunks(3).map(standing).collect();
    assert_eq!(ours.limits.as_slice(), standings, "{told}");
    assert_eq!(ours.allowed, theirs[0] == 1, "{told}");
    assert_eq!(ours.blocked_ms, (-theirs[0]).max(0).unsigned_abs(), "{told}");
    assert_eq!(ours.at_ms, u64::try_from(theirs[1]).unwrap(), "{told}");
}

#[expect(clippy::cast_possible_truncation, reason = "it is whole")]
fn whole(number: f64) -> i64 {
    assert!(number.fract() == 0.0, "{number}");
    number as i64
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

    async fn run(&self, sha: &str, keys: Vec<String>, arguments: Vec<Vec<u8>>) -> Value {
        let count = keys.len().to_string();
        let head = ["EVALSHA".to_owned(), sha.to_owned(), count];
        let all = head.into_iter().chain(keys).map(String::into_bytes).chain(arguments);
        self.server.command(&all.collect::<Vec<_>>()).await.unwrap().ok().unwrap()
    }

    /// What is said of these checks, whose keys stand one behind the other.
    async fn check(&self, keys: Vec<String>, checks: Vec<Vec<u8>>) -> Vec<i64> {
        let Value::Bulk(Some(reply)) = self.run(&self.check, keys, checks).await else {
            panic!("no bulk reply")
        };
        let number = |bytes: &[u8]| f64::from_be_bytes(bytes.try_into().unwrap());
        reply.chunks(8).map(|bytes| whole(number(bytes))).collect()
    }

    /// Lives through a history beside the store in memory.
    async fn lives_through(&self, name: &str, history: &History) {
        let tenant = TenantId::new(name).unwrap();
        let mut now = BEGIN;
        let clock = Clock::manual(UnixMillis(now.unsigned_abs()));
        let memory = MemoryStore::new().with_clock(clock.clone());
        let mut counted: Vec<u64> = vec![0; history.algorithms.len()];
        for (turn, step) in history.steps.iter().enumerate() {
            now += step.passes;
            clock.set(UnixMillis(now.unsigned_abs()));
            self.set_clock(now.unsigned_abs()).await;
            let limits = history.limits(&tenant, step);
            let keys: Vec<_> = limits.iter().map(|limit| limit.key.spell(false)).collect();
            if let Some(difference) = step.settles {
                let settle = |(limit, window): (&Limit<'_>, &u64)| {
                    let mut all = arguments(&Limit { shadow: false, ..*limit });
                    all.extend([difference.to_string(), window.to_string()]);
                    all
                };
                let all = limits.iter().zip(&counted).flat_map(settle);
                let all = all.map(String::into_bytes).collect();
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
            let numbers = self.check(keys, vec![packed(&limits, 0)]).await;
            let ours = memory.check(&limits, &[]).await.unwrap();
            agree(&ours, &numbers, &format!("{name}, step {turn} of {history:#?}"));
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

impl Twin {
    /// Blocks a caller as the store does, but that nothing ends its key by the server's own clock.
    async fn block(&self, key: BlockKey<'_>, end: u64) {
        let command = ["SET".to_owned(), key.spell(false), end.to_string()];
        self.command(&command).await;
    }

    /// Lives through a history, so many steps at a time, beside the store in memory, which is
    /// asked one after the other. Now and then the same counters are asked by other algorithms. Now and then somebody is blocked before them; but not where one
    /// counter is `alone`, whose clock may go back. Tells how many checks found somebody blocked.
    async fn jumps_through(
        &self,
        name: &str,
        history: &History,
        together: usize,
        alone: bool,
    ) -> usize {
        let otherwise = history.by_other_algorithms();
        let (user, mut blocked) = (UserId::new("42").unwrap(), 0);
        let tenants = ["-a", "-b"].map(|end| TenantId::new(format!("{name}{end}")).unwrap());
        let mut now = BEGIN;
        let clock = Clock::manual(UnixMillis(now.unsigned_abs()));
        let memory = MemoryStore::new().with_clock(clock.clone());
        for steps in history.steps.chunks(together) {
            now += steps[0].passes;
            clock.set(UnixMillis(now.unsigned_abs()));
            self.set_clock(now.unsigned_abs()).await;
            let Step { shadow, quota, burst, cost, .. } = steps[0];
            if shadow && !alone {
                // The one or the other tenant, or one user of it.
                let [which, whom] = [cost, quota].map(|number| usize::from(number % 2 == 0));
                let key = blocks_of(&tenants[which], &user)[whom];
                self.block(key, now.unsigned_abs() + burst).await;
                memory.block(key, burst).await.unwrap();
            }
            let (mut keys, mut checks, mut ours) = (Vec::new(), Vec::new(), Vec::new());
            for (turn, step) in steps.iter().enumerate() {
                // Mostly the same counters; now and then those of somebody else in between.
                let tenant = &tenants[usize::from(turn % 3 == 2 && !alone)];
                let limits = if turn % 5 == 3 { &otherwise } else { history }.limits(tenant, step);
                let blocks = blocks_of(tenant, &user);
                let blocks = &blocks[..turn % 4 % 3];
                keys.extend(limits.iter().map(|limit| limit.key.spell(false)));
                keys.extend(blocks.iter().map(|block| block.spell(false)));
                checks.push(packed(&limits, blocks.len()));
                ours.push(memory.check(&limits, blocks).await.unwrap());
            }
            blocked += ours.iter().filter(|verdict| verdict.blocked_ms > 0).count();
            let theirs = self.check(keys, checks).await;
            let each = theirs.chunks(2 + 3 * history.algorithms.len());
            assert_eq!(each.len(), ours.len());
            for (ours, theirs) in ours.iter().zip(each) {
                agree(ours, theirs, &format!("{name}, {together} at a time: {history:#?}"));
            }
        }
        blocked
    }
}

/// What may hold for this user.
fn blocks_of<'a>(tenant: &'a TenantId, user: &'a UserId) -> [BlockKey<'a>; 2] {
    [UserPart::All, UserPart::User(user)].map(|user| BlockKey { tenant, user })
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
    // The server's own clock ends them.
    let life = prop_oneof![Just(4 * YEAR), 600_000..2_000_000_u64];
    (counters, prop::collection::vec((algorithm, window), 3), life, steps(passes)).prop_map(
        |(counters, kinds, life, steps)| {
            let (algorithms, windows) = kinds.into_iter().take(counters).unzip();
            History { algorithms, windows, life, steps }
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

/// The server is told several checks at once, and decides them as one after another.
#[tokio::test]
async fn checks_together_are_decided_as_one_after_another() {
    const HISTORIES: usize = 100;
    let passes = prop_oneof![3 => Just(0_i64), 6 => 1..20_i64, 3 => 20..1500_i64].boxed();
    let any_way = prop_oneof![8 => passes.clone(), 1 => -2000..0_i64, 1 => Just(-900_000_i64)];
    let histories = history(1..4_usize, passes);
    // Beside others, memory may have swept it before the clock goes back.
    let alone = history(Just(1), any_way.boxed());
    for flavor in Flavor::ALL {
        let twin = Twin::start(flavor).await;
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut blocked = 0;
        for turn in 0..HISTORIES {
            let told = histories.new_tree(&mut runner).unwrap().current();
            let name = format!("jump-{turn}");
            blocked += twin.jumps_through(&name, &told, 2 + turn % 7, false).await;
            let told = alone.new_tree(&mut runner).unwrap().current();
            let name = format!("jump-alone-{turn}");
            twin.jumps_through(&name, &told, 2 + turn % 7, true).await;
        }
        assert!(blocked > HISTORIES, "hardly anybody was blocked: {blocked}");
    }
}
