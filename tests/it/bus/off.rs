//! Where there is no bus, one line says so, and nothing else is different.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_keep_redis::{BusEvent, BusState, Connection, ErrorClass, SharedBus};
use tower_keep_tests::{Cluster, Flavor, Server, wait_until};

use super::{PATIENT, config, is_lost, log::Log, next, process, publish, reaches};

/// The right to channels is not given by default: `resetchannels`.
#[tokio::test]
async fn refused_by_acl_it_is_off_and_one_line_says_so() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor)
            .acl_user("app", "s3cret", "~* resetchannels +@all")
            .acl_user("mute", "s3cret", "~* &* +@all -subscribe")
            .start()
            .await;
        for user in ["app", "mute"] {
            let (log, _guard) = Log::start();
            let (connection, bus) = process(config(&server.url_as(user))).await;
            let is_off = || async {
                matches!(bus.state(), BusState::Off { reason } if reason.starts_with("NOPERM"))
            };
            assert!(wait_until(PATIENT, is_off).await, "{:?}", bus.state());
            sleep(Duration::from_millis(300)).await;
            let lines = log.lines("may not listen");
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("WARN") && lines[0].contains("NOPERM"), "{}", lines[0]);
            assert!(!lines[0].contains("s3cret"));
            connection.command("PING", None, Vec::new()).await.unwrap();
            if user == "app" {
                let error = bus.publish(1, b"x").await.unwrap_err();
                assert_eq!(error.class(), ErrorClass::Refused, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn switched_off_it_does_nothing() {
    let server = Server::start(Flavor::Redis).await;
    let (log, _guard) = Log::start();
    let off = config(&server.url()).with_pubsub(false);
    let connection = Connection::connect(off.clone()).unwrap();
    connection.require().await.unwrap();
    let shared = SharedBus::default();
    let bus = shared.get(&connection, off.pubsub()).unwrap();
    drop(shared.get(&connection, off.pubsub()).unwrap());
    assert!(matches!(bus.state(), BusState::Off { reason } if reason.contains("REDIS_PUBSUB")));
    let mut monitor = server.monitor().await;
    let error = bus.publish(1, b"x").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotSent);
    assert_eq!(monitor.count().await, 0);
    assert_eq!(log.lines("not listening").len(), 1);
}

/// Going away and coming back is one line each, however many attempts it took.
#[tokio::test]
async fn one_line_for_each_change() {
    let mut server = Server::start(Flavor::Redis).await;
    let (log, _guard) = Log::start();
    let (_connection, bus) = process(config(&server.url())).await;
    reaches(&bus, BusState::Live).await;
    server.kill();
    is_lost(&bus).await;
    sleep(Duration::from_secs(1)).await;
    server.restart().await;
    reaches(&bus, BusState::Live).await;
    assert_eq!(log.lines("cannot listen to other processes").len(), 1);
    assert_eq!(log.lines("listening to other processes").len(), 2);
    assert_eq!(log.lines("listening to other processes again").len(), 1);
}

/// The server takes what it is asked for, and closes at once, again and again: neither the log nor
/// those who listen are flooded.
#[tokio::test]
async fn links_that_die_young_are_made_less_and_less_often() {
    let server = Server::start(Flavor::Redis).await;
    let (log, _guard) = Log::start();
    let (_connection, bus) = process(config(&server.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap().ok().unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    let mut gaps = 0;
    while tokio::time::timeout(Duration::from_millis(50), events.recv()).await.is_ok() {
        gaps += 1;
    }
    // Counted after the gaps: one may be made while they are read.
    let again = log.lines("listening to other processes again").len();
    println!("killed at once for 4 s: listening again {again} times, {gaps} gaps");
    assert!((3..=12).contains(&again), "{again} times");
    assert!(gaps <= 2 * again + 2, "{gaps} gaps");
    reaches(&bus, BusState::Live).await;
    publish(&bus, 1, b"again").await;
}

/// A cluster node is asked for its cluster's state: where that is forbidden, it is off and not lost.
#[tokio::test]
async fn a_question_that_is_forbidden_is_no_loss() {
    for flavor in Flavor::ALL {
        let rights = "~* &* +@all";
        let cluster =
            Cluster::start_with(flavor, 3, |node| node.acl_user("app", "s3cret", rights)).await;
        let (log, _guard) = Log::start();
        let url = cluster.url().replacen("://", "://app:s3cret@", 1);
        let (_connection, bus) = process(config(&url)).await;
        reaches(&bus, BusState::Live).await;
        for node in cluster.nodes() {
            let less = ["ACL", "SETUSER", "app", "-cluster|info"];
            node.command(&less).await.unwrap().ok().unwrap();
        }
        let is_off = || async { bus.state().label() == "off" };
        assert!(wait_until(PATIENT, is_off).await, "{:?}", bus.state());
        assert!(bus.state().reason().unwrap().contains("NOPERM"), "{:?}", bus.state());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.lines("may not listen").len(), 1);
        assert_eq!(log.lines("cannot listen").len(), 0);
    }
}

/// A right that is taken away from a bus that is live ends it with a gap.
#[tokio::test]
async fn a_right_that_is_taken_away_is_a_gap() {
    let server = Server::builder(Flavor::Redis).acl_user("app", "s3cret", "~* &* +@all").start();
    let server = server.await;
    let (_connection, bus) = process(config(&server.url_as("app"))).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    while tokio::time::timeout(Duration::from_millis(50), events.recv()).await.is_ok() {}
    server.command(&["ACL", "SETUSER", "app", "-ping"]).await.unwrap().ok().unwrap();
    assert_eq!(next(&mut events).await, BusEvent::Gap);
    let reason = bus.state().reason().map(str::to_owned);
    assert_eq!(bus.state().label(), "off");
    assert!(reason.unwrap().starts_with("NOPERM"));
}
