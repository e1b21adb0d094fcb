//! How a connection begins, and how it ends.

use std::{collections::HashSet, time::Duration};

use tokio::{runtime::Handle, time::sleep};
use tower_keep_redis::{
    ConfigError, Connection, ConnectionState, RedisConfig,
    fred::{
        error::{Error, ErrorKind},
        prelude::{Builder, ClientLike, Config, Options, ReconnectPolicy},
        types::{CustomCommand, Value},
    },
};
use tower_keep_tests::{Flavor, Server, free_port, wait_until};

use super::{PATIENT, config, connected, incr, ms};

/// The connections of a RESP3 client: all but the harness's own.
async fn sockets(server: &Server) -> usize {
    let list = server.command(&["CLIENT", "LIST"]).await.unwrap().text();
    list.lines().filter(|line| line.contains("resp=3")).count()
}

#[tokio::test]
async fn the_last_handle_closes_everything() {
    let mut server = Server::start(Flavor::Redis).await;
    for pool in [1, 3] {
        let tasks = Handle::current().metrics().num_alive_tasks();
        let connection = connected(config(&server.url()).with_pool_size(pool)).await;
        let other = connection.clone();
        assert!(wait_until(ms(2000), || async { sockets(&server).await == pool }).await);
        drop(connection);
        assert!(
            wait_until(ms(2000), || async {
                let ids = (0..3).map(|_| other.client().id().to_owned());
                ids.collect::<HashSet<_>>().len() == pool
            })
            .await,
            "the clients take turns"
        );
        incr(&other, "n").await.unwrap();
        drop(other);
        assert!(wait_until(ms(2000), || async { sockets(&server).await == 0 }).await);
        assert!(tasks_fall_to(tasks).await);
    }
    // Also where there is nobody to say goodbye to: gone, or in the middle of a greeting.
    let tasks = Handle::current().metrics().num_alive_tasks();
    let connection = connected(config(&server.url())).await;
    server.kill();
    drop(connection);
    assert!(tasks_fall_to(tasks).await);
    server.restart().await;
    server.pause();
    let connection = Connection::connect(config(&server.url()).with_connect_timeout(PATIENT));
    sleep(ms(100)).await;
    drop(connection);
    assert!(tasks_fall_to(tasks).await);
}

async fn tasks_fall_to(count: usize) -> bool {
    let alive = move || Handle::current().metrics().num_alive_tasks();
    wait_until(ms(3000), || async move { alive() == count }).await
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    let error = Connection::connect(RedisConfig::new("127.0.0.1", 6379)).unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test]
async fn everything_wrong_with_the_settings_is_told_at_once() {
    let wrong = RedisConfig::new("no host", 0)
        .with_username("app")
        .with_timeout(Duration::ZERO)
        .with_connect_timeout(Duration::from_secs(61))
        .with_pool_size(0)
        .with_max_in_flight(0);
    let error = Connection::connect(wrong).unwrap_err();
    let names: Vec<_> = error.problems().iter().map(|problem| problem.name.as_str()).collect();
    let timeouts = ["REDIS_TIMEOUT_MS", "REDIS_CONNECT_TIMEOUT_MS", "REDIS_POOL_SIZE"];
    assert_eq!(names[..3], ["REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME"]);
    assert_eq!(names[3..6], timeouts);
    assert_eq!(names[6], "max_in_flight");
}

fn builder(url: &str) -> Builder {
    Builder::from_config(Config::from_url(url).unwrap())
}

#[tokio::test]
async fn a_client_of_the_programs_own_is_used_and_left_alone() {
    let server = Server::start(Flavor::Redis).await;
    let told = |refused: Result<Connection, ConfigError>| refused.unwrap_err().to_string();
    let hangs = builder(&server.url()).build().unwrap();
    assert!(told(Connection::from_fred(hangs)).contains("no reconnect policy"));
    let poisoned = builder(&server.url())
        .set_policy(ReconnectPolicy::default())
        .with_connection_config(|config| config.max_command_buffer_len = 64)
        .build()
        .unwrap();
    assert!(told(Connection::from_fred(poisoned)).contains("max_command_buffer_len"));

    let tasks = Handle::current().metrics().num_alive_tasks();
    let client = builder(&server.url()).set_policy(ReconnectPolicy::default()).build().unwrap();
    let task = client.init().await.unwrap();
    let connection = Connection::from_fred(client.clone()).unwrap();
    assert_eq!(connection.state(), ConnectionState::Up);
    assert_eq!(connection.client().id(), client.id());
    incr(&connection, "n").await.unwrap();
    drop(connection);
    assert!(tasks_fall_to(tasks + 1).await, "only the client's own task is left");
    client.ping::<()>(None).await.unwrap();
    assert!(!task.is_finished());
    client.quit().await.unwrap();
}

/// The refusal that is known by its exact words, because it proves that nothing was sent. When
/// this fails after an upgrade, read `class_of` in `tower-keep-redis/src/error.rs` again.
#[tokio::test]
async fn guard_the_words_of_freds_refusal() {
    let port = free_port().unwrap();
    let client = builder(&format!("redis://127.0.0.1:{port}"))
        .set_policy(ReconnectPolicy::default())
        .with_config(|config| config.fail_fast = false)
        .build()
        .unwrap();
    let task = client.connect();
    let options = Options { timeout: Some(ms(1000)), fail_fast: true, ..Options::default() };
    let ping = CustomCommand::new_static("PING", None, false);
    let refused: Result<Value, Error> =
        client.with_options(&options).custom(ping, Vec::<Value>::new()).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Canceled);
    assert_eq!(error.details(), "Connection closed unexpectedly.");
    task.abort();
}
