//! Two primaries at once: the sentinels do not reach the old one and have put another in its
//! place, and connections to the old one go on as if nothing were.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tower_keep_redis::{Bus, BusState, RedisConfig};
use tower_keep_tests::{Flavor, Proxy, Sentinel, Server, wait_until};

use super::{PATIENT, connected, ms};

/// What sentinels take for the end of a primary.
const SENTINELS: Duration = Duration::from_secs(2);
/// A bus that listens to a dead link knows after a second.
const NOTICED: Duration = Duration::from_secs(5);

/// Commands go to the new primary, and so does what is published: who still listens to the old
/// one misses it, and must be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_does_not_stay_with_a_primary_that_was_replaced() {
    let mut links = Vec::new();
    let lead = async |port| {
        let link = Proxy::start(port);
        let port = link.port();
        links.push(link);
        port
    };
    let sentinel = Sentinel::start_led(Flavor::Redis, SENTINELS, lead).await;
    let config = RedisConfig::from_url(&sentinel.url()).unwrap();
    let connection = connected(config).await;
    let bus = Bus::new(&connection).unwrap();
    assert!(wait_until(PATIENT, || async { bus.state() == BusState::Live }).await);
    let mut events = bus.events();

    let old = &sentinel.nodes()[0];
    links[0].swallow();
    forget_sentinels(old).await;
    assert_eq!(sentinel.wait_until_failed_over(0, PATIENT * 6).await, Some(1));
    // The connection is lost for a moment, and made anew where the sentinels lead.
    old.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap().ok().unwrap();
    let through = links[1].bytes_from_clients();
    let moved = async || {
        let big = vec!["k".into(), "x".repeat(1 << 16).into()];
        let set = connection.command("SET", Some("k"), big).await;
        set.is_ok() && links[1].bytes_from_clients() > through + (1 << 16)
    };
    assert!(wait_until(PATIENT, moved).await, "it is not with the new primary");

    while timeout(ms(50), events.recv()).await.is_ok() {}
    let published = || async { bus.publish(1, b"news").await.is_ok() };
    assert!(wait_until(PATIENT, published).await, "nothing can be published");
    let begun = Instant::now();
    let told = timeout(NOTICED, events.recv()).await;
    println!("told {told:?} after {:?}, the bus is {:?}", begun.elapsed(), bus.state());
    assert!(told.is_ok(), "neither heard nor told of a gap, and the bus is {:?}", bus.state());
}

/// Ends the connections of sentinels to this node.
async fn forget_sentinels(node: &Server) {
    let list = node.command(&["CLIENT", "LIST"]).await.unwrap().text();
    for line in list.lines().filter(|line| line.contains(" name=sentinel-")) {
        let id = line.split(' ').next().unwrap().trim_start_matches("id=");
        node.command(&["CLIENT", "KILL", "ID", id]).await.unwrap();
    }
}
