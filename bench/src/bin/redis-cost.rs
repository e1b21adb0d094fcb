//! What a check costs the Redis server: its own measure of its own time, beside a plain GET.
//!
//! `--checks N`.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use fred::{
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{ClusterHash, CustomCommand},
};
use tower_keep_bench::argument;
use tower_keep_core::{
    TenantId, UserId,
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
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
    let checks = argument("--checks", 5000);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut redis = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server");
    tokio::time::sleep(Duration::from_millis(300)).await;
    measure(port, checks).await;
    redis.kill().unwrap();
    redis.wait().unwrap();
}

async fn measure(port: u16, checks: usize) {
    let connection = Connection::connect(RedisConfig::new("127.0.0.1", port)).unwrap();
    connection.require().await.unwrap();
    let store = RedisStore::new(connection.clone());
    let client = connection.client();
    let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("42").unwrap());
    println!("\nµs of the server's time, {checks} checks each:\n");
    println!("| check | 1 limit | 3 limits | 8 limits |\n|---|---|---|---|");
    reset(&client).await;
    for _ in 0..checks {
        let _: Option<String> = client.get("plain").await.unwrap();
    }
    println!("| plain GET | {:.1} | | |", cost(&client, "get").await);
    for (name, algorithm) in KINDS {
        print!("| {name} |");
        for count in [1, 3, 8] {
            let limit = |rule| {
                let (user, endpoint) = (UserPart::User(&user), EndpointPart::Route("/items/{id}"));
                let (rule, part) = (Some(rule), CustomPart::Unused);
                let key = CounterKey { tenant: &tenant, user, endpoint, rule, part };
                Limit { algorithm, ..Limit::new(key, 1_000_000_000, 60_000) }
            };
            let limits: Vec<Limit<'_>> = NAMES.into_iter().take(count).map(limit).collect();
            // The script is loaded, and what another algorithm has left is replaced.
            assert!(store.check(&limits, &[]).await.unwrap().allowed);
            reset(&client).await;
            for _ in 0..checks {
                assert!(store.check(&limits, &[]).await.unwrap().allowed);
            }
            print!(" {:.1} |", cost(&client, "evalsha").await);
        }
        println!();
    }
}

fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

async fn reset(client: &fred::clients::Client) {
    let _: String = client.custom(command("CONFIG"), vec!["RESETSTAT"]).await.unwrap();
}

/// The server's microseconds per call of a command.
async fn cost(client: &fred::clients::Client, name: &str) -> f64 {
    let stats: String = client.custom(command("INFO"), vec!["commandstats"]).await.unwrap();
    let start = format!("cmdstat_{name}:");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start)).expect("was called");
    let value = line.split(',').find_map(|field| field.strip_prefix("usec_per_call="));
    value.expect("is told").parse().expect("a number")
}
