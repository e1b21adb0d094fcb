//! The guarded connection on real servers: what it does while they die, hang and come back.

mod access;
mod cluster;
mod faults;
mod handles;
mod load;

use std::time::{Duration, Instant};

use tower_keep_redis::{Connection, ConnectionState, ErrorClass, RedisConfig, Script, StoreError};
use tower_keep_tests::{Flavor, Monitor, Server, wait_until};

/// What a connection says for itself, now and then and when it is made.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];

static INCR: Script = Script::new("return redis.call('INCR', KEYS[1])");

/// Generous: a slow machine must not be taken for a slow server.
const PATIENT: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_millis(100);
/// How soon it is known that the server is away, or is back.
const PROMISED: Duration = Duration::from_secs(1);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap().with_timeout(PATIENT)
}

async fn connected(config: RedisConfig) -> Connection {
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    connection
}

async fn incr(connection: &Connection, key: &str) -> Result<i64, StoreError> {
    let answer = connection.run_script(&INCR, vec![key.to_owned()], Vec::new()).await?;
    Ok(answer.as_i64().unwrap())
}

/// Waits until it is answered: a slow machine may be late for a short deadline.
async fn works(connection: &Connection) {
    let works = wait_until(PATIENT, || async { incr(connection, "warm").await.is_ok() });
    assert!(works.await, "{:?}", connection.health());
}

/// How long until it is known that the server is away, or is back.
async fn known(connection: &Connection, available: bool) -> Duration {
    let begun = Instant::now();
    let known = wait_until(PATIENT, || async { connection.is_available() == available });
    assert!(known.await, "{:?}", connection.health());
    begun.elapsed()
}

/// The names of the commands that were sent for callers.
async fn sent(monitor: &mut Monitor) -> Vec<String> {
    let names = monitor.names().await.into_iter();
    names.filter(|name| !BESIDE.contains(&name.as_str())).collect()
}

async fn count(server: &Server, key: &str) -> i64 {
    let value = server.command(&["GET", key]).await.unwrap();
    if value.is_nil() { 0 } else { value.text().parse().unwrap() }
}

fn class(outcome: &Result<i64, StoreError>) -> Option<ErrorClass> {
    outcome.as_ref().err().map(StoreError::class)
}

#[tokio::test]
async fn scripts_and_commands_on_both_servers() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let connection = connected(config(&server.url())).await;
        assert_eq!(connection.state(), ConnectionState::Up);
        assert!(!connection.is_clustered());
        assert_eq!(incr(&connection, "n").await.unwrap(), 1);
        let mut monitor = server.monitor().await;
        assert_eq!(incr(&connection, "n").await.unwrap(), 2);
        let got = connection.command("GET", Some("n"), vec!["n".into()]).await.unwrap();
        assert_eq!(got.as_i64(), Some(2));
        assert_eq!(sent(&mut monitor).await, ["EVALSHA", "GET"], "one command each");
    }
}
