//! Slots on their way, and nodes that are not what they were.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{join, task::JoinSet, time::sleep};
use tower_keep_redis::{
    Connection, ConnectionState, ErrorClass, StoreError, fred::interfaces::ClientLike,
};
use tower_keep_tests::{Cluster, Cut, Flavor, Proxy, wait_until};

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

/// Keys that are apart only for a moment are waited for.
#[tokio::test]
async fn a_script_over_two_keys_waits_until_they_are_together() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
        for key in ["one:{moving}", "two:{moving}"] {
            incr(&connection, key).await.unwrap();
        }
        let slot = cluster.slot_of("one:{moving}").await.unwrap();
        let from = cluster.owner_of_slot(slot).await.unwrap();
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await.unwrap();
        assert!(cluster.move_key(migration, "one:{moving}").await.unwrap());
        let join_them = async {
            sleep(ms(30)).await;
            cluster.move_keys(migration).await.unwrap();
        };
        let (together, ()) = join!(both(&connection), join_them);
        assert_eq!(together.unwrap(), 2, "{flavor}");
        cluster.finish_migration(migration).await.unwrap();
    }
}

/// The owner of a slot that moves is lost again and again for a moment, and whoever is asked in
/// its place says `MOVED`. That is not taken for the owner's `ASK`: no key that it still has is
/// made a second time where the slot is moving to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_says_moved_is_not_taken_for_the_owner() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let slot = cluster.slot_of("{moving}").await.unwrap();
        let from = cluster.owner_of_slot(slot).await.unwrap();
        let to = (from + 1) % 3;
        let stay: Vec<_> = (0..16).map(|number| format!("stays:{number}:{{moving}}")).collect();
        for key in &stay {
            cluster.nodes()[from].command(&["SET", key, "1"]).await.unwrap().ok().unwrap();
        }
        let _ = cluster.begin_migration(slot, to).await.unwrap();
        let links: Vec<_> = cluster.nodes().iter().map(|node| Proxy::start(node.port())).collect();
        let ports: Vec<_> = links.iter().map(Proxy::port).collect();
        for (node, port) in ports.iter().enumerate() {
            cluster.announce(node, *port).await.unwrap();
        }
        assert!(cluster.wait_announced(&ports, PATIENT * 10).await);
        let connection =
            connected(config(&links[0].url().replace("redis:", "redis-cluster:"))).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (mut callers, mut tallies) = (JoinSet::new(), Vec::new());
        // This one has moved: it tells us where to.
        for key in stay.iter().map(String::as_str).chain(["moved:{moving}"]) {
            let (connection, stop, key) = (connection.clone(), Arc::clone(&stop), key.to_owned());
            let told = Arc::new(AtomicI64::new(0));
            tallies.push(Arc::clone(&told));
            callers.spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(answer) = incr(&connection, &key).await {
                        count = answer;
                        told.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(ms(1)).await;
                }
                (key, count, told.load(Ordering::Relaxed))
            });
        }
        // On a busy machine few get through between two cuts.
        let enough = |told: &Arc<AtomicI64>| told.load(Ordering::Relaxed) > 20;
        for round in 0.. {
            sleep(ms(40)).await;
            links[from].cut(Cut::Reset);
            if round >= 60 && tallies.iter().all(enough) {
                break;
            }
            assert!(round < 1000, "{flavor}: somebody is never answered");
        }
        sleep(ms(200)).await;
        stop.store(true, Ordering::Relaxed);
        let callers = callers.join_all().await;
        let keys = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"];
        let there = cluster.nodes()[to].command(&keys).await.unwrap();
        let there: Vec<_> = there.array().iter().map(|key| key.text()).collect();
        assert_eq!(there, ["moved:{moving}"], "{flavor}: made a second time");
        for (key, count, told) in callers {
            assert!(told > 20 && count >= told, "{flavor}, {key}: {count}, answered {told}");
        }
    }
}

/// The node that a slot is moving to is a replica from one moment to the next, and fred has no
/// connection to it any more: who asks for what has moved there is refused, and nobody else is
/// harmed.
#[tokio::test]
async fn a_target_that_has_vanished_harms_nobody() {
    let cluster = Cluster::start_with_replicas(Flavor::Redis, 3, 1, |node| node).await;
    let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
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
    // A key of each node: those of the vanished one are where `MOVED` says.
    let mut others = BTreeMap::new();
    for number in 0.. {
        let key = format!("other:{{{number}}}");
        if cluster.slot_of(&key).await.unwrap() != slot {
            others.insert(cluster.owner_of(&key).await.unwrap(), key);
        }
        if others.len() == 3 {
            break;
        }
    }
    // A vote that a busy machine is late for comes to nothing: it must be asked for again.
    let mut failed_over = false;
    for _ in 0..5 {
        let ask = ["CLUSTER", "FAILOVER"];
        let _ = cluster.nodes()[replica].command(&ask).await.unwrap();
        failed_over = cluster.wait_until_failed_over(to, Duration::from_secs(6)).await;
        if failed_over {
            break;
        }
    }
    assert!(failed_over, "no replica takes its place");
    for key in others.values() {
        incr(&connection, key).await.unwrap();
    }
    let gone = cluster.nodes()[to].port();
    let active = || connection.client().active_connections();
    let dropped = || async { active().iter().all(|node| node.port != gone) };
    assert!(wait_until(PATIENT, dropped).await, "{:?}", active());
    let reconnects = connection.health().reconnects;
    for _ in 0..3 {
        for key in others.values() {
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
