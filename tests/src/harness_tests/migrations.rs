//! Slots on the move, and replicas that take over.

use std::time::Duration;

use crate::{Cluster, Flavor, Resp, Value};

const LONG: Duration = Duration::from_secs(30);
/// In one slot, whatever it is.
const KEYS: [&str; 3] = ["{tag}:a", "{tag}:b", "{tag}:c"];

/// What a client hears that asks this node, without following.
async fn asks(cluster: &Cluster, node: usize, key: &str) -> Value {
    cluster.nodes()[node].command(&["GET", key]).await.unwrap()
}

/// The kind of redirection and where it leads: `("ASK", 2)`.
fn sent(cluster: &Cluster, answer: &Value) -> (String, usize) {
    let Value::Error(text) = answer else { panic!("no redirection: {answer:?}") };
    let port = text.rsplit_once(':').unwrap().1;
    let node = cluster.nodes().iter().position(|node| node.port().to_string() == port).unwrap();
    (text.split(' ').next().unwrap().to_owned(), node)
}

async fn moves_in_steps(flavor: Flavor) {
    let cluster = Cluster::start_with(flavor, 3, |node| node.password("s")).await;
    let [here, there, absent] = KEYS;
    let slot = cluster.slot_of(here).await.unwrap();
    for key in [here, there] {
        cluster.command(&["SET", key, "v"]).await.unwrap().ok().unwrap();
    }
    let from = cluster.owner_of(here).await.unwrap();
    let (to, other) = ((from + 1) % 3, (from + 2) % 3);

    let migration = cluster.begin_migration(slot, to).await.unwrap();
    assert_eq!((migration.slot, migration.from, migration.to), (slot, from, to));
    assert!(cluster.move_key(migration, there).await.unwrap());
    assert!(!cluster.move_key(migration, there).await.unwrap(), "it is gone already");
    assert_eq!(asks(&cluster, from, here).await.text(), "v", "not moved yet");
    for key in [there, absent] {
        assert_eq!(sent(&cluster, &asks(&cluster, from, key).await), ("ASK".into(), to), "{key}");
        assert_eq!(sent(&cluster, &asks(&cluster, to, key).await), ("MOVED".into(), from));
    }
    let mut asking: Resp = cluster.nodes()[to].connect().await.unwrap();
    asking.command(&["ASKING"]).await.unwrap().ok().unwrap();
    assert_eq!(asking.command(&["GET", there]).await.unwrap().text(), "v");
    assert_eq!(cluster.command(&["GET", there]).await.unwrap().text(), "v", "ASK is followed");
    assert_eq!(cluster.owner_of_slot(slot).await.unwrap(), from, "until the end");

    assert_eq!(cluster.move_keys(migration).await.unwrap(), 1);
    cluster.finish_migration(migration).await.unwrap();
    for node in [from, other] {
        assert_eq!(sent(&cluster, &asks(&cluster, node, here).await), ("MOVED".into(), to));
    }
    for key in [here, there] {
        assert_eq!(asks(&cluster, to, key).await.text(), "v");
    }
    assert!(asks(&cluster, to, absent).await.is_nil());
    assert_eq!(cluster.owner_of_slot(slot).await.unwrap(), to);
    assert!(cluster.wait_ok(LONG).await, "all slots are still served");
}

#[tokio::test]
async fn a_slot_of_redis_moves_in_steps() {
    moves_in_steps(Flavor::Redis).await;
}

#[tokio::test]
async fn a_slot_of_valkey_moves_in_steps() {
    moves_in_steps(Flavor::Valkey).await;
}

#[tokio::test]
async fn a_slot_moves_to_and_fro_with_all_its_keys() {
    let cluster = Cluster::start(Flavor::Redis, 2).await;
    let slot = cluster.slot_of("{tag}").await.unwrap();
    let home = cluster.owner_of_slot(slot).await.unwrap();
    for number in 0..250 {
        cluster.command(&["SET", &format!("{{tag}}:{number}"), "v"]).await.unwrap().ok().unwrap();
    }
    for to in [1 - home, home] {
        cluster.migrate_slot(slot, to).await.unwrap();
        assert_eq!(cluster.nodes()[to].command(&["DBSIZE"]).await.unwrap().int(), 250);
        assert_eq!(cluster.nodes()[1 - to].command(&["DBSIZE"]).await.unwrap().int(), 0);
    }
    assert!(cluster.migrate_slot(slot, home).await.is_err(), "it is there already");
    let migration = cluster.begin_migration(slot, 1 - home).await.unwrap();
    let error = cluster.finish_migration(migration).await.unwrap_err().to_string();
    assert!(error.contains("250 keys"), "nothing is left behind: {error}");
    assert_eq!(cluster.nodes()[home].command(&["DBSIZE"]).await.unwrap().int(), 250);
}

async fn fails_over(flavor: Flavor) {
    let node = |node: crate::ServerBuilder| node.password("s");
    let mut cluster = Cluster::start_with_replicas(flavor, 3, 1, node).await;
    assert_eq!(cluster.nodes().len(), 6);
    cluster.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    let old = cluster.owner_of("k").await.unwrap();
    assert!(old < 3, "the primaries come first");
    let mut held = cluster.nodes()[old].connect().await.unwrap();
    assert_eq!(held.command(&["WAIT", "1", "10000"]).await.unwrap().int(), 1);
    assert!(!cluster.wait_until_failed_over(old, Duration::from_millis(50)).await, "not yet");

    cluster.node_mut(old).kill();
    assert!(cluster.wait_until_failed_over(old, LONG).await);
    let new = cluster.owner_of("k").await.unwrap();
    assert_eq!(new, old + 3, "its replica");
    assert_eq!(cluster.command(&["GET", "k"]).await.unwrap().text(), "v");
    cluster.node_mut(old).restart().await;
    assert!(cluster.wait_ok(LONG).await, "the old primary is a replica now");
    assert_eq!(sent(&cluster, &asks(&cluster, old, "k").await), ("MOVED".into(), new));
}

#[tokio::test]
async fn a_replica_in_a_cluster_of_redis_takes_over() {
    fails_over(Flavor::Redis).await;
}

#[tokio::test]
async fn a_replica_in_a_cluster_of_valkey_takes_over() {
    fails_over(Flavor::Valkey).await;
}
