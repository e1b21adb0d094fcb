//! What processes that share a Redis tell each other of sessions that end.

use std::{sync::Arc, time::Duration};

use tower_keep_core::Revoked;
use tower_keep_redis::{Bus, BusState, Connection, RedisConfig, SharedBus};
use tower_keep_session::{RedisStore, RevocationEvent};
use tower_keep_tests::{Flavor, Server, wait_until};

use super::backend::{Backend, Ears, What};
use crate::limit_store::site::{Kind, Site};

const PATIENT: Duration = Duration::from_secs(20);

/// One process: a connection, its bus, a store, and somebody who listens there.
struct Process {
    backend: Backend,
    bus: Bus,
    ears: Ears,
}

impl Process {
    async fn start(config: RedisConfig) -> Self {
        let on = config.pubsub();
        let connection = Connection::connect(config.with_timeout(PATIENT)).unwrap();
        connection.require().await.unwrap();
        let bus = SharedBus::default().get(&connection, on).unwrap();
        let decided = || async { bus.state() != BusState::Connecting };
        assert!(wait_until(PATIENT, decided).await);
        let store = RedisStore::new(connection).announce_on(&bus).unwrap();
        let backend = Backend::new(Arc::new(store), None, "announced");
        Self { ears: backend.listen(), backend, bus }
    }

    /// What a new link tells first may still be under way.
    async fn live(config: RedisConfig) -> Self {
        let process = Self::start(config).await;
        let live = || async { process.bus.state() == BusState::Live };
        assert!(wait_until(PATIENT, live).await, "{:?}", process.bus.state());
        tokio::time::sleep(Duration::from_millis(100)).await;
        Self { ears: process.backend.listen(), ..process }
    }
}

#[tokio::test]
async fn every_process_hears_it_once_and_it_costs_no_command() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let (mut one, mut two) =
            (Process::live(site.config()).await, Process::live(site.config()).await);
        let user = one.backend.user();
        let two_caps = What::new().sessions(2);
        let mut ids = Vec::new();
        let mut monitor = site.monitor().await;
        for _ in 0..3 {
            ids.push(user.create(&two_caps).await);
            one.backend.wait(2).await;
        }
        for ears in [&mut one.ears, &mut two.ears] {
            ears.hear(&user, Revoked::One(ids[0].to_bytes())).await;
        }
        assert!(user.store.remove(user.place(ids[1])).await.unwrap());
        for ears in [&mut one.ears, &mut two.ears] {
            ears.hear(&user, Revoked::One(ids[1].to_bytes())).await;
        }
        user.create(&two_caps).await;
        assert_eq!(user.store.remove_others(user.place(ids[2])).await.unwrap(), 1);
        user.store.remove_all(user.key()).await.unwrap();
        assert!(!user.store.remove(user.place(ids[2])).await.unwrap());
        for ears in [&mut one.ears, &mut two.ears] {
            ears.hear(&user, Revoked::AllBut(ids[2].to_bytes())).await;
            ears.hear(&user, Revoked::All).await;
            ears.hear_nothing().await;
        }
        let sent = monitor.names().await;
        assert!(!sent.iter().any(|name| name == "PUBLISH"), "{sent:?}");
        assert_eq!((one.bus.ignored(), two.bus.ignored()), (0, 0));
    }
}

/// Switched off, forbidden to listen, forbidden to publish: this process tells itself.
#[tokio::test]
async fn without_a_bus_this_process_is_told() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor)
            .acl_user("deaf", "s3cret", "~* &* +@all -subscribe")
            .acl_user("mute", "s3cret", "~* &* +@all -publish")
            .acl_user("neither", "s3cret", "~* resetchannels +@all")
            .start()
            .await;
        let off = RedisConfig::from_url(&server.url()).unwrap().with_pubsub(false);
        let users = ["deaf", "mute", "neither"];
        let others = users.map(|user| RedisConfig::from_url(&server.url_as(user)).unwrap());
        for config in [off].into_iter().chain(others) {
            let mut process = Process::start(config).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            process.ears = process.backend.listen();
            let user = process.backend.user();
            let what = What::new().sessions(1);
            let (evicted, id) = (user.create(&what).await, user.create(&what).await);
            process.ears.hear(&user, Revoked::One(evicted.to_bytes())).await;
            assert!(user.store.remove(user.place(id)).await.unwrap());
            process.ears.hear(&user, Revoked::One(id.to_bytes())).await;
            process.ears.hear_nothing().await;
        }
    }
}

#[tokio::test]
async fn what_may_have_been_missed_is_told() {
    let server = Server::start(Flavor::Valkey).await;
    let config = RedisConfig::from_url(&server.url()).unwrap();
    let mut process = Process::live(config).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap().ok().unwrap();
    assert_eq!(process.ears.next().await, RevocationEvent::Gap);
    assert_eq!(process.ears.next().await, RevocationEvent::Gap);
    // Of the right kind, and not readable: a later version's.
    process.bus.publish(tower_keep_core::key::BUS_SESSIONS, b"?").await.unwrap();
    assert_eq!(process.ears.next().await, RevocationEvent::Gap);
    process.bus.publish(77, b"?").await.unwrap();
    process.ears.hear_nothing().await;
}

#[tokio::test]
async fn who_listens_for_a_store_ends_with_it() {
    let server = Server::start(Flavor::Redis).await;
    let connection = Connection::connect(RedisConfig::from_url(&server.url()).unwrap()).unwrap();
    connection.require().await.unwrap();
    let shared = SharedBus::default();
    let bus = shared.get(&connection, true).unwrap();
    let store = RedisStore::new(connection.clone()).announce_on(&bus).unwrap();
    drop(bus);
    let copy = store.clone();
    drop(store);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(shared.state().is_some(), "a copy is left");
    drop(copy);
    assert!(wait_until(PATIENT, || async { shared.state().is_none() }).await);
}
