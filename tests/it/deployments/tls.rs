//! TLS: with a CA of one's own, and with certificates on both sides.
//!
//! Debian's Redis has TLS. A server that was built without, as PyPI's Valkey is, has it put before
//! it: clients see no difference, and what servers say to each other is not what is tested here.

use std::time::Instant;

use tower_keep::{ErrorClass, Keep, StoreError};
use tower_keep_tests::{Certificates, Cluster, Flavor, Sentinel, Server, ServerBuilder, TlsFront};

use super::{LONG, connected, keep, limits, text};

const CA: &str = "REDIS_TLS_CA_FILE";
const CERTIFICATE: &str = "REDIS_TLS_CERT_FILE";
const KEY: &str = "REDIS_TLS_KEY_FILE";
const PASSWORD: &str = "s3cret";

/// A server that is reached with TLS only.
struct Secured {
    server: Server,
    front: Option<TlsFront>,
}

impl Secured {
    async fn start(flavor: Flavor, own: &Certificates, mutual: bool) -> Self {
        let builder = Server::builder(flavor).password(PASSWORD);
        if flavor.has_tls().await {
            let builder = if mutual { builder.mutual_tls(own) } else { builder.tls(own) };
            return Self { server: builder.start().await, front: None };
        }
        assert_eq!(flavor, Flavor::Valkey, "Debian's Redis has TLS");
        let server = builder.start().await;
        let front = TlsFront::start(server.port(), own, mutual).await;
        Self { server, front: Some(front) }
    }

    fn port(&self) -> u16 {
        self.front.as_ref().map_or(self.server.port(), TlsFront::port)
    }

    fn url(&self) -> String {
        format!("rediss://:{PASSWORD}@127.0.0.1:{}", self.port())
    }
}

/// Why the server is not trusted, or does not trust us; told without waiting for a miracle.
async fn refused(keep: Keep) -> StoreError {
    let begun = Instant::now();
    let error = keep.require_connection().await.unwrap_err();
    assert!(begun.elapsed() < LONG / 2, "it waited");
    assert_eq!(error.class(), ErrorClass::NotSent, "{error}");
    error
}

#[tokio::test]
async fn a_ca_of_ones_own() {
    for flavor in Flavor::ALL {
        let (own, other) = (Certificates::generate(), Certificates::generate());
        let server = Secured::start(flavor, &own, false).await;
        let (url, port) = (server.url(), server.port().to_string());
        let url = ("REDIS_URL", url.as_str());
        let (ca, wrong) = (own.ca_file(), other.ca_file());
        limits(&connected(&[url, (CA, text(&ca))]).await, 1).await;
        let parts = [
            ("REDIS_HOST", "localhost"),
            ("REDIS_PORT", &port),
            ("REDIS_PASSWORD", PASSWORD),
            ("REDIS_TLS", "true"),
            (CA, text(&ca)),
        ];
        limits(&connected(&parts).await, 2).await;

        for (stranger, who) in [(text(&wrong), "another CA"), ("", "the system's roots")] {
            let error = refused(keep(&[url, (CA, stranger)]).unwrap()).await;
            assert!(error.message().contains("is not trusted"), "{who}: {error}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate() {
    for flavor in Flavor::ALL {
        let (own, other) = (Certificates::generate(), Certificates::generate());
        let server = Secured::start(flavor, &own, true).await;
        let (ca, certificate, key) = (own.ca_file(), own.client_cert_file(), own.client_key_file());
        let url = server.url();
        let trusting = [("REDIS_URL", url.as_str()), (CA, text(&ca))];
        let with = |certificate, key| {
            keep(&[trusting[0], trusting[1], (CERTIFICATE, certificate), (KEY, key)])
        };
        let given = with(text(&certificate), text(&key)).unwrap();
        given.require_connection().await.unwrap();
        limits(&given, 1).await;

        let error = refused(keep(&trusting).unwrap()).await;
        assert!(error.message().contains("CertificateRequired"), "{error}");
        let stranger = (other.client_cert_file(), other.client_key_file());
        let error = refused(with(text(&stranger.0), text(&stranger.1)).unwrap()).await;
        assert!(error.message().contains("refuses us"), "{error}");

        // Somebody else's key is found out before anything is sent.
        let error = with(text(&certificate), text(&stranger.1)).unwrap_err();
        assert!(error.to_string().contains(KEY), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_over_tls() {
    for flavor in Flavor::ALL {
        let own = Certificates::generate();
        let able = flavor.has_tls().await;
        let options = |node: ServerBuilder| if able { node.tls(&own) } else { node };
        let cluster = Cluster::start_with(flavor, 3, options).await;
        let (mut url, mut fronts) = (cluster.url(), Vec::new());
        for (index, node) in cluster.nodes().iter().enumerate().filter(|_| !able) {
            let front = TlsFront::start(node.port(), &own, false).await;
            cluster.announce(index, front.port()).await.unwrap();
            let (plain, led) = (format!(":{}", node.port()), format!(":{}", front.port()));
            url = url.replace("redis-cluster", "rediss-cluster").replace(&plain, &led);
            fronts.push(front);
        }
        let ports: Vec<_> = fronts.iter().map(TlsFront::port).collect();
        assert!(cluster.wait_announced(&ports, LONG).await);
        assert!(url.starts_with("rediss-cluster://"));
        let ca = own.ca_file();
        limits(&connected(&[("REDIS_URL", &url), (CA, text(&ca))]).await, 1).await;
    }
}

/// Sentinels and nodes speak TLS to each other as well, so it takes servers that can.
#[tokio::test]
async fn sentinels_over_tls() {
    for flavor in Flavor::ALL {
        if !flavor.has_tls().await {
            assert_eq!(flavor, Flavor::Valkey, "Debian's Redis has TLS");
            println!("Valkey: not shown, this server was built without TLS");
            continue;
        }
        let own = Certificates::generate();
        let sentinel = Sentinel::start_with(flavor, 1, |node| node.tls(&own)).await;
        let (url, ca) = (sentinel.url(), own.ca_file());
        assert!(url.starts_with("rediss-sentinel://"));
        limits(&connected(&[("REDIS_URL", &url), (CA, text(&ca))]).await, 1).await;
    }
}
