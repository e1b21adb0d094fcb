//! More than usual: bursts, flushed scripts, a full server.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::sleep};
use tower_keep_redis::{ConnectionState, ErrorClass};
use tower_keep_tests::{Flavor, Server};

use super::{config, connected, count, incr, ms};

#[tokio::test]
async fn flushing_the_scripts_under_load_is_invisible() {
    let server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url())).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let connection = connection.clone();
        callers.spawn(async move {
            for _ in 0..250 {
                incr(&connection, "n").await.unwrap();
            }
        });
    }
    let mut flushes = 0;
    while !callers.is_empty() {
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
        flushes += 1;
        while let Some(caller) = callers.try_join_next() {
            caller.unwrap();
        }
        sleep(ms(1)).await;
    }
    println!("{flushes} flushes");
    assert_eq!(count(&server, "n").await, 2000);
}

/// The deadline is out of the way: this is about the cap, on a machine of any speed.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_far_above_the_cap_refuses_nothing() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let patient = config(&server.url()).with_timeout(Duration::from_secs(60));
        let connection = connected(patient.with_max_in_flight(64)).await;
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        for _ in 0..5000 {
            let connection = connection.clone();
            calls.spawn(async move { incr(&connection, "n").await });
        }
        let outcomes = calls.join_all().await;
        println!("5000 at once through 64 places: {:?}", begun.elapsed());
        let refused: Vec<_> =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(refused.is_empty(), "{} refused: {:?}", refused.len(), refused.first());
        assert_eq!(count(&server, "n").await, 5000);
    }
}

/// Refused is not broken.
#[tokio::test]
async fn out_of_memory_is_refused_and_does_not_open_the_breaker() {
    let server = Server::builder(Flavor::Redis).arg("--maxmemory", "100kb").start().await;
    let connection = connected(config(&server.url())).await;
    for _ in 0..20 {
        let error = incr(&connection, "n").await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Refused);
        assert!(error.message().starts_with("OOM"), "{error}");
    }
    assert_eq!(connection.state(), ConnectionState::Up);
    assert!(connection.last_error().unwrap().message().starts_with("OOM"));
}
