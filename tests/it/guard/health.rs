//! What a connection says of itself.

use std::time::Instant;

use tokio::{task::JoinSet, time::sleep};
use tower_keep_redis::{Connection, ConnectionState, ErrorClass, ServerRole};
use tower_keep_tests::{Flavor, Server, prompt_once, wait_until};

use super::{
    PATIENT, PROMISED, asked_until_down, back, class, config, connected, incr, ms,
    relay::{Fate, Relay},
    works,
};

#[tokio::test]
async fn health_is_told_without_asking() {
    for flavor in Flavor::ALL {
        let mut server = Server::start(flavor).await;
        let version = server.command(&["INFO", "server"]).await.unwrap().text();
        let connection = Connection::connect(config(&server.url()).with_timeout(PATIENT)).unwrap();
        let health = connection.health();
        assert_eq!(health.state, ConnectionState::Connecting);
        assert!(health.latency.is_none() && health.server.is_none(), "{health:?}");
        connection.require().await.unwrap();
        incr(&connection, "n").await.unwrap();
        let mut monitor = server.monitor().await;
        let health = connection.health();
        let sent = monitor.names().await;
        assert!(sent.iter().all(|name| name == "PING"), "it asks nobody: {sent:?}");
        assert_eq!(health.state, ConnectionState::Up);
        assert!(health.latency.unwrap() < PATIENT);
        assert_eq!((health.openings, health.reconnects, health.replacements), (0, 0, 0));
        assert_eq!(health.in_flight, 0);
        assert!(health.last_error.is_none(), "{health:?}");
        let info = health.server.unwrap();
        assert_eq!(info.role, ServerRole::Primary);
        let name = if flavor == Flavor::Redis { "redis" } else { "valkey" };
        assert_eq!(info.name, name);
        assert!(version.contains(&format!("{name}_version:{}\r", info.version)), "{info:?}");

        let connection = connected(config(&server.url())).await;
        prompt_once(async || {
            works(&connection).await;
            let before = connection.health();
            server.kill();
            asked_until_down(&connection).await;
            sleep(ms(50)).await;
            let begun = Instant::now();
            let health = connection.health();
            let told = begun.elapsed();
            assert!(told < ms(2000), "{told:?}");
            let openings = before.openings + 1;
            assert_eq!((health.state, health.openings), (ConnectionState::Down, openings));
            assert!(health.lasting >= ms(50), "{health:?}");
            let last = health.last_error.unwrap();
            assert_ne!(last.error.class(), ErrorClass::Refused);
            server.restart().await;
            let back = back(&connection).await;
            let again = wait_until(PATIENT, || async {
                connection.health().reconnects > before.reconnects
            });
            assert!(again.await, "{:?}", connection.health());
            assert!(connection.health().last_error.is_some(), "it is told although all is well");
            told < ms(50) && back < PROMISED
        })
        .await;
    }
}

/// That the first connection is not there yet is no error.
#[tokio::test]
async fn nothing_has_gone_wrong_before_the_first_connection() {
    let server = Server::start(Flavor::Redis).await;
    let relay = Relay::start(server.port()).await;
    relay.doom_all(Fate::Swallowed);
    let connection = Connection::connect(config(&relay.url())).unwrap();
    let error = wait_until(ms(1500), || async { connection.last_error().is_some() });
    assert!(!error.await, "{:?}", connection.last_error());
    assert_eq!(connection.state(), ConnectionState::Connecting);
    assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::NotSent));
    assert!(connection.last_error().is_none());
    relay.heal();
    back(&connection).await;
    works(&connection).await;
}

#[tokio::test]
async fn what_is_in_flight_is_counted() {
    let mut server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url()).with_timeout(PATIENT)).await;
    incr(&connection, "n").await.unwrap();
    server.pause();
    let mut calls = JoinSet::new();
    for _ in 0..7 {
        let connection = connection.clone();
        calls.spawn(async move { incr(&connection, "n").await });
    }
    assert!(wait_until(PATIENT, || async { connection.health().in_flight == 7 }).await);
    sleep(ms(20)).await;
    server.resume();
    calls.join_all().await;
    assert_eq!(connection.health().in_flight, 0);
    assert!(connection.health().latency.unwrap() > ms(1));
}

/// The least rights there are: nothing is told of the server that it refuses to tell, and nothing
/// else suffers.
#[tokio::test]
async fn a_user_without_rights_is_told_what_everyone_is() {
    let server = Server::builder(Flavor::Redis)
        .acl_user("app", "secret", "~* -@all +ping +eval +evalsha +incr")
        .start()
        .await;
    let connection = connected(config(&server.url_as("app")).with_timeout(PATIENT)).await;
    incr(&connection, "n").await.unwrap();
    assert_eq!(connection.health().server.unwrap().name, "redis");
    assert!(connection.health().last_error.is_none());
}
