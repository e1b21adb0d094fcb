//! Slots on their way, and nodes that are not what they were.

use std::time::Duration;

use tokio::time::sleep;
use tower_keep_redis::{
    Connection, ConnectionState, ErrorClass, StoreError, fred::interfaces::ClientLike,
};
use tower_keep_tests::{Cluster, Flavor, wait_until};

use super::{INCR, PATIENT, class, config, connected, incr, ms};

/// A node believes that it imports a slot, from a migration that nobody finished. It would take
/// whatever is asked of it with `ASKING`, and nobody would find it there.
#[tokio::test]
async fn a_node_that_believes_it_imports_a_slot_is_asked_for_nothing() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
        let mut taken = Vec::new();
        for tenant in ["a", "b", "c", "d", "e", "f"] {
            let key = |number: i64| format!("k{number}:{{{tenant}}}");
            let slot = cluster.slot_of(&key(0)).await.unwrap();
            let from = cluster.owner_of_slot(slot).await.unwrap();
            let (to, stale) = ((from + 1) % 3, (from + 2) % 3);
            let (number, owner) = (slot.to_string(), cluster.node_id(from).await.unwrap());
            let believe = ["CLUSTER", "SETSLOT", &number, "IMPORTING", &owner];
            cluster.nodes()[stale].command(&believe).await.unwrap().ok().unwrap();
            let migration = cluster.begin_migration(slot, to).await.unwrap();
            for number in 0..4 {
                assert_eq!(incr(&connection, &key(number)).await.unwrap(), 1);
            }
            let counted = ["CLUSTER", "COUNTKEYSINSLOT", &number];
            for (node, expected) in [(from, 0), (to, 4), (stale, 0)] {
                let count = cluster.nodes()[node].command(&counted).await.unwrap().int();
                taken.push((tenant, count, expected));
            }
            cluster.finish_migration(migration).await.unwrap();
            assert_eq!(incr(&connection, &key(0)).await.unwrap(), 2);
        }
        assert!(taken.iter().all(|(_, count, expected)| count == expected), "{taken:?}");
    }
}

async fn both(connection: &Connection) -> Result<i64, StoreError> {
    let keys = vec!["one:{moving}".to_owned(), "two:{moving}".to_owned()];
    let answer = connection.run_script(&INCR, keys, Vec::new()).await?;
    Ok(answer.as_i64().unwrap())
}

/// Two rules of one tenant are two keys of one script. While they are apart it is refused, and
/// counts nothing; it is done as soon as they are together.
#[tokio::test]
async fn a_script_over_two_keys_is_refused_while_they_are_apart() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
        incr(&connection, "two:{moving}").await.unwrap();
        assert_eq!(both(&connection).await.unwrap(), 1);
        let slot = cluster.slot_of("one:{moving}").await.unwrap();
        let from = cluster.owner_of_slot(slot).await.unwrap();
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await.unwrap();
        assert_eq!(both(&connection).await.unwrap(), 2, "they are together still");
        assert!(cluster.move_key(migration, "one:{moving}").await.unwrap());
        for _ in 0..20 {
            let error = both(&connection).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Refused, "{error}");
            assert!(error.message().starts_with("TRYAGAIN"), "{error}");
        }
        assert_eq!(connection.state(), ConnectionState::Up);
        cluster.move_keys(migration).await.unwrap();
        assert_eq!(both(&connection).await.unwrap(), 3, "together again, at the new owner");
        cluster.finish_migration(migration).await.unwrap();
        assert_eq!(both(&connection).await.unwrap(), 4);
        assert_eq!(connection.health().openings, 0);
    }
}

/// The node that a slot is moving to is a replica from one moment to the next, and fred has no
/// connection to it any more: who asks for what has moved there is refused, and nobody else is
/// harmed.
#[tokio::test]
async fn a_target_that_has_vanished_harms_nobody() {
    let cluster = Cluster::start_with_replicas(Flavor::Redis, 3, 1, |node| node).await;
    let connection = connected(config(&cluster.url()).with_timeout(ms(2000))).await;
    let slot = cluster.slot_of("{moving}").await.unwrap();
    let from = cluster.owner_of_slot(slot).await.unwrap();
    let to = (from + 1) % 3;
    let _ = cluster.begin_migration(slot, to).await.unwrap();
    assert_eq!(incr(&connection, "before:{moving}").await.unwrap(), 1);

    let mut replica = None;
    for index in 3..6 {
        let role = cluster.nodes()[index].command(&["ROLE"]).await.unwrap();
        let of = role.array()[2].int() == i64::from(cluster.nodes()[to].port());
        replica = replica.or(of.then_some(index));
    }
    let replica = replica.expect("it has no replica");
    cluster.nodes()[replica].command(&["CLUSTER", "FAILOVER"]).await.unwrap().ok().unwrap();
    assert!(cluster.wait_until_failed_over(to, PATIENT).await);
    // A key of each node: those of the vanished one are where `MOVED` says.
    let mut others = Vec::new();
    for number in 0..60 {
        let key = format!("other:{{{number}}}");
        if cluster.slot_of(&key).await.unwrap() != slot {
            others.push(key);
        }
    }
    for key in &others {
        incr(&connection, key).await.unwrap();
    }
    let gone = cluster.nodes()[to].port();
    let active = || connection.client().active_connections();
    let dropped = || async { active().iter().all(|node| node.port != gone) };
    assert!(wait_until(PATIENT, dropped).await, "{:?}", active());
    let reconnects = connection.health().reconnects;
    for _ in 0..5 {
        for key in &others {
            let (moved, other) =
                tokio::join!(incr(&connection, "before:{moving}"), incr(&connection, key));
            assert_eq!(class(&moved), Some(ErrorClass::Refused), "{moved:?}");
            assert_eq!(class(&other), None, "{other:?}");
        }
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(connection.state(), ConnectionState::Up);
    let health = connection.health();
    assert_eq!((health.reconnects, health.openings), (reconnects, 0), "{health:?}");
}
