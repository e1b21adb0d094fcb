//! Who is told that something may be missing.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tower_keep_redis::{BusEvent, BusEvents, BusState};
use tower_keep_tests::{Cluster, Flavor, Proxy, Sentinel, Server, prompt_once};

use super::{PATIENT, config, heard_again, is_lost, message, next, process, publish, reaches};

/// What is remembered because of a bus that is live is believed no longer than this once it is not.
const NOTICED: Duration = Duration::from_secs(1);

/// Takes what is there already.
async fn drain(events: &mut BusEvents) {
    while timeout(Duration::from_millis(50), events.recv()).await.is_ok() {}
}

#[tokio::test]
async fn a_killed_subscriber_comes_back_with_a_gap() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let (_connection, bus) = process(config(&server.url())).await;
        let mut events = bus.events();
        for _ in 0..3 {
            reaches(&bus, BusState::Live).await;
            drain(&mut events).await;
            let killed = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
            assert_eq!(killed.int(), 1);
            assert_eq!(next(&mut events).await, BusEvent::Gap, "told when it is lost");
            assert_eq!(next(&mut events).await, BusEvent::Gap, "and when it is back");
            heard_again(&bus, &mut events).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_heard_again_after_a_gap() {
    for flavor in Flavor::ALL {
        let mut server = Server::start(flavor).await;
        let (_connection, bus) = process(config(&server.url())).await;
        let mut events = bus.events();
        reaches(&bus, BusState::Live).await;
        drain(&mut events).await;
        server.kill();
        assert_eq!(next(&mut events).await, BusEvent::Gap);
        is_lost(&bus).await;
        server.restart().await;
        let back = Instant::now();
        reaches(&bus, BusState::Live).await;
        println!("{flavor}: live again {:?} after the server was back", back.elapsed());
        assert!(heard_again(&bus, &mut events).await > 0, "nobody was told before the message");
    }
}

/// The link swallows everything and says nothing: noticed all the same, and what was published
/// meanwhile is known to be missed.
#[tokio::test]
async fn a_link_that_is_silently_dead_is_noticed() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let (_near, near) = process(config(&proxy.url())).await;
    let (_far, far) = process(config(&server.url())).await;
    let mut events = near.events();
    reaches(&far, BusState::Live).await;
    prompt_once(async || {
        reaches(&near, BusState::Live).await;
        drain(&mut events).await;
        proxy.half_open();
        let begun = Instant::now();
        publish(&far, 1, b"missed").await;
        assert_eq!(next(&mut events).await, BusEvent::Gap);
        let noticed = begun.elapsed();
        println!("a dead link was noticed after {noticed:?}");
        assert!(matches!(near.state(), BusState::Lost { .. }), "{:?}", near.state());
        proxy.heal();
        reaches(&near, BusState::Live).await;
        publish(&far, 2, b"heard").await;
        let (heard, gaps) = message(&mut events).await;
        assert_eq!(heard.kind, 2);
        assert!(gaps > 0);
        assert!(noticed < NOTICED * 3, "{noticed:?}");
        noticed < NOTICED
    })
    .await;
}

/// One who does not listen for long is told of a gap, the others are not.
#[tokio::test]
async fn who_falls_behind_is_told() {
    let server = Server::start(Flavor::Redis).await;
    let (_connection, bus) = process(config(&server.url())).await;
    prompt_once(async || {
        reaches(&bus, BusState::Live).await;
        let (mut slow, mut quick) = (bus.events(), bus.events());
        drain(&mut slow).await;
        drain(&mut quick).await;
        for number in 0..1100_u16 {
            publish(&bus, 1, &number.to_be_bytes()).await;
            // A link that is not served for half a second is lost, and everybody is told of that.
            let BusEvent::Message(heard) = next(&mut quick).await else { return false };
            assert_eq!(heard.payload[..], number.to_be_bytes());
        }
        let (heard, gaps) = message(&mut slow).await;
        assert_eq!(gaps, 1);
        assert_eq!(heard.payload[..], (1100_u16 - 1024).to_be_bytes());
        assert_eq!(message(&mut slow).await.1, 0);
        true
    })
    .await;
}

/// The node it listens to dies: another one is heard within moments.
#[tokio::test]
async fn a_cluster_node_that_dies_is_replaced() {
    let mut cluster = Cluster::start(Flavor::Redis, 3).await;
    let (_connection, bus) = process(config(&cluster.url())).await;
    let mut events = bus.events();
    reaches(&bus, BusState::Live).await;
    let mut heard = None;
    for (index, node) in cluster.nodes().iter().enumerate() {
        let list = node.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap().text();
        heard = heard.or((!list.trim().is_empty()).then_some(index));
    }
    drain(&mut events).await;
    let node = heard.expect("it listens to no node");
    cluster.node_mut(node).kill();
    assert_eq!(next(&mut events).await, BusEvent::Gap);
    // A cluster that misses a node is down, and a bus in it is not to be trusted.
    cluster.node_mut(node).restart().await;
    assert!(cluster.wait_ok(PATIENT).await);
    reaches(&bus, BusState::Live).await;
    assert!(heard_again(&bus, &mut events).await > 0);
}

#[tokio::test]
async fn a_failover_is_a_gap() {
    for flavor in Flavor::ALL {
        let mut sentinel = Sentinel::start(flavor).await;
        let (_one, one) = process(config(&sentinel.url())).await;
        let (_two, two) = process(config(&sentinel.url())).await;
        let mut events = one.events();
        reaches(&one, BusState::Live).await;
        reaches(&two, BusState::Live).await;
        drain(&mut events).await;
        let old = sentinel.kill_primary().await;
        assert_eq!(next(&mut events).await, BusEvent::Gap);
        assert!(sentinel.wait_until_failed_over(old, PATIENT).await.is_some());
        let failed_over = Instant::now();
        reaches(&one, BusState::Live).await;
        reaches(&two, BusState::Live).await;
        println!("{flavor}: live again {:?} after the failover", failed_over.elapsed());
        heard_again(&two, &mut events).await;
    }
}
