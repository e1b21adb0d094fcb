//! Figure 3: what a command costs in writes to the socket.

use std::time::Instant;

use tokio::time::sleep;
use tower_keep_redis::{Command, Connection, fred::types::Value};
use tower_keep_tests::{Cluster, Flavor, Proxy, Server, prompt_once};

use super::{PATIENT, config, connected, incr, ms};

#[tokio::test]
async fn a_check_on_an_idle_link_is_one_write() {
    const CHECKS: u64 = 500;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let connection = connected(config(&proxy.url()).with_timeout(PATIENT)).await;
        incr(&connection, "warm").await.unwrap();
        sleep(ms(50)).await;
        prompt_once(async || {
            let before = proxy.client_writes();
            for _ in 0..CHECKS {
                incr(&connection, "n").await.unwrap();
            }
            let writes = proxy.client_writes() - before;
            println!("figure 3, {flavor}: {writes} writes for {CHECKS} checks in a row");
            // Now and then it is a probe's.
            assert!((CHECKS..=CHECKS + 2).contains(&writes), "{writes}");
            writes == CHECKS
        })
        .await;

        // fred flushes after each command of the kind that we send, also when several are sent at
        // once: they are no worse off than one after the other.
        let before = proxy.client_writes();
        for _ in 0..CHECKS {
            let (a, b, c) = tokio::join!(
                incr(&connection, "a"),
                incr(&connection, "b"),
                incr(&connection, "c")
            );
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
        }
        let writes = proxy.client_writes() - before;
        println!("figure 3, {flavor}: {writes} writes for {CHECKS} times three checks at once");
        assert!(writes <= CHECKS * 3 + 2, "{writes}");
    }
}

fn command<'a>(name: &'static str, key: &'a str, rest: impl Into<Vec<Value>>) -> Command<'a> {
    let mut args = vec![Value::from(key)];
    args.extend(rest.into());
    Command { name, key: Some(key), args }
}

fn get(key: &str) -> Command<'_> {
    command("GET", key, [])
}

fn hmget(key: &str) -> Command<'_> {
    command("HMGET", key, ["a".into(), "missing".into(), "b".into()])
}

/// An entry of this value, and generations.
async fn fill(connection: &Connection, entry: &str, hash: &str) {
    let set = command("SET", entry, ["value".into(), "PX".into(), 60_000.into()]);
    connection.command(set.name, set.key, set.args).await.unwrap();
    let hset = ["a".into(), 1.into(), "b".into(), 2.into()];
    let hset = command("HSET", hash, hset);
    connection.command(hset.name, hset.key, hset.args).await.unwrap();
}

fn numbers() -> Value {
    Value::Array(vec!["1".into(), Value::Null, "2".into()])
}

/// What is read often goes together: one write, and the link is waited for once.
#[tokio::test]
async fn two_reads_at_once_are_one_write_and_one_round_trip() {
    const TIMES: u64 = 200;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let connection = connected(config(&proxy.url()).with_timeout(PATIENT)).await;
        fill(&connection, "k", "h").await;
        sleep(ms(50)).await;
        let others = |key| {
            [
                command("GETRANGE", key, [0.into(), 9.into()]),
                command("SET", "s", ["v".into(), "PX".into(), 60_000.into()]),
                command(
                    "SET",
                    "s",
                    ["v".into(), "PX".into(), 60_000.into(), "NX".into(), "GET".into()],
                ),
                command("HGET", "h", ["a".into()]),
                command("HGETALL", "h", []),
            ]
        };
        for first in std::iter::once(get("k")).chain(others("k")) {
            prompt_once(async || {
                let before = proxy.client_writes();
                for _ in 0..TIMES {
                    let (entry, numbers) = connection.both(first.clone(), hmget("h")).await;
                    entry.unwrap();
                    assert_eq!(numbers.unwrap(), self::numbers());
                }
                let writes = proxy.client_writes() - before;
                let name = first.name;
                println!("figure 3, {flavor}: {writes} writes for {TIMES} times {name} + HMGET");
                assert!((TIMES..=TIMES + 2).contains(&writes), "{first:?}: {writes}");
                writes == TIMES
            })
            .await;
        }
        proxy.delay(ms(0), ms(40));
        prompt_once(async || {
            let begun = Instant::now();
            let single = get("k");
            connection.command(single.name, single.key, single.args).await.unwrap();
            let link = begun.elapsed();
            let begun = Instant::now();
            let (entry, _) = connection.both(get("k"), hmget("h")).await;
            let both = begun.elapsed();
            assert_eq!(entry.unwrap(), "value".into());
            println!("figure 3, {flavor}: over a link of {link:?} both took {both:?}");
            both < link + ms(40)
        })
        .await;
    }
}

/// Each goes to its own node, and each has its own outcome.
#[tokio::test]
async fn two_reads_of_a_cluster_find_their_nodes() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
        let keys: Vec<String> = (0..12).map(|number| format!("k{number}")).collect();
        let mut owners = [false; 3];
        for key in &keys {
            let hash = format!("h{key}");
            fill(&connection, key, &hash).await;
            owners[cluster.owner_of(key).await.unwrap()] = true;
            let (entry, numbers) = connection.both(get(key), hmget(&hash)).await;
            assert_eq!((entry.unwrap(), numbers.unwrap()), ("value".into(), self::numbers()));
            let (entry, wrong) = connection.both(get(key), get(&hash)).await;
            assert_eq!(entry.unwrap(), "value".into());
            assert!(wrong.unwrap_err().message().starts_with("WRONGTYPE"));
        }
        assert_eq!(owners, [true; 3]);
    }
}
