//! Slots that move while they are used.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{task::JoinSet, time::sleep};
use tower_keep_redis::{
    Connection, ConnectionState,
    fred::prelude::{Builder, Config, ReconnectPolicy},
};
use tower_keep_tests::{Cluster, Flavor};

use super::{PATIENT, config, connected, incr, ms};

/// The whole choreography, under load: keys that have moved are found by `ASK`, those that have
/// not where they were, and once it is done `MOVED` tells. Each increment is done once.
#[tokio::test(flavor = "multi_thread")]
async fn ask_in_the_middle_of_a_migration_is_followed() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let connection = connected(config(&cluster.url()).with_timeout(PATIENT)).await;
        let keys: Vec<_> = (0..8).map(|index| format!("k{index}:{{moving}}")).collect();
        for key in &keys {
            assert_eq!(incr(&connection, key).await.unwrap(), 1);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for key in keys.clone() {
            let (connection, stop) = (connection.clone(), Arc::clone(&stop));
            callers.spawn(async move {
                let mut count = 1;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let answer = incr(&connection, &key).await;
                    assert_eq!(answer.as_ref().ok(), Some(&count), "{key}: {answer:?}");
                    sleep(ms(1)).await;
                }
                count
            });
        }
        let from = cluster.owner_of(&keys[0]).await.unwrap();
        let slot = cluster.slot_of(&keys[0]).await.unwrap();
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await.unwrap();
        for key in &keys[..4] {
            sleep(ms(20)).await;
            assert!(cluster.move_key(migration, key).await.unwrap());
        }
        sleep(ms(100)).await;
        // A key that is nowhere yet is asked for at the new owner.
        assert_eq!(incr(&connection, "new:{moving}").await.unwrap(), 1);
        cluster.move_keys(migration).await.unwrap();
        sleep(ms(50)).await;
        cluster.finish_migration(migration).await.unwrap();
        sleep(ms(200)).await;
        stop.store(true, Ordering::Relaxed);
        let counts = callers.join_all().await;
        println!("{flavor}: {} increments while the slot moved", counts.iter().sum::<i64>());
        assert_eq!(connection.state(), ConnectionState::Up);
        assert_eq!(connection.health().openings, 0);
        let got = connection.command("GET", Some("new:{moving}"), vec!["new:{moving}".into()]);
        assert_eq!(got.await.unwrap().as_i64(), Some(1));
    }
}

/// fred itself must not follow `ASK`: callers would get each other's answers.
#[tokio::test]
async fn a_client_of_the_programs_own_leaves_redirections_to_us() {
    let client = |redirections| {
        Builder::from_config(Config::from_url("redis-cluster://127.0.0.1:1").unwrap())
            .set_policy(ReconnectPolicy::default())
            .with_connection_config(|config| config.max_redirections = redirections)
            .build()
            .unwrap()
    };
    let refused = Connection::from_fred(client(5)).unwrap_err();
    assert!(refused.to_string().contains("max_redirections"), "{refused}");
    assert!(Connection::from_fred(client(0)).is_ok());
}
