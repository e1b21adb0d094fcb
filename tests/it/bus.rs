//! The bus between processes: who hears what, and who is told that something may be missing.

mod gaps;
pub(crate) mod log;
mod off;
mod shared;

use std::time::Duration;

use tokio::time::timeout;
use tower_keep_redis::{
    Bus, BusEvent, BusEvents, BusMessage, BusState, Connection, RedisConfig, SharedBus,
};
use tower_keep_tests::wait_until;

/// Generous: a slow machine must not be taken for a bus that is dumb.
const PATIENT: Duration = Duration::from_secs(20);

/// A connection and a bus of its own, as another process would have.
async fn process(config: RedisConfig) -> (Connection, Bus) {
    let on = config.pubsub();
    let connection = Connection::connect(config.with_timeout(PATIENT)).unwrap();
    connection.require().await.unwrap();
    let bus = SharedBus::default().get(&connection, on).unwrap();
    (connection, bus)
}

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap()
}

async fn reaches(bus: &Bus, state: BusState) {
    let reached = wait_until(PATIENT, || async { bus.state() == state });
    assert!(reached.await, "{:?} and not {state:?}", bus.state());
}

async fn is_lost(bus: &Bus) {
    let lost = wait_until(PATIENT, || async { matches!(bus.state(), BusState::Lost { .. }) });
    assert!(lost.await, "{:?} and not lost", bus.state());
}

async fn next(events: &mut BusEvents) -> BusEvent {
    timeout(PATIENT, events.recv()).await.expect("nothing was heard")
}

/// The next message, after any number of gaps, and how many those were.
async fn message(events: &mut BusEvents) -> (BusMessage, usize) {
    for gaps in 0.. {
        if let BusEvent::Message(message) = next(events).await {
            return (message, gaps);
        }
    }
    unreachable!("it was heard or it panicked")
}

/// Publishes until it is heard: a bus that is live again may miss what comes before it is.
async fn publish(bus: &Bus, kind: u8, payload: &[u8]) {
    let published =
        wait_until(PATIENT, || async { bus.publish(kind, payload).await.is_ok() }).await;
    assert!(published, "could not be published");
}
