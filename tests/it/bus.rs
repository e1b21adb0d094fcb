//! The bus between processes: who hears what, and who is told that something may be missing.

mod gaps;
pub(crate) mod log;
mod off;
mod shared;

use std::time::{Duration, Instant};

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

/// What another sends is heard again; how many gaps there were before. While servers change their
/// roles a bus may be lost more than once, and what was sent meanwhile with it: each time that is told.
async fn heard_again(from: &Bus, events: &mut BusEvents) -> usize {
    let started = Instant::now();
    let (mut gaps, mut since_gap) = (0, None);
    for number in 0..=u8::MAX {
        assert!(started.elapsed() < PATIENT, "nothing was heard");
        if from.publish(1, &[number]).await.is_ok() {
            since_gap.get_or_insert(number);
        }
        match timeout(Duration::from_millis(250), events.recv()).await {
            Ok(BusEvent::Message(heard)) => {
                let first = since_gap.unwrap_or(number);
                assert!(heard.payload[0] <= first, "{first} was lost, and nobody was told");
                return gaps;
            }
            Ok(BusEvent::Gap) => (gaps, since_gap) = (gaps + 1, None),
            Err(_) => {}
        }
    }
    panic!("nothing was heard");
}

/// Publishes until it is taken: a bus that is live again may not be everywhere yet.
async fn publish(bus: &Bus, kind: u8, payload: &[u8]) {
    let published =
        wait_until(PATIENT, || async { bus.publish(kind, payload).await.is_ok() }).await;
    assert!(published, "could not be published");
}
