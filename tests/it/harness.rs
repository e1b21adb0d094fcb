//! The harness as the suites use it: the client library understands its addresses, and its counts
//! are the client's commands.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::{ClientLike, KeysInterface},
    types::{Builder, config::Config},
};
use tower_keep_tests::{Cluster, Flavor, Monitor, Server};

async fn client(url: &str) -> Client {
    let client = Builder::from_config(Config::from_url(url).unwrap()).build().unwrap();
    client.init().await.unwrap();
    client
}

/// Sets thirty keys and expects to have seen just that.
async fn thirty_are_thirty(client: &Client, monitor: &mut Monitor) {
    for key in (0..30).map(|number| format!("key:{number}")) {
        let () = client.set(key, "v", None, None, false).await.unwrap();
    }
    let lines = monitor.drain().await;
    let names: Vec<_> = lines.iter().map(tower_keep_tests::Line::name).collect();
    assert_eq!(names, ["SET"; 30]);
}

#[tokio::test]
async fn a_server_and_its_users_are_reached_by_url() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor)
            .password("p@ss:/%")
            .acl_user("app", "w0rd?#", "~* &* +@all")
            .start()
            .await;
        for url in [server.url(), server.url_as("app")] {
            let client = client(&url).await;
            let mut monitor = server.monitor().await;
            thirty_are_thirty(&client, &mut monitor).await;
            client.quit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_cluster_is_reached_by_url() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start_with(flavor, 3, |node| node.password("p@ss:/%")).await;
        let client = client(&cluster.url()).await;
        let mut monitor = cluster.monitor().await;
        thirty_are_thirty(&client, &mut monitor).await;
        client.quit().await.unwrap();
    }
}

#[tokio::test]
async fn any_plain_server_will_do() {
    let server = Server::external_or_start(Flavor::Redis).await;
    let client = client(&server.url()).await;
    let key = format!("harness:{}", std::process::id());
    let expiry = fred::types::Expiration::EX(60);
    let () = client.set(&key, "v", Some(expiry), None, false).await.unwrap();
    assert_eq!(server.command(&["GET", &key]).await.unwrap().text(), "v");
    server.command(&["DEL", &key]).await.unwrap().ok().unwrap();
    tokio::time::timeout(Duration::from_secs(5), client.quit()).await.unwrap().unwrap();
}
