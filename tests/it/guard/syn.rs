//! Attempts to connect that are dropped: no refusal, no answer, as behind a firewall or on a host
//! that is gone.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_keep_redis::{Bus, BusEvent, BusState, Connection, ConnectionState, ErrorClass};
use tower_keep_tests::{Cut, Flavor, Proxy, Server, prompt_once, wait_until};

use super::{
    DEADLINE, PATIENT, PROMISED, asked_until_down, back, class, config, connected, incr, ms, works,
};

/// The connection is reset, and its successor hangs, for a moment or for longer than the kernel
/// waits before it tries again.
#[tokio::test]
async fn a_reset_link_whose_successor_hangs_is_back_in_time() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let connection = connected(config(&proxy.url())).await;
        for hung in [300, 1500, 4500, 8000] {
            prompt_once(async || {
                let (back, prompt) = hang(&connection, &proxy, hung).await;
                println!("{flavor}, no attempt answered for {hung} ms: up after {back:?}");
                prompt && back < PROMISED
            })
            .await;
        }
    }
}

/// How soon it is back after its link was reset and no attempt was answered for so long, and
/// whether nobody was kept waiting meanwhile.
async fn hang(connection: &Connection, proxy: &Proxy, hung: u64) -> (Duration, bool) {
    works(connection).await;
    proxy.swallow();
    proxy.cut(Cut::Reset);
    let cut = Instant::now();
    let mut slowest = Duration::ZERO;
    while connection.state() == ConnectionState::Up {
        let begun = Instant::now();
        let _ = incr(connection, "n").await;
        slowest = slowest.max(begun.elapsed());
        assert!(cut.elapsed() < PATIENT, "the breaker did not open");
    }
    assert!(slowest < ms(2000), "{slowest:?}");
    let mut refusals = Vec::new();
    while cut.elapsed() < ms(hung) {
        let begun = Instant::now();
        assert_eq!(class(&incr(connection, "n").await), Some(ErrorClass::NotSent));
        refusals.push(begun.elapsed());
        sleep(ms(5)).await;
    }
    refusals.sort_unstable();
    let median = refusals.get(refusals.len() / 2).copied().unwrap_or_default();
    assert!(median < ms(50), "{median:?}");
    proxy.accept();
    (back(connection).await, slowest < DEADLINE + ms(200) && median < ms(1))
}

/// From the very start: it neither holds up the program nor is it given up.
#[tokio::test]
async fn a_first_attempt_that_is_dropped_is_made_anew() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        prompt_once(async || {
            proxy.swallow();
            let connection = Connection::connect(config(&proxy.url())).unwrap();
            sleep(ms(1500)).await;
            assert_ne!(connection.state(), ConnectionState::Up);
            let begun = Instant::now();
            assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::NotSent));
            let refused = begun.elapsed();
            assert!(refused < ms(2000), "{refused:?}");
            proxy.accept();
            let back = back(&connection).await;
            println!("{flavor}, no first attempt answered for 1.5 s: up after {back:?}");
            works(&connection).await;
            refused < ms(50) && back < PROMISED
        })
        .await;
    }
}

/// The server hangs with all its connections while its queue is full, and goes on.
#[tokio::test]
async fn a_stopped_server_behind_a_full_queue_is_back_in_time() {
    let mut server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let connection = connected(config(&proxy.url())).await;
    prompt_once(async || {
        works(&connection).await;
        server.pause();
        proxy.swallow();
        asked_until_down(&connection).await;
        sleep(ms(2000)).await;
        assert_eq!(connection.state(), ConnectionState::Down);
        proxy.accept();
        server.resume();
        let back = back(&connection).await;
        println!("stopped behind a full queue: up after {back:?}");
        back < PROMISED
    })
    .await;
}

/// The bus waits longer for a connection than commands do, and not for ever.
#[tokio::test]
async fn a_bus_whose_attempts_hang_is_live_again() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let connection = connected(config(&proxy.url())).await;
    let bus = Bus::new(&connection).unwrap();
    for hung in [300, 1500, 4500, 8000] {
        assert!(wait_until(PATIENT, || async { bus.state() == BusState::Live }).await);
        let mut events = bus.events();
        proxy.swallow();
        proxy.cut(Cut::Reset);
        sleep(ms(hung)).await;
        assert_eq!(events.recv().await, BusEvent::Gap);
        assert!(matches!(bus.state(), BusState::Lost { .. }), "{:?}", bus.state());
        proxy.accept();
        let begun = Instant::now();
        assert!(wait_until(PATIENT, || async { bus.state() == BusState::Live }).await);
        println!("no attempt answered for {hung} ms: the bus is live after {:?}", begun.elapsed());
    }
}
