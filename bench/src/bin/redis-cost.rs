//! What a check costs the Redis server, beside a plain GET: microseconds of its process's time,
//! reading and answering included, and of those what it counts as the command's own.
//!
//! Checks are asked for one after another, and then 16 at once, which then share commands. Cases
//! take turns; medians over the rounds. `--checks N`, `--rounds N`.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use fred::{
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{ClusterHash, CustomCommand},
};
use tokio::task::JoinSet;
use tower_keep_bench::{TICK_MICROS, argument, median, ticks};
use tower_keep_core::{
    TenantId, UserId,
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
};
use tower_keep_rate_limit::{Algorithm, Limit, LimitStore as _, RedisStore};
use tower_keep_redis::{Connection, RedisConfig};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const KINDS: [(&str, Algorithm); 3] = [
    ("fixed window", Algorithm::FixedWindow),
    ("sliding window", Algorithm::SlidingWindow),
    ("GCRA", Algorithm::Gcra),
];

#[tokio::main]
async fn main() {
    let (checks, rounds) = (argument("--checks", 8000), argument("--rounds", 3));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut redis = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server");
    tokio::time::sleep(Duration::from_millis(300)).await;
    measure(port, redis.id(), checks, rounds).await;
    redis.kill().unwrap();
    redis.wait().unwrap();
}

/// One case: its name, and its costs in each round.
#[derive(Default)]
struct Case {
    name: String,
    all: Vec<f64>,
    own: Vec<f64>,
}

async fn measure(port: u16, pid: u32, checks: usize, rounds: usize) {
    let connection = Connection::connect(RedisConfig::new("127.0.0.1", port)).unwrap();
    connection.require().await.unwrap();
    let store = RedisStore::new(connection.clone());
    let client = connection.client();
    let mut cases: Vec<Case> = Vec::new();
    for round in 0..rounds {
        let mut nth = 0;
        let mut note = |name: String, cost: (f64, f64)| {
            if round == 0 {
                cases.push(Case { name, ..Case::default() });
            }
            cases[nth].all.push(cost.0);
            cases[nth].own.push(cost.1);
            nth += 1;
        };
        for at_once in [1, 16] {
            let before = begin(&client, pid).await;
            for _ in 0..checks / at_once {
                let gets = (0..at_once).map(|_| {
                    let client = client.clone();
                    async move { client.get::<Option<String>, _>("plain").await.unwrap() }
                });
                gets.collect::<JoinSet<_>>().join_all().await;
            }
            let cost = end(&client, pid, before, "get", checks).await;
            note(format!("plain GET, {at_once} at once"), cost);
            for (name, algorithm) in KINDS {
                for count in [1, 3, 8] {
                    check(&store, algorithm, count, 1).await;
                    let before = begin(&client, pid).await;
                    for _ in 0..checks / at_once {
                        check(&store, algorithm, count, at_once).await;
                    }
                    let cost = end(&client, pid, before, "evalsha", checks).await;
                    note(format!("{name}, {count} limits, {at_once} at once"), cost);
                }
            }
        }
    }
    println!("\nµs of the server's time per check, {rounds} rounds of {checks} checks each:\n");
    println!("| case | all | beside a GET | the command's own |\n|---|---|---|---|");
    let mut get = f64::NAN;
    for case in &cases {
        let all = median(&case.all);
        if case.name.starts_with("plain") {
            get = all;
        }
        let own = median(&case.own);
        println!("| {} | {all:.1} | {:.1} | {own:.1} |", case.name, all / get);
    }
}

/// So many checks at once, each by another caller.
async fn check(store: &RedisStore, algorithm: Algorithm, count: usize, at_once: usize) {
    let tenant = TenantId::new("acme").unwrap();
    let mut asked = JoinSet::new();
    for caller in 0..at_once {
        let user = UserId::new(format!("{caller}")).unwrap();
        let limit = |rule| {
            let (user, endpoint) = (UserPart::User(&user), EndpointPart::Route("/items/{id}"));
            let (rule, part) = (Some(rule), CustomPart::Unused);
            let key = CounterKey { tenant: &tenant, user, endpoint, rule, part };
            Limit { algorithm, ..Limit::new(key, 1_000_000_000, 60_000) }
        };
        let limits: Vec<Limit<'_>> = NAMES.into_iter().take(count).map(limit).collect();
        // As the layer does, for the user and for the whole tenant.
        let blocks = [
            BlockKey { tenant: &tenant, user: UserPart::All },
            BlockKey { tenant: &tenant, user: UserPart::User(&user) },
        ];
        asked.spawn(store.check(&limits, &blocks));
    }
    for verdict in asked.join_all().await {
        assert!(verdict.unwrap().allowed);
    }
}

fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

async fn begin(client: &fred::clients::Client, pid: u32) -> f64 {
    let _: String = client.custom(command("CONFIG"), vec!["RESETSTAT"]).await.unwrap();
    ticks(pid)
}

/// The server's microseconds per check since it began: of its process, and those that it counts as
/// the command's.
async fn end(
    client: &fred::clients::Client,
    pid: u32,
    before: f64,
    name: &str,
    checks: usize,
) -> (f64, f64) {
    let all = (ticks(pid) - before) * TICK_MICROS / checks as f64;
    let stats: String = client.custom(command("INFO"), vec!["commandstats"]).await.unwrap();
    let start = format!("cmdstat_{name}:");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start)).expect("was called");
    let value = line.split(',').find_map(|field| field.strip_prefix("usec="));
    let own: f64 = value.expect("is told").parse().expect("a number");
    (all, own / checks as f64)
}
