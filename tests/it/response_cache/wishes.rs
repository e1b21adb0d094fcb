//! What a request wants of the cache, while the store is away.

use http::StatusCode;

use super::*;

#[tokio::test]
async fn who_wants_only_what_is_stored_is_not_sent_on_while_the_store_is_away() {
    let mut server = Server::start(Flavor::Redis).await;
    let keep = keep(&server.url(), "100").await;
    let layer = layer(&keep, |builder| builder.store(|store| store.near(false)));
    let calls = Arc::new(AtomicUsize::new(0));
    let site = slow(&layer, &calls, "max-age=600");
    server.kill();
    let only = || {
        let mut request = request("/a");
        request.headers_mut().insert("cache-control", "only-if-cached".parse().unwrap());
        site.clone().oneshot(request)
    };
    let answer = only().await.unwrap();
    assert_eq!((answer.status(), calls.load(Ordering::SeqCst)), (StatusCode::GATEWAY_TIMEOUT, 0));
    // Anybody else is.
    let answer = site.clone().oneshot(request("/a")).await.unwrap();
    let status = answer.headers()["cache-status"].to_str().unwrap();
    assert_eq!((answer.status(), calls.load(Ordering::SeqCst)), (StatusCode::OK, 1), "{status}");
    assert!(status.contains("fwd=bypass"), "{status}");
}
