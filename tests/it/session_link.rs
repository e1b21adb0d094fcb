//! How long a session makes a request wait on a slow link.
//!
//! The link is measured beside it, by a command sent through the same connection by hand: the proxy
//! holds back a little longer than it was told, and the client needs its own time on a busy machine.
//! The proxy's clock has ticks of a millisecond, so that a tenth can only be told apart on a link
//! that is longer than 5 ms; on that one it is proven that the wait is not twice the link.

use std::{sync::Arc, time::Duration};

use fred::prelude::KeysInterface as _;
use tokio::{task::yield_now, time::Instant};
use tower_keep::{Connection, RedisConfig, UserId};
use tower_keep_session::{RedisStore, Session, SessionLayer};
use tower_keep_tests::{Flavor, Monitor, Proxy, Server};

use crate::session::{SECRET, browser::Browser};

/// There and back; how often it is tried, of which the quickest counts, since what is slower waited
/// for a busy machine; and how many tenths of it a read may take.
const LINKS: [(Duration, u64, u32); 2] =
    [(Duration::from_millis(5), 40, 19), (Duration::from_millis(50), 10, 11)];
const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_read_waits_for_the_link_once_and_no_read_does_not_wait() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let config = RedisConfig::from_url(&proxy.url()).unwrap().with_timeout(PATIENT);
        let connection = Connection::connect(config).unwrap();
        connection.require().await.unwrap();
        let store = Arc::new(RedisStore::new(connection.clone()));
        let layer = SessionLayer::builder().store(store).secrets([SECRET]).build().unwrap();
        let mut client = Browser::of("acme");
        let login = async |session: Session| {
            session.login(&UserId::new("42").unwrap()).unwrap();
            session.set("count", &7).unwrap();
        };
        client.visit(&layer, login).await;
        let by_hand = connection.client();
        let mut monitor = Monitor::over([&server]).await;
        for (told, tries, tenths) in LINKS {
            proxy.delay(Duration::ZERO, told);
            let (mut link, mut untouched, mut one, mut three) = Default::default();
            for number in 0..tries {
                // Each begins elsewhere between two ticks.
                let begin = || pass(Duration::from_micros(number * 370 % 1000));
                begin().await;
                keep_least(&mut link, by_hand.get::<Option<String>, _>("nothing")).await;
                begin().await;
                keep_least(&mut untouched, client.visit(&layer, async |_| ())).await;
                assert_eq!(commands(&mut monitor).await, 0);
                begin().await;
                keep_least(&mut one, client.visit(&layer, read)).await;
                assert_eq!(commands(&mut monitor).await, 1);
                let thrice = async |session: Session| {
                    for _ in 0..3 {
                        read(session.clone()).await;
                    }
                };
                begin().await;
                keep_least(&mut three, client.visit(&layer, thrice)).await;
                assert_eq!(commands(&mut monitor).await, 1);
            }
            let [link, untouched, one, three] =
                [link, untouched, one, three].map(|least: Option<Duration>| least.unwrap());
            println!(
                "{flavor}: link {link:?}; untouched {untouched:?}, read {one:?}, three {three:?}"
            );
            assert!(link >= told, "{flavor}: {link:?}");
            let most = link * tenths / 10;
            assert!(untouched < link / 10, "{flavor}: {untouched:?}");
            assert!((told..=most).contains(&one), "{flavor}: {one:?} over {link:?}");
            assert!((told..=most).contains(&three), "{flavor}: {three:?} over {link:?}");
        }
    }
}

/// Waits for less than a sleep can tell apart.
async fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        yield_now().await;
    }
}

/// One value.
async fn read(session: Session) {
    assert_eq!(session.get::<u64>("count").await.unwrap(), Some(7));
}

/// How many commands were sent for requests.
async fn commands(monitor: &mut Monitor) -> usize {
    let lines = monitor.drain().await;
    lines.iter().filter(|line| ["HGET", "EVALSHA", "EVAL"].contains(&line.name().as_str())).count()
}

/// Keeps the time that it takes, if it is the least so far.
async fn keep_least<T>(least: &mut Option<Duration>, work: impl Future<Output = T>) {
    let began = Instant::now();
    work.await;
    let time = began.elapsed();
    *least = Some(least.map_or(time, |least| least.min(time)));
}
