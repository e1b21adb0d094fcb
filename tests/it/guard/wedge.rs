//! Clients that are stuck are replaced; those of the program itself are not.

use tokio::{runtime::Handle, time::sleep};
use tower_keep_redis::{
    Connection, ConnectionState, ErrorClass,
    fred::prelude::{Builder, ClientLike, Config, ReconnectPolicy},
};
use tower_keep_tests::{Flavor, Proxy, Server, prompt_once, wait_until};

use super::{
    PROMISED, asked_until_down, back, config, connected, flood, incr, ms, reaches,
    relay::{Fate, Relay},
    works,
};

/// fred's only task is stuck writing to a socket that nobody reads, and will be for ever. It says
/// that it is connected.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_stuck_on_a_full_socket_is_replaced() {
    for flavor in Flavor::ALL {
        prompt_once(async || {
            let server = Server::start(flavor).await;
            let relay = Relay::start(server.port()).await;
            let connection = connected(config(&relay.url())).await;
            works(&connection).await;
            let stuck = connection.client();
            relay.doom_open(Fate::Stalled);
            // Those that come when it is known already are not sent.
            let classes: Vec<_> = flood(&connection).await.iter().map(super::class).collect();
            let stuck_in_it = classes.contains(&Some(ErrorClass::Unknown));
            assert!(stuck_in_it && !classes.contains(&None), "{classes:?}");
            asked_until_down(&connection).await;
            assert!(stuck.is_connected(), "fred knows: the test does not test what it says");
            let back = back(&connection).await;
            println!("{flavor}: stuck on a full socket, replaced and up after {back:?}");
            let replacements = connection.health().replacements;
            assert!(replacements >= 1, "{:?}", connection.health());
            assert_ne!(connection.client().id(), stuck.id());
            // Its task is gone, and what is said to it from now on goes nowhere.
            assert!(stuck.ping::<()>(None).await.is_err());
            works(&connection).await;
            let asked = server.command(&["EXISTS", "n"]).await.unwrap().int();
            assert_eq!(asked, 0, "what was given up was carried out");
            replacements == 1 && back < PROMISED
        })
        .await;
    }
}

/// The same socket, and it is read again: the client in use goes on, nothing is replaced without
/// need, and what was given up in its queue is not carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_link_that_goes_on_is_used_again() {
    prompt_once(async || {
        let server = Server::start(Flavor::Redis).await;
        let proxy = Proxy::start(server.port());
        let connection = connected(config(&proxy.url())).await;
        works(&connection).await;
        proxy.stall_reads();
        flood(&connection).await;
        asked_until_down(&connection).await;
        let known = incr(&connection, "m").await.unwrap_err();
        assert_eq!(known.class(), ErrorClass::NotSent);
        sleep(ms(1500)).await;
        assert_eq!(connection.state(), ConnectionState::Down);
        proxy.heal();
        let back = back(&connection).await;
        println!("a stalled link that is read again: up after {back:?}");
        // Behind all that was to be sent before.
        works(&connection).await;
        let refused = server.command(&["EXISTS", "m"]).await.unwrap().int();
        assert_eq!(refused, 0, "some of it was carried out later");
        back < PROMISED
    })
    .await;
}

/// fred gives up for good when it is told to, and on what it takes for a fault of its settings.
#[tokio::test]
async fn a_client_that_has_ended_is_replaced() {
    let server = Server::start(Flavor::Redis).await;
    prompt_once(async || {
        let connection = connected(config(&server.url())).await;
        works(&connection).await;
        // The second time it is not replaced at once: what ends again and again is not tried as
        // often.
        let mut first = None;
        for times in 1..=2 {
            connection.client().quit().await.unwrap();
            asked_until_down(&connection).await;
            let back = back(&connection).await;
            println!("ended and replaced: up after {back:?}");
            assert_eq!(connection.health().replacements, times);
            first.get_or_insert(back);
        }
        works(&connection).await;
        first < Some(PROMISED)
    })
    .await;
}

/// A cluster's client ends at a server that is none. It is tried again, and not too often.
#[tokio::test]
async fn what_cannot_be_is_not_tried_too_often() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let url = proxy.url().replace("redis://", "redis-cluster://");
    let connection = Connection::connect(config(&url)).unwrap();
    let error = connection.require().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused, "{error}");
    sleep(ms(4000)).await;
    let accepted = proxy.accepted();
    println!("{accepted} connections in 4 s to a server that is no cluster");
    // Three times two spares, and each looks twice.
    assert!((3..=16).contains(&accepted), "{accepted}");
    let tasks = Handle::current().metrics().num_alive_tasks();
    assert!(tasks < 12, "{tasks} tasks");
}

/// The program's own client is never replaced: it stays down for as long as it is stuck.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_programs_own_stays_stuck() {
    let server = Server::start(Flavor::Redis).await;
    let relay = Relay::start(server.port()).await;
    let client = Builder::from_config(Config::from_url(&relay.url()).unwrap())
        .set_policy(ReconnectPolicy::default())
        .build()
        .unwrap();
    let task = client.init().await.unwrap();
    let connection = Connection::from_fred(client.clone()).unwrap();
    relay.doom_open(Fate::Stalled);
    flood(&connection).await;
    asked_until_down(&connection).await;
    assert!(!reaches(&connection, ConnectionState::Up, ms(2500)).await);
    let health = connection.health();
    assert_eq!((health.replacements, health.openings), (0, 1));
    assert_eq!(connection.client().id(), client.id());
    task.abort();
}

/// A handshake that hangs is not waited for: neither at the start nor later.
#[tokio::test]
async fn a_hung_handshake_does_not_hold_it_up() {
    let server = Server::start(Flavor::Redis).await;
    prompt_once(async || {
        let relay = Relay::start(server.port()).await;
        relay.doom_all(Fate::Swallowed);
        let connection = Connection::connect(config(&relay.url())).unwrap();
        sleep(ms(1500)).await;
        assert_eq!(connection.state(), ConnectionState::Connecting);
        relay.heal();
        let first = back(&connection).await;
        println!("hung at the start: up after {first:?}");
        works(&connection).await;

        relay.doom_all(Fate::Swallowed);
        asked_until_down(&connection).await;
        sleep(ms(1500)).await;
        assert!(wait_until(ms(100), || async { !connection.is_available() }).await);
        relay.heal();
        let later = back(&connection).await;
        println!("hung later: up after {later:?}");
        works(&connection).await;
        first.max(later) < PROMISED
    })
    .await;
}
