//! The server is down, dies, hangs, and comes back.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_keep_redis::{Connection, ConnectionState, ErrorClass};
use tower_keep_tests::{Flavor, Server, prompt_once, wait_until};

use super::{DEADLINE, PATIENT, PROMISED, class, config, connected, count, incr, known, ms, works};

#[tokio::test]
async fn down_at_start_is_refused_at_once_and_heals() {
    prompt_once(async || {
        let mut server = Server::start(Flavor::Redis).await;
        server.kill();
        let quick = config(&server.url()).with_connect_timeout(ms(300));
        let connection = Connection::connect(quick).unwrap();
        assert_eq!(connection.state(), ConnectionState::Connecting);
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::NotSent));
            slowest = slowest.max(begun.elapsed());
            sleep(ms(5)).await;
        }
        let begun = Instant::now();
        let error = connection.require().await.unwrap_err();
        let told = begun.elapsed();
        assert_eq!(error.class(), ErrorClass::NotSent);
        assert!(error.message().contains("refused"), "{error}");
        assert!((ms(300)..PATIENT).contains(&told), "{told:?}");
        assert_eq!(connection.state(), ConnectionState::Down);
        assert!(connection.last_error().unwrap().message().contains("refused"));

        server.restart().await;
        let back = known(&connection, true).await;
        assert_eq!(incr(&connection, "n").await.unwrap(), 1);
        slowest < ms(50) && told < ms(2000) && back < PROMISED
    })
    .await;
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Kill,
    Pause,
}

/// Eight callers, 1.5 s of outage: how long each call took, and how long until it was back. Answers
/// whether all was as quick as promised.
async fn outage(fault: Fault) -> bool {
    let mut server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url()).with_timeout(DEADLINE)).await;
    works(&connection).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let connection = connection.clone();
        callers.spawn(async move {
            let (mut worst, mut calls) = (Duration::ZERO, 0);
            let begun = Instant::now();
            while begun.elapsed() < ms(3500) {
                let call = Instant::now();
                let _ = incr(&connection, "n").await;
                worst = worst.max(call.elapsed());
                calls += 1;
                sleep(ms(10)).await;
            }
            (worst, calls)
        });
    }
    sleep(ms(300)).await;
    let failed = Instant::now();
    match fault {
        Fault::Kill => server.kill(),
        Fault::Pause => server.pause(),
    }
    let noticed = known(&connection, false).await;
    let mut open = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        let outcome = incr(&connection, "n").await;
        open.push(begun.elapsed());
        assert_eq!(class(&outcome), Some(ErrorClass::NotSent));
    }
    open.sort_unstable();
    sleep(ms(1500).saturating_sub(failed.elapsed())).await;
    assert_eq!(connection.state(), ConnectionState::Down);
    match fault {
        Fault::Kill => server.restart().await,
        Fault::Pause => server.resume(),
    }
    let back = known(&connection, true).await;
    works(&connection).await;
    let (mut worst, mut calls) = (Duration::ZERO, 0);
    while let Some(caller) = callers.join_next().await {
        let (slowest, made) = caller.unwrap();
        worst = worst.max(slowest);
        calls += made;
    }
    let (median, last) = (open[open.len() / 2], open[open.len() - 1]);
    println!(
        "open after {noticed:?}, back after {back:?}, {calls} calls, slowest {worst:?}; \
         while open: median {median:?}, slowest {last:?}"
    );
    assert!(worst < PATIENT, "a call took {worst:?}");
    assert!(median < ms(50), "an open breaker took {median:?}");
    let in_time = worst < DEADLINE + ms(150) && median < ms(1);
    in_time && noticed.max(back) < PROMISED
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted() {
    prompt_once(async || outage(Fault::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_and_resumed() {
    prompt_once(async || outage(Fault::Pause).await).await;
}

#[tokio::test]
async fn an_outage_is_noticed_without_any_traffic() {
    let mut server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url()).with_timeout(DEADLINE)).await;
    prompt_once(async || {
        server.kill();
        let noticed = known(&connection, false).await;
        server.restart().await;
        noticed.max(known(&connection, true).await) < PROMISED
    })
    .await;
}

/// Callers that give up before the deadline leave no failure behind, and yet it opens.
#[tokio::test]
async fn a_hang_is_noticed_although_every_caller_gives_up() {
    let mut server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url()).with_timeout(DEADLINE)).await;
    prompt_once(async || {
        server.pause();
        for _ in 0..3 {
            // Where it is noticed meanwhile, the last may be refused.
            assert!(!matches!(timeout(ms(20), incr(&connection, "n")).await, Ok(Ok(_))));
        }
        let noticed = known(&connection, false).await;
        server.resume();
        noticed.max(known(&connection, true).await) < PROMISED
    })
    .await;
}

/// Twenty increments are on the wire when the server dies, and it is back long before they are
/// overdue: nothing is replayed.
#[tokio::test]
async fn what_was_in_flight_is_unknown_and_never_sent_again() {
    for flavor in Flavor::ALL {
        let mut server = Server::start(flavor).await;
        let connection = connected(config(&server.url())).await;
        incr(&connection, "warm").await.unwrap();
        server.pause();
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let connection = connection.clone();
            calls.spawn(async move { incr(&connection, "n").await });
        }
        let sent = || async { connection.health().in_flight == 20 };
        assert!(wait_until(PATIENT, sent).await, "{:?}", connection.health());
        // Handed to fred; on the wire a moment later.
        sleep(ms(100)).await;
        // Dead on the spot: not let go on first, as `kill` does with a paused server.
        let pid = server.pid().unwrap().to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        server.restart().await;
        let outcomes = timeout(PATIENT / 2, calls.join_all()).await.expect("not told at once");
        for outcome in &outcomes {
            assert_eq!(class(outcome), Some(ErrorClass::Unknown), "{outcome:?}");
        }
        assert!(wait_until(PATIENT, || async { incr(&connection, "m").await.is_ok() }).await);
        sleep(ms(200)).await;
        assert_eq!(count(&server, "n").await, 0);
    }
}

#[tokio::test]
async fn what_was_refused_is_never_sent_later() {
    for flavor in Flavor::ALL {
        let mut server = Server::start(flavor).await;
        let connection = connected(config(&server.url()).with_timeout(ms(2000))).await;
        incr(&connection, "warm").await.unwrap();
        server.kill();
        let mut not_sent = 0;
        for _ in 0..100 {
            not_sent +=
                usize::from(class(&incr(&connection, "n").await) == Some(ErrorClass::NotSent));
            sleep(ms(2)).await;
        }
        assert!(not_sent >= 80, "{not_sent}");
        server.restart().await;
        known(&connection, true).await;
        sleep(ms(200)).await;
        assert_eq!(count(&server, "n").await, 0);
        assert_eq!(incr(&connection, "n").await.unwrap(), 1);
    }
}
