//! The guarded connection on real servers: what it does while they die, hang and come back.

mod access;
mod cluster;
mod faults;
mod handles;
mod load;

use std::time::Duration;

use tower_keep_redis::{Connection, ConnectionState, ErrorClass, RedisConfig, Script, StoreError};
use tower_keep_tests::{Flavor, Server};

static INCR: Script = Script::new("return redis.call('INCR', KEYS[1])");

/// Generous: a slow machine must not be taken for a slow server.
const PATIENT: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_millis(100);

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

async fn count(server: &Server, key: &str) -> i64 {
    let value = server.command(&["GET", key]).await.unwrap();
    if value.is_nil() { 0 } else { value.text().parse().unwrap() }
}

fn class(outcome: &Result<i64, StoreError>) -> Option<ErrorClass> {
    outcome.as_ref().err().map(StoreError::class)
}

fn is_up(connection: &Connection) -> impl Future<Output = bool> + use<> {
    let up = connection.is_available();
    async move { up }
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
        assert_eq!(monitor.count().await, 2, "one command each, and none by itself");
    }
}
