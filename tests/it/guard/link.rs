//! The way to the server: slow, cut, half-open, and healed.

use std::time::Instant;

use tokio::time::sleep;
use tower_keep_redis::{ConnectionState, ErrorClass};
use tower_keep_tests::{Cut, Flavor, Proxy, Server, prompt_once};

use super::{
    DEADLINE, PROMISED, asked_until_down, back, class, config, connected, incr, ms, reaches, works,
};

#[tokio::test]
async fn a_slow_link_is_used_up_to_the_deadline_and_refused_beyond() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let connection = connected(config(&proxy.url()).with_timeout(ms(300))).await;
    proxy.delay(ms(40), ms(40));
    for _ in 0..10 {
        incr(&connection, "n").await.unwrap();
    }
    assert!(connection.health().latency.unwrap() >= ms(80));
    assert_eq!(connection.health().openings, 0);

    prompt_once(async || {
        // Beyond: each fails at its deadline until it is refused at once, and it is never thought
        // to be up because an answer came late.
        proxy.delay(ms(400), ms(400));
        let begun = Instant::now();
        let first = incr(&connection, "n").await;
        assert_eq!(class(&first), Some(ErrorClass::Unknown));
        let told = begun.elapsed();
        assert!((ms(290)..ms(2000)).contains(&told), "{told:?}");
        asked_until_down(&connection).await;
        assert!(!reaches(&connection, ConnectionState::Up, ms(2000)).await);
        proxy.heal();
        let back = back(&connection).await;
        println!("a slow link, healed: up after {back:?}");
        works(&connection).await;
        told < ms(600) && back < PROMISED
    })
    .await;
}

#[tokio::test]
async fn a_cut_link_is_made_anew() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let connection = connected(config(&proxy.url())).await;
    for how in [Cut::Reset, Cut::Close] {
        prompt_once(async || {
            works(&connection).await;
            let replaced = connection.health().replacements;
            proxy.refuse();
            proxy.cut(how);
            asked_until_down(&connection).await;
            sleep(ms(700)).await;
            let begun = Instant::now();
            assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::NotSent));
            let refused = begun.elapsed();
            assert!(refused < ms(2000), "{refused:?}");
            proxy.accept();
            let back = back(&connection).await;
            println!("cut by {how:?}: up after {back:?}");
            // fred manages this alone, if it is not kept from it.
            let alone = connection.health().replacements == replaced;
            alone && refused < ms(50) && back < PROMISED
        })
        .await;
    }
    assert!(connection.health().reconnects >= 2);
}

/// Nobody is told that the link is dead, and connections begun meanwhile are dead as well.
#[tokio::test]
async fn a_half_open_link_is_left_for_a_fresh_one() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let connection = connected(config(&proxy.url())).await;
    for dead in [300, 1500, 3500] {
        prompt_once(async || {
            works(&connection).await;
            proxy.half_open();
            let begun = Instant::now();
            assert_eq!(class(&incr(&connection, "n").await), Some(ErrorClass::Unknown));
            let told = begun.elapsed();
            assert!(told < ms(2000), "{told:?}");
            asked_until_down(&connection).await;
            sleep(ms(dead)).await;
            assert_eq!(connection.state(), ConnectionState::Down);
            proxy.heal();
            let back = back(&connection).await;
            println!("half-open for {dead} ms: up after {back:?}");
            told < DEADLINE + ms(200) && back < PROMISED
        })
        .await;
    }
}
