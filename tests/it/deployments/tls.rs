//! TLS: with a CA of one's own, and with certificates on both sides.
//!
//! Debian's Redis has TLS. A server that was built without, as PyPI's Valkey is, says so.

use std::time::Instant;

use tower_keep::{ErrorClass, Keep, StoreError};
use tower_keep_tests::{Certificates, Cluster, Flavor, Sentinel, Server};

use super::{LONG, connected, keep, limits, text};

const CA: &str = "REDIS_TLS_CA_FILE";
const CERTIFICATE: &str = "REDIS_TLS_CERT_FILE";
const KEY: &str = "REDIS_TLS_KEY_FILE";

/// The flavours that were built with TLS; Redis must be.
async fn flavors() -> Vec<Flavor> {
    let mut able = vec![Flavor::Redis];
    if Flavor::Valkey.has_tls().await {
        able.push(Flavor::Valkey);
    } else {
        println!("Valkey: not shown, this server was built without TLS");
    }
    able
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
    for flavor in flavors().await {
        let (own, other) = (Certificates::generate(), Certificates::generate());
        let server = Server::builder(flavor).tls(&own).password("s3cret").start().await;
        let url = ("REDIS_URL", server.url());
        let url = (url.0, url.1.as_str());
        assert!(url.1.starts_with("rediss://"));
        let (ca, wrong) = (own.ca_file(), other.ca_file());
        limits(&connected(&[url, (CA, text(&ca))]).await, 1).await;
        let parts = [
            ("REDIS_HOST", "localhost"),
            ("REDIS_PORT", url.1.rsplit(':').next().unwrap()),
            ("REDIS_PASSWORD", "s3cret"),
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
    for flavor in flavors().await {
        let (own, other) = (Certificates::generate(), Certificates::generate());
        let server = Server::builder(flavor).mutual_tls(&own).start().await;
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
    for flavor in flavors().await {
        let own = Certificates::generate();
        let cluster = Cluster::start_with(flavor, 3, |node| node.tls(&own)).await;
        let (url, ca) = (cluster.url(), own.ca_file());
        assert!(url.starts_with("rediss-cluster://"));
        limits(&connected(&[("REDIS_URL", &url), (CA, text(&ca))]).await, 1).await;
    }
}

#[tokio::test]
async fn sentinels_over_tls() {
    for flavor in flavors().await {
        let own = Certificates::generate();
        let sentinel = Sentinel::start_with(flavor, 1, |node| node.tls(&own)).await;
        let (url, ca) = (sentinel.url(), own.ca_file());
        assert!(url.starts_with("rediss-sentinel://"));
        limits(&connected(&[("REDIS_URL", &url), (CA, text(&ca))]).await, 1).await;
    }
}
