//! While Redis is away, and once it is back.

use std::time::{Duration, Instant};

use tower_keep_tests::{Flavor, Server, free_port, prompt_once, wait_until};

use crate::program::App;

const PATIENT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn health_is_degraded_until_redis_is_back() {
    let mut server = Server::start(Flavor::Redis).await;
    let variables =
        [("REDIS_URL", &*server.url()), ("REDIS_TIMEOUT_MS", "1000"), ("RATE_LIMIT_MAX", "5")];
    let app = App::start(&variables).await;
    assert!(wait_until(PATIENT, || app.is("ok")).await, "{}", app.log());
    assert_eq!(app.statuses(6).await, [200, 200, 200, 200, 200, 429]);
    let mut outages = 0;
    prompt_once(async || {
        outages += 1;
        server.kill();
        assert!(wait_until(PATIENT, || app.is("degraded")).await, "{}", app.log());
        let health = app.get("/api/health").await;
        assert_eq!(health.status, 200);
        let health = health.json();
        assert_eq!(health["store"], "redis");
        let redis = &health["redis"];
        let told = (redis["state"].as_str(), redis["breaker"].as_str());
        assert_eq!(told, (Some("down"), Some("open")));
        assert!(redis["last_error"]["message"].is_string(), "{health}");
        if outages == 1 {
            // Meanwhile calls are counted in the process, from nothing.
            assert_eq!(app.statuses(6).await, [200, 200, 200, 200, 200, 429]);
        }

        server.restart().await;
        let begun = Instant::now();
        assert!(wait_until(PATIENT, || app.is("ok")).await, "not back: {}", app.log());
        let back = begun.elapsed();
        let redis = app.get("/api/health").await.json()["redis"].clone();
        let told = (redis["state"].as_str(), redis["breaker"].as_str());
        assert_eq!(told, (Some("up"), Some("closed")));
        assert_eq!(redis["breaker_openings"], outages, "{redis}");
        back < Duration::from_secs(1)
    })
    .await;
    let knows =
        || async { app.get("/api/health").await.json()["redis"]["server"]["version"].is_string() };
    assert!(wait_until(PATIENT, knows).await, "it never learns what server it is");
    // This server kept nothing.
    assert_eq!(app.statuses(6).await, [200, 200, 200, 200, 200, 429]);
}

#[tokio::test]
async fn it_starts_and_serves_without_redis() {
    let url = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let begun = Instant::now();
    let variables =
        [("REDIS_URL", &*url), ("RATE_LIMIT_MAX", "2"), ("REDIS_CONNECT_TIMEOUT_MS", "20000")];
    let app = App::start(&variables).await;
    let took = begun.elapsed();
    assert_eq!(app.health().await, ("degraded".into(), "redis".into()));
    assert_eq!(app.statuses(3).await, [200, 200, 429]);
    // It waits one second; one attempt to connect may take twenty.
    assert!(took < PATIENT, "{took:?}");
    assert!(app.log().contains("starting without Redis"), "{}", app.log());
    app.stop().await;
}

#[tokio::test]
async fn redis_may_come_after_the_program() {
    let mut server = Server::start(Flavor::Redis).await;
    server.kill();
    let app = App::on(&server.url()).await;
    assert_eq!(app.health().await, ("degraded".into(), "redis".into()));
    assert_eq!(app.statuses(1).await, [200]);
    server.restart().await;
    assert!(wait_until(PATIENT, || app.is("ok")).await, "{}", app.log());
    assert_eq!(app.statuses(100).await, [200; 100]);
    assert_eq!(app.statuses(1).await, [429]);
}
