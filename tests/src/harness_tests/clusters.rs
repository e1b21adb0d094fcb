//! Three nodes.

use std::time::Duration;

use crate::{Cluster, Flavor};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_cluster_of_redis_answers_on_all_nodes() {
    answers_on_all_nodes(Flavor::Redis).await;
}

#[tokio::test]
async fn a_cluster_of_valkey_answers_on_all_nodes() {
    answers_on_all_nodes(Flavor::Valkey).await;
}

async fn answers_on_all_nodes(flavor: Flavor) {
    let cluster = Cluster::start(flavor, 3).await;
    let ports: Vec<_> = cluster.nodes().iter().map(|node| node.port().to_string()).collect();
    let (first, more) =
        (&ports[0], format!("node=127.0.0.1:{}&node=127.0.0.1:{}", ports[1], ports[2]));
    assert_eq!(cluster.url(), format!("redis-cluster://127.0.0.1:{first}?{more}"));

    let mut held = [0; 3];
    for key in (0..60).map(|number| format!("key:{number}")) {
        cluster.command(&["SET", &key, "v"]).await.unwrap().ok().unwrap();
        assert_eq!(cluster.command(&["GET", &key]).await.unwrap().text(), "v");
        held[cluster.owner_of(&key).await.unwrap()] += 1;
    }
    for (node, held) in cluster.nodes().iter().zip(held) {
        assert!(held > 0, "60 keys fall on all nodes");
        assert_eq!(node.command(&["DBSIZE"]).await.unwrap().int(), held);
    }
}

#[tokio::test]
async fn a_monitor_sums_the_nodes() {
    let cluster = Cluster::start_with(Flavor::Redis, 3, |node| node.password("s")).await;
    assert!(cluster.url().starts_with("redis-cluster://:s@127.0.0.1:"));
    let mut monitor = cluster.monitor().await;
    cluster.command(&["SET", "unseen", "v"]).await.unwrap().ok().unwrap();
    for key in (0..30).map(|number| format!("key:{number}")) {
        let owner = &cluster.nodes()[cluster.owner_of(&key).await.unwrap()];
        let mut client = owner.connect().await.unwrap();
        client.command(&["SET", &key, "v"]).await.unwrap().ok().unwrap();
    }
    let sent = monitor.drain().await;
    assert_eq!(sent.len(), 30);
    for (number, line) in sent.iter().enumerate() {
        assert_eq!(line.to_string(), format!("SET key:{number} v"), "in the order of sending");
    }
}

#[tokio::test]
async fn a_node_can_be_lost_and_come_back() {
    let mut cluster = Cluster::start(Flavor::Valkey, 3).await;
    let id = cluster.node_id(0).await.unwrap();
    cluster.node_mut(0).kill();
    assert!(!cluster.wait_ok(Duration::from_millis(100)).await);
    cluster.node_mut(0).restart().await;
    assert!(cluster.wait_ok(LONG).await);
    assert_eq!(cluster.node_id(0).await.unwrap(), id, "the same node as before");
}

#[tokio::test]
async fn a_slot_on_the_move_is_followed() {
    let cluster = Cluster::start(Flavor::Redis, 3).await;
    let key = "moving";
    let (from, slot) = (cluster.owner_of(key).await.unwrap(), cluster.slot_of(key).await.unwrap());
    let (to, slot) = ((from + 1) % 3, slot.to_string());
    let ids = [cluster.node_id(from).await.unwrap(), cluster.node_id(to).await.unwrap()];
    let set = async |node: usize, state: &str, id: &str| {
        let command = ["CLUSTER", "SETSLOT", &slot, state, id];
        cluster.nodes()[node].command(&command).await.unwrap().ok().unwrap();
    };
    set(to, "IMPORTING", &ids[0]).await;
    set(from, "MIGRATING", &ids[1]).await;
    // The key is not there yet, so the old owner says ASK.
    cluster.command(&["SET", key, "v"]).await.unwrap().ok().unwrap();
    assert_eq!(cluster.nodes()[to].command(&["DBSIZE"]).await.unwrap().int(), 1);
    set(to, "NODE", &ids[1]).await;
    set(from, "NODE", &ids[1]).await;
    assert_eq!(cluster.command(&["GET", key]).await.unwrap().text(), "v");
}
