//! Sentinels that put a replica in a primary's place.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::{ClientLike, KeysInterface},
    types::{Builder, config::Config},
};

use crate::{Certificates, Cut, Flavor, Proxy, Sentinel, wait_until};

/// Sentinels that feel interrupted keep still for half a minute.
const LONG: Duration = Duration::from_secs(60);

async fn fails_over(flavor: Flavor) {
    let mut sentinel = Sentinel::start(flavor).await;
    assert_eq!((sentinel.nodes().len(), sentinel.sentinels().len()), (2, 3));
    let ports: Vec<_> = sentinel.sentinels().iter().map(crate::Server::port).collect();
    let nodes = format!("node=127.0.0.1:{}&node=127.0.0.1:{}", ports[1], ports[2]);
    let wanted =
        format!("redis-sentinel://127.0.0.1:{}?{nodes}&sentinelServiceName=mymaster", ports[0]);
    assert_eq!(sentinel.url(), wanted);
    assert_eq!(sentinel.primary().await.unwrap(), 0);
    assert_eq!(sentinel.wait_until_failed_over(0, Duration::from_millis(50)).await, None);

    sentinel.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    let copied = || async {
        sentinel.nodes()[1].command(&["GET", "k"]).await.is_ok_and(|got| !got.is_nil())
    };
    assert!(wait_until(LONG, copied).await, "the replica follows");
    let refused = sentinel.nodes()[1].command(&["SET", "k", "w"]).await.unwrap().text();
    assert!(refused.starts_with("READONLY"), "{refused}");

    assert_eq!(sentinel.kill_primary().await, 0);
    assert_eq!(sentinel.wait_until_failed_over(0, LONG).await, Some(1));
    assert_eq!(sentinel.primary().await.unwrap(), 1);
    assert_eq!(sentinel.command(&["GET", "k"]).await.unwrap().text(), "v");
    sentinel.command(&["SET", "k", "w"]).await.unwrap().ok().unwrap();

    sentinel.node_mut(0).restart().await;
    assert!(sentinel.wait_ok(LONG).await, "the old primary is a replica now");
    assert_eq!(sentinel.primary().await.unwrap(), 1, "and the new one has stayed");
    assert_eq!(sentinel.nodes()[0].command(&["GET", "k"]).await.unwrap().text(), "w");
}

#[tokio::test]
async fn sentinels_of_redis_fail_over() {
    fails_over(Flavor::Redis).await;
}

#[tokio::test]
async fn sentinels_of_valkey_fail_over() {
    fails_over(Flavor::Valkey).await;
}

#[tokio::test]
async fn the_client_library_follows_with_a_password() {
    let mut sentinel =
        Sentinel::start_with(Flavor::Redis, 2, |node| node.password("p@ss:\"/ %")).await;
    let client: Client =
        Builder::from_config(Config::from_url(&sentinel.url()).unwrap()).build().unwrap();
    client.init().await.unwrap();
    let () = client.set("k", "v", None, None, false).await.unwrap();
    assert_eq!(sentinel.command(&["GET", "k"]).await.unwrap().text(), "v");
    client.quit().await.unwrap();

    sentinel.sentinel_mut(0).kill();
    assert_eq!(sentinel.primary().await.unwrap(), 0, "the others know it as well");
    let old = sentinel.kill_primary().await;
    let new = sentinel.wait_until_failed_over(old, LONG).await.expect("two sentinels are enough");
    assert_ne!(new, old);
    let client = Builder::from_config(Config::from_url(&sentinel.url()).unwrap()).build().unwrap();
    client.init().await.unwrap();
    let () = client.set("k", "w", None, None, false).await.unwrap();
    assert_eq!(sentinel.nodes()[new].command(&["GET", "k"]).await.unwrap().text(), "w");
    client.quit().await.unwrap();
}

#[tokio::test]
async fn all_of_it_can_speak_tls() {
    let certificates = Certificates::generate();
    let mut sentinel =
        Sentinel::start_with(Flavor::Redis, 1, |node| node.mutual_tls(&certificates)).await;
    assert!(sentinel.url().starts_with("rediss-sentinel://127.0.0.1:"), "{}", sentinel.url());
    let old = sentinel.kill_primary().await;
    assert_eq!(sentinel.wait_until_failed_over(old, LONG).await, Some(1 - old));
}

#[tokio::test]
async fn a_paused_primary_is_replaced_too() {
    let mut sentinel = Sentinel::start(Flavor::Valkey).await;
    sentinel.node_mut(0).pause();
    assert_eq!(sentinel.wait_until_failed_over(0, LONG).await, Some(1));
    sentinel.node_mut(0).resume();
    assert!(sentinel.wait_ok(LONG).await, "it has learnt that it is a replica");
}

/// Whoever is led is led through the links, also after a failover and a restart.
#[tokio::test]
async fn sentinels_can_lead_through_links() {
    for flavor in Flavor::ALL {
        let mut links = Vec::new();
        let lead = async |port| {
            let link = Proxy::start(port);
            let port = link.port();
            links.push(link);
            port
        };
        let patience = Duration::from_secs(3);
        let mut sentinel = Sentinel::start_led(flavor, patience, lead).await;
        assert_eq!(sentinel.primary().await.unwrap(), 0);
        assert!(links.iter().all(|link| link.open_connections() > 0), "somebody goes around one");

        // Shorter than their patience.
        links[0].refuse();
        links[0].cut(Cut::Reset);
        tokio::time::sleep(Duration::from_secs(1)).await;
        links[0].heal();
        assert_eq!(sentinel.wait_until_failed_over(0, patience).await, None);
        assert!(sentinel.wait_ok(LONG).await);

        // Longer, and the server itself is well: in the end it is a replica.
        links[0].refuse();
        links[0].cut(Cut::Reset);
        assert_eq!(sentinel.wait_until_failed_over(0, LONG).await, Some(1));
        links[0].heal();
        assert!(sentinel.wait_ok(LONG).await, "the old primary is a replica now");

        sentinel.node_mut(1).kill();
        assert_eq!(sentinel.wait_until_failed_over(1, LONG).await, Some(0));
        sentinel.restart(1).await;
        assert!(sentinel.wait_ok(LONG).await, "it is known by its link again");
        let client: Client =
            Builder::from_config(Config::from_url(&sentinel.url()).unwrap()).build().unwrap();
        client.init().await.unwrap();
        let through = links[0].bytes_from_clients();
        let () = client.set("k", "x".repeat(1 << 20), None, None, false).await.unwrap();
        assert!(links[0].bytes_from_clients() >= through + (1 << 20), "it went around the link");
        client.quit().await.unwrap();
    }
}
