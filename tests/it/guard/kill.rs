//! Connections that the server itself ends.

use std::time::Instant;

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_keep_redis::ErrorClass;
use tower_keep_tests::{Flavor, Server, wait_until};

use super::{PATIENT, class, config, connected, incr, ms};

/// Under load, again and again: what was on the wire is unknown, nothing is done twice, and it is
/// back at once each time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_under_load_lose_and_repeat_nothing() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let connection = connected(config(&server.url()).with_timeout(PATIENT)).await;
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let connection = connection.clone();
            callers.spawn(async move {
                let (mut done, mut unknown, begun) = (0, 0, Instant::now());
                while begun.elapsed() < ms(1500) {
                    match class(&incr(&connection, "n").await) {
                        None => done += 1,
                        Some(ErrorClass::Unknown) => unknown += 1,
                        Some(ErrorClass::NotSent) => {}
                        Some(ErrorClass::Refused) => panic!("refused"),
                    }
                    sleep(ms(1)).await;
                }
                (done, unknown)
            });
        }
        for _ in 0..10 {
            sleep(ms(100)).await;
            let there = wait_until(PATIENT, || async { connection.is_available() });
            assert!(there.await, "{:?}", connection.health());
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap().ok().unwrap();
        }
        let callers = timeout(PATIENT, callers.join_all()).await.unwrap();
        let (done, unknown): (Vec<i64>, Vec<i64>) = callers.into_iter().unzip();
        let (done, unknown): (i64, i64) = (done.iter().sum(), unknown.iter().sum());
        assert!(wait_until(PATIENT, || async { connection.is_available() }).await);
        let count: i64 = server.command(&["GET", "n"]).await.unwrap().text().parse().unwrap();
        println!("{flavor}: {done} done, {unknown} unknown, {count} counted");
        assert!((done..=done + unknown).contains(&count), "{done} + {unknown}, counted {count}");
        assert!(connection.health().reconnects >= 5, "{:?}", connection.health());
    }
}
