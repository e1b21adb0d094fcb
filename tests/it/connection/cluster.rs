//! Three nodes.

use tokio::time::sleep;
use tower_keep_redis::{ConnectionState, ErrorClass};
use tower_keep_tests::{Cluster, Flavor, prompt_once};

use super::{DEADLINE, INCR, PROMISED, class, config, connected, incr, known, ms, sent, works};

#[tokio::test]
async fn a_cluster_is_used_whole() {
    let cluster = Cluster::start(Flavor::Redis, 3).await;
    let connection = connected(config(&cluster.url())).await;
    assert!(connection.is_clustered());
    let mut monitor = cluster.monitor().await;
    for tenant in 0..60 {
        // Two keys of one script, on one node by their tag.
        let keys = vec![format!("a:{{t{tenant}}}"), format!("b:{{t{tenant}}}")];
        let answer = connection.run_script(&INCR, keys, Vec::new()).await.unwrap();
        assert_eq!(answer.as_i64(), Some(1));
        let key = format!("a:{{t{tenant}}}");
        let got = connection.command("GET", Some(&key), vec![key.as_str().into()]).await.unwrap();
        assert_eq!(got.as_i64(), Some(1));
    }
    // Each goes to its node straight; the three `EVAL` follow the first `EVALSHA` of each node.
    assert_eq!(sent(&mut monitor).await.len(), 60 * 2 + 3);
    let mut sizes = Vec::new();
    for node in cluster.nodes() {
        sizes.push(node.command(&["DBSIZE"]).await.unwrap().int());
    }
    assert_eq!(sizes.iter().sum::<i64>(), 60);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");

    let apart = vec!["a".to_owned(), "b".to_owned()];
    let error = connection.run_script(&INCR, apart, Vec::new()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    assert!(error.message().starts_with("CROSSSLOT"), "{error}");
}

/// fred's table of slots is out of date: the command follows `MOVED`, and is done once.
#[tokio::test]
async fn a_moved_slot_is_followed() {
    let cluster = Cluster::start(Flavor::Redis, 3).await;
    let connection = connected(config(&cluster.url())).await;
    let from = cluster.owner_of("moving").await.unwrap();
    let to = (from + 1) % 3;
    let slot = cluster.slot_of("moving").await.unwrap();
    cluster.migrate_slot(slot, to).await.unwrap();
    assert_eq!(incr(&connection, "moving").await.unwrap(), 1);
    assert_eq!(incr(&connection, "moving").await.unwrap(), 2);
    assert_eq!(connection.state(), ConnectionState::Up);
}

#[tokio::test]
async fn a_cluster_is_down_until_every_node_answers() {
    let mut cluster = Cluster::start(Flavor::Redis, 3).await;
    let connection = connected(config(&cluster.url()).with_timeout(DEADLINE)).await;
    let hung = cluster.owner_of("warm").await.unwrap();
    prompt_once(async || {
        works(&connection).await;
        cluster.node_mut(hung).pause();
        assert_eq!(class(&incr(&connection, "warm").await), Some(ErrorClass::Unknown));
        // One is enough for every node to be asked: others' successes must not hide the hung one.
        let noticed = known(&connection, false).await;
        for _ in 0..50 {
            assert_eq!(connection.state(), ConnectionState::Down);
            sleep(ms(10)).await;
        }
        cluster.node_mut(hung).resume();
        let back = known(&connection, true).await;
        works(&connection).await;
        noticed.max(back) < PROMISED
    })
    .await;
}
