//! What is told of a connection, and when.

use std::time::Instant;

use tower_keep_redis::{Bus, ConnectionState, ErrorClass, SharedBus};
use tower_keep_tests::{Flavor, Server, wait_until};

use super::{PATIENT, config, connected, incr, ms};

/// The deadline of a command is no part of it.
#[tokio::test]
async fn requiring_a_server_takes_no_longer_than_connecting() {
    let mut server = Server::start(Flavor::Redis).await;
    let patient = config(&server.url()).with_timeout(PATIENT).with_connect_timeout(ms(500));
    let connection = connected(patient).await;
    server.pause();
    let begun = Instant::now();
    let error = connection.require().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotSent, "{error}");
    assert!((ms(450)..ms(2000)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    server.resume();
    assert!(wait_until(PATIENT, || async { connection.require().await.is_ok() }).await);
}

#[tokio::test]
async fn the_connection_for_large_values_is_told_once_it_is_used() {
    let server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url())).await;
    assert!(connection.health().bulk.is_none());
    let bulk = connection.bulk();
    bulk.require().await.unwrap();
    incr(&bulk, "n").await.unwrap();
    let health = connection.health().bulk.unwrap();
    assert_eq!(health.state, ConnectionState::Up);
    assert!(health.latency.is_some() && health.bulk.is_none(), "{health:?}");
}

#[tokio::test]
async fn nothing_prints_a_password() {
    let server = Server::builder(Flavor::Redis).password("hunter2").start().await;
    let connection = connected(config(&server.url())).await;
    let bulk = connection.bulk();
    let bus = Bus::new(&connection).unwrap();
    let shared = SharedBus::default();
    let other = shared.get(&connection, true).unwrap();
    let events = other.events();
    let all = format!("{connection:#?} {bulk:?} {bus:?} {shared:?} {other:?} {events:#?}");
    assert!(!all.contains("hunter2"), "{all}");
    assert!(!format!("{:#?}", connection.health()).contains("hunter2"));
}
