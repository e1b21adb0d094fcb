//! Who hears what.

use std::time::Duration;

use tokio::{runtime::Handle, time::sleep};
use tower_keep_core::key::BUS;
use tower_keep_redis::{Bus, BusEvent, BusState, Connection, ErrorClass, SharedBus};
use tower_keep_tests::{Cluster, Flavor, Sentinel, Server, wait_until};

use super::{PATIENT, config, message, next, process, publish, reaches};

/// Each of two processes hears both, knows its own, and hears all in order.
async fn both_hear_both(url: &str) {
    let (_one, one) = process(config(url)).await;
    let (_two, two) = process(config(url)).await;
    let (mut by_one, mut by_two) = (one.events(), two.events());
    reaches(&one, BusState::Live).await;
    reaches(&two, BusState::Live).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    for (number, bus) in [&one, &two, &one].into_iter().enumerate() {
        let kind = u8::try_from(number).unwrap();
        publish(bus, kind, &all_bytes).await;
        for (events, own) in [(&mut by_one, number != 1), (&mut by_two, number == 1)] {
            let (message, _) = message(events).await;
            assert_eq!((message.kind, message.is_own), (kind, own));
            assert_eq!(message.payload, all_bytes);
        }
    }
}

#[tokio::test]
async fn processes_hear_each_other() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).password("s3cret/?").start().await;
        Box::pin(both_hear_both(&server.url())).await;
        // There is one channel for all databases.
        Box::pin(both_hear_both(&format!("{}/3", server.url()))).await;
    }
}

/// For scripts, which publish it themselves.
#[tokio::test]
async fn a_message_may_be_sent_by_other_hands() {
    let server = Server::start(Flavor::Redis).await;
    let (connection, bus) = process(config(&server.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    let envelope = bus.message(9, b"by hand").unwrap();
    server.command(&[b"PUBLISH", BUS.as_bytes(), &envelope]).await.unwrap().ok().unwrap();
    let (heard, _) = message(&mut events).await;
    assert_eq!((heard.kind, &heard.payload[..], heard.is_own), (9, &b"by hand"[..], true));
    assert_eq!(bus.message(9, &[0; Bus::MAX_PAYLOAD + 1]), None);
    let off = SharedBus::default().get(&connection, false).unwrap();
    assert_eq!(off.message(9, b"x"), None);
}

#[tokio::test]
async fn a_cluster_delivers() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        Box::pin(both_hear_both(&cluster.url())).await;
    }
}

#[tokio::test]
async fn sentinels_deliver() {
    for flavor in Flavor::ALL {
        let sentinel = Sentinel::start_with(flavor, 1, |node| node.password("s3cret")).await;
        Box::pin(both_hear_both(&sentinel.url())).await;
    }
}

/// Those who use one connection share one subscriber, made with the first and ended with the
/// last.
#[tokio::test]
async fn there_is_one_subscriber_and_it_ends() {
    let server = Server::start(Flavor::Redis).await;
    let subscribers = || async {
        let reply = server.command(&["PUBSUB", "NUMSUB", "keep:bus"]).await.unwrap();
        reply.array()[1].int()
    };
    let tasks = Handle::current().metrics().num_alive_tasks();
    let connection = Connection::connect(config(&server.url())).unwrap();
    connection.require().await.unwrap();
    let shared = SharedBus::default();
    let bus = shared.get(&connection, true).unwrap();
    let more: Vec<Bus> = (0..5).map(|_| shared.get(&connection, true).unwrap()).collect();
    let events = bus.events();
    reaches(&more[4], BusState::Live).await;
    assert_eq!(subscribers().await, 1);
    drop((more, bus));
    assert_eq!(events.bus().state(), BusState::Live, "a listener keeps it");
    drop(events);
    assert!(wait_until(PATIENT, || async { subscribers().await == 0 }).await);
    // A new user makes a new one.
    let bus = shared.get(&connection, true).unwrap();
    reaches(&bus, BusState::Live).await;
    assert_eq!(subscribers().await, 1);
    drop((bus, connection));
    let alive = || async { Handle::current().metrics().num_alive_tasks() == tasks };
    assert!(wait_until(PATIENT, alive).await, "a task was left behind");
}

#[tokio::test]
async fn what_others_publish_there_is_ignored_and_counted() {
    let server = Server::start(Flavor::Valkey).await;
    let (_connection, bus) = process(config(&server.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    let long = [&[1][..], &[0; 9 + Bus::MAX_PAYLOAD + 1]].concat();
    let foreign: [&[u8]; 5] = [b"", b"hello", b"\x02\x01later-version", b"\x01short", &long];
    for bytes in foreign {
        server.command(&[b"PUBLISH", b"keep:bus".as_slice(), bytes]).await.unwrap().ok().unwrap();
    }
    publish(&bus, 9, b"ours").await;
    assert_eq!(message(&mut events).await.0.kind, 9);
    assert_eq!(bus.ignored(), 5);
}

#[tokio::test]
async fn a_payload_has_a_bound() {
    let server = Server::start(Flavor::Redis).await;
    let (_connection, bus) = process(config(&server.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    let longest = vec![7; Bus::MAX_PAYLOAD];
    publish(&bus, 1, &longest).await;
    assert_eq!(message(&mut events).await.0.payload, longest);
    let error = bus.publish(1, &vec![7; Bus::MAX_PAYLOAD + 1]).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotSent);
}

/// Nothing is asked for, not even a `PING`, as long as nobody uses it.
#[tokio::test]
async fn without_a_user_there_is_no_subscriber() {
    let server = Server::start(Flavor::Redis).await;
    let (connection, bus) = process(config(&server.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    assert_eq!(next(&mut events).await, BusEvent::Gap, "what was before is not known");
    drop((bus, events));
    let gone = || async {
        let list = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
        list.text().trim().is_empty()
    };
    assert!(wait_until(PATIENT, gone).await);
    let mut monitor = server.monitor().await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(monitor.count().await, 0);
    drop(connection);
}
