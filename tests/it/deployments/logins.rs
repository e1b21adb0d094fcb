//! Who may come in.

use std::time::Instant;

use tower_keep::ErrorClass;
use tower_keep_tests::{Flavor, Sentinel, Server};

use super::{LONG, connected, keep, limits};

#[tokio::test]
async fn a_wrong_password_is_named_at_once() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).password("right").start().await;
        limits(&connected(&[("REDIS_URL", &server.url())]).await, 1).await;
        let begun = Instant::now();
        for (password, words) in [("wrong", "WRONGPASS"), ("", "NOAUTH")] {
            let url = format!("redis://:{password}@127.0.0.1:{}", server.port());
            let error = keep(&[("REDIS_URL", &url)]).unwrap().require_connection().await;
            let error = error.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Refused, "{error}");
            assert!(error.message().starts_with(words), "{error}");
        }
        assert!(begun.elapsed() < LONG / 2, "it waited for a password to become right");
    }
}

/// The primary's password and the sentinels' are told apart.
#[tokio::test]
async fn sentinels_want_a_password_of_their_own() {
    let sentinel = Sentinel::start_with(Flavor::Redis, 1, |node| node.password("s3cret")).await;
    let url = sentinel.url();
    limits(&connected(&[("REDIS_URL", &url)]).await, 1).await;

    let (bare, _) = url.split_once("&sentinelPassword=").unwrap();
    let variables = [("REDIS_URL", bare), ("REDIS_SENTINEL_PASSWORD", "s3cret")];
    limits(&connected(&variables).await, 2).await;

    let wrong = url.replacen("s3cret", "wrong", 1);
    let error = keep(&[("REDIS_URL", &wrong)]).unwrap().require_connection().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused, "{error}");
    assert!(error.message().starts_with("WRONGPASS"), "{error}");

    let error = keep(&[("REDIS_URL", bare)]).unwrap().require_connection().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused, "{error}");
    assert!(error.message().starts_with("NOAUTH"), "{error}");

    // All that is known of a sentinel that refuses us is that it was no use.
    let quick = ("REDIS_CONNECT_TIMEOUT_MS", "500");
    let other = [("REDIS_URL", bare), ("REDIS_SENTINEL_PASSWORD", "wrong"), quick];
    let error = keep(&other).unwrap().require_connection().await.unwrap_err();
    assert!(error.message().contains("REDIS_SENTINEL_PASSWORD"), "{error}");
    assert!(!error.message().contains("wrong"), "{error}");
}
