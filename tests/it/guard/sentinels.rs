//! Faults on the way to the sentinels themselves while they put another primary in place.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tower_keep_redis::{ConnectionState, ErrorClass};
use tower_keep_tests::{Flavor, Proxy, Sentinel, prompt_once, wait_until};

use super::{
    BACK, PATIENT, PROMISED, class, config, connected, incr, ms,
    relay::{Fate, Relay},
    works,
};

/// Time for what servers do among themselves.
const LONG: Duration = Duration::from_secs(100);
const SERVICE: &str = "mymaster";

/// What is done to connections that are made from now on. Those that are open go on, or the
/// sentinels would not hear of each other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Refused,
    /// Attempts to connect are dropped.
    Dropped,
    /// They are made, and nothing comes of what is sent.
    Silent,
}

/// The way of all to one sentinel.
struct Way {
    proxy: Proxy,
    relay: Relay,
}

impl Way {
    async fn to(port: u16) -> Self {
        let relay = Relay::start(port).await;
        Self { proxy: Proxy::start(relay.port()), relay }
    }

    fn harm(&self, harm: Harm) {
        match harm {
            Harm::Refused => self.proxy.refuse(),
            Harm::Dropped => self.proxy.swallow(),
            Harm::Silent => self.relay.doom_new(Fate::Swallowed),
        }
    }

    fn heal(&self) {
        self.relay.heal();
        self.proxy.accept();
    }
}

/// Has each sentinel known by its way, to clients and to the others.
async fn lead(sentinel: &Sentinel) -> Vec<Way> {
    let mut ways = Vec::new();
    for one in sentinel.sentinels() {
        let way = Way::to(one.port()).await;
        let port = way.proxy.port().to_string();
        let announce = ["SENTINEL", "CONFIG", "SET", "announce-port", &port];
        one.command(&announce).await.unwrap().ok().unwrap();
        ways.push(way);
    }
    let ports: Vec<_> = ways.iter().map(|way| way.proxy.port().to_string()).collect();
    for (index, one) in sentinel.sentinels().iter().enumerate() {
        let knows = || async {
            let others = one.command(&["SENTINEL", "SENTINELS", SERVICE]).await.unwrap();
            let told: Vec<_> = others.array().iter().filter_map(port_of).collect();
            let expected = ports.iter().enumerate().filter(|(other, _)| *other != index);
            told.len() == 2 && expected.into_iter().all(|(_, port)| told.contains(port))
        };
        assert!(wait_until(LONG, knows).await, "the ways were not announced");
    }
    assert!(sentinel.wait_ok(LONG).await);
    ways
}

/// The port in what `SENTINEL` lists: names and values in turn.
fn port_of(list: &tower_keep_tests::Value) -> Option<String> {
    list.array().chunks_exact(2).find(|pair| pair[0].text() == "port").map(|pair| pair[1].text())
}

/// The primary is killed while these sentinels cannot be asked. How soon its successor counts once
/// it is in place, or once it can be asked for, and how long a refusal took until then.
async fn failover(flavor: Flavor, harm: Harm, harmed: usize) -> (Duration, Duration) {
    let mut sentinel = Sentinel::start(flavor).await;
    let ways = lead(&sentinel).await;
    let mut url = sentinel.url();
    for (one, way) in sentinel.sentinels().iter().zip(&ways) {
        let (direct, led) = (format!(":{}", one.port()), format!(":{}", way.proxy.port()));
        url = url.replace(&direct, &led);
    }
    let first = connected(config(&url).with_timeout(PATIENT)).await;
    assert_eq!(incr(&first, "n").await.unwrap(), 1);
    drop(first);
    // Replicas have it a little later.
    for node in sentinel.nodes() {
        let counted = || async { node.command(&["GET", "n"]).await.unwrap().text() == "1" };
        assert!(wait_until(LONG, counted).await, "a replica does not have it");
    }
    let connection = connected(config(&url)).await;
    works(&connection).await;

    ways[..harmed].iter().for_each(|way| way.harm(harm));
    let old = sentinel.kill_primary().await;
    let new = sentinel.wait_until_failed_over(old, LONG).await.expect("no failover");
    let mut median = Duration::ZERO;
    if harmed == ways.len() {
        // As long as nobody can say who it is, nobody is asked, and nobody waits.
        sleep(ms(1500)).await;
        assert_eq!(connection.state(), ConnectionState::Down);
        let mut refusals = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::NotSent));
            refusals.push(begun.elapsed());
        }
        refusals.sort_unstable();
        median = refusals[50];
        assert!(median < ms(50), "{median:?}");
        ways.iter().for_each(Way::heal);
    }
    let begun = Instant::now();
    let counted = Cell::new(0);
    let is_back = wait_until(BACK, || async {
        let answer = incr(&connection, "n").await;
        counted.set(answer.as_ref().copied().unwrap_or(0));
        answer.is_ok()
    });
    assert!(is_back.await, "not back after {BACK:?}: {:?}", connection.health());
    let back = begun.elapsed();
    println!("{harmed} of 3 sentinels {harm:?}, {flavor}: counted again after {back:?}");
    let count = sentinel.nodes()[new].command(&["GET", "n"]).await.unwrap().text();
    assert_eq!(count, counted.get().to_string(), "counted elsewhere");
    assert!(counted.get() > 1, "it starts anew");
    (back, median)
}

async fn row(flavor: Flavor, harm: Harm, harmed: usize) {
    prompt_once(async || {
        let (back, refusal) = failover(flavor, harm, harmed).await;
        back < PROMISED && refusal < ms(1)
    })
    .await;
}

macro_rules! rows {
    ($($name:ident: $flavor:ident, $harm:ident, $harmed:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                row(Flavor::$flavor, Harm::$harm, $harmed).await;
            }
        )+
    };
}

rows! {
    all_refuse_during_a_failover: Redis, Refused, 3;
    all_are_gone_during_a_failover: Redis, Dropped, 3;
    all_are_silent_during_a_failover: Redis, Silent, 3;
    two_of_three_refuse_during_a_failover: Valkey, Refused, 2;
    two_of_three_are_gone_during_a_failover: Valkey, Dropped, 2;
    two_of_three_are_silent_during_a_failover: Valkey, Silent, 2;
}
