//! The connection under fire: each trap of fred, and each fault of a server or of the way to it.
//!
//! `table` prints figure 1 of the campaign, `writes` figure 3 (`--no-capture` shows them).

mod big;
mod callers;
mod cluster;
mod health;
mod kill;
mod link;
mod refused;
mod relay;
mod sentinels;
mod slots;
mod spares;
mod split;
pub(crate) mod stage;
mod syn;
mod table;
mod told;
mod wedge;
mod writes;

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::sleep};
use tower_keep_redis::{
    Connection, ConnectionState, ErrorClass, RedisConfig, Script, StoreError, fred::types::Value,
};
use tower_keep_tests::wait_until;

static INCR: Script = Script::new("return redis.call('INCR', KEYS[1])");

/// Generous: a slow machine must not be taken for a slow server.
const PATIENT: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_millis(100);
/// How soon all works again once the link or the server does.
const PROMISED: Duration = Duration::from_secs(1);
/// The same for a machine that has other things to do.
const BACK: Duration = Duration::from_secs(10);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap().with_timeout(DEADLINE)
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

fn class<T>(outcome: &Result<T, StoreError>) -> Option<ErrorClass> {
    outcome.as_ref().err().map(StoreError::class)
}

/// Waits until it is answered: a slow machine may be late for the deadline.
async fn works(connection: &Connection) {
    let works = wait_until(PATIENT, || async { incr(connection, "warm").await.is_ok() });
    assert!(works.await, "{:?}", connection.health());
}

async fn reaches(connection: &Connection, state: ConnectionState, within: Duration) -> bool {
    wait_until(within, || async { connection.state() == state }).await
}

/// Asks until the connection is down, as its callers would.
async fn asked_until_down(connection: &Connection) {
    let down = wait_until(PATIENT, || async {
        let _ = incr(connection, "n").await;
        connection.state() == ConnectionState::Down
    });
    assert!(down.await, "the breaker did not open");
}

/// How long until it is up again; panics if that takes too long.
async fn back(connection: &Connection) -> Duration {
    let begun = Instant::now();
    let up = reaches(connection, ConnectionState::Up, BACK).await;
    assert!(up, "not back after {BACK:?}: {:?}", connection.health());
    begun.elapsed()
}

/// Sends far more than the sockets on the way hold: whoever writes to one that nobody reads is
/// stuck in it.
async fn flood(connection: &Connection) -> Vec<Result<Value, StoreError>> {
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let connection = connection.clone();
        calls.spawn(async move {
            let value = Value::Bytes(vec![b'x'; 1 << 20].into());
            connection.command("SET", Some("big:{0}"), vec!["big:{0}".into(), value]).await
        });
    }
    let outcomes = calls.join_all().await;
    sleep(ms(1)).await;
    outcomes
}
