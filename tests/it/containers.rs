//! Where a Docker engine runs: limits counted by a server in a container.
//!
//! Without an engine each test says that it was left out; with one it must pass.

mod cut;

use std::time::Duration;

use tower_keep::{Connection, RedisConfig};
use tower_keep_tests::{Flavor, engine};

use crate::limit_store;

/// So generous that a slow machine is not taken for a failed store.
const PATIENT: Duration = Duration::from_secs(30);

async fn suite_of_the_store(flavor: Flavor) {
    let Some(engine) = engine().await else { return };
    let server = engine.server(flavor).await;
    let config = RedisConfig::from_url(&server.url().await).unwrap().with_timeout(PATIENT);
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    limit_store::run_through(connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suite_of_the_store_on_redis() {
    suite_of_the_store(Flavor::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suite_of_the_store_on_valkey() {
    suite_of_the_store(Flavor::Valkey).await;
}
