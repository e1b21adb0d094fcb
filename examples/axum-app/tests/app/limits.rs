//! How many calls pass: in memory, on Redis, over processes and restarts.

use tower_keep_tests::{Flavor, Server};

use crate::program::{App, LIMITED};

/// The guide's test.
async fn of_105_calls_100_pass(app: &App) {
    let statuses = app.statuses(105).await;
    assert_eq!(statuses[..100], [200; 100]);
    assert_eq!(statuses[100..], [429; 5]);
    let denied = app.get(LIMITED).await;
    assert_eq!(denied.problem(429)["violated-policies"], serde_json::json!(["default"]));
    assert!((1..=900).contains(&denied.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(denied.header("ratelimit-policy"), r#""default";q=100;w=900"#);
    assert!(denied.header("ratelimit").starts_with(r#""default";r=0;t="#));
    assert_eq!(denied.header("x-ratelimit-limit"), "100");
    assert_eq!(denied.header("x-ratelimit-remaining"), "0");
}

/// Whatever was counted before: these two always answer.
async fn page_and_health_are_never_limited(app: &App) {
    for path in ["/", "/api/health"] {
        for _ in 0..110 {
            let reply = app.get(path).await;
            assert_eq!((reply.status.as_u16(), reply.header("ratelimit")), (200, ""), "{path}");
        }
    }
    assert!(app.get("/").await.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn in_memory() {
    let app = App::start(&[]).await;
    assert_eq!(app.health().await, ("ok".into(), "memory".into()));
    of_105_calls_100_pass(&app).await;
    page_and_health_are_never_limited(&app).await;
    app.stop().await;
    let app = App::start(&[]).await;
    assert_eq!(app.statuses(1).await, [200], "memory ends with the process");
}

#[tokio::test]
async fn on_redis() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let app = App::connected(&server.url()).await;
        assert_eq!(app.health().await, ("ok".into(), "redis".into()));
        of_105_calls_100_pass(&app).await;
        page_and_health_are_never_limited(&app).await;
        assert_eq!(app.health().await, ("ok".into(), "redis".into()));
    }
}

#[tokio::test]
async fn two_processes_on_one_redis_count_together() {
    let server = Server::start(Flavor::Redis).await;
    let (one, other) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    assert_eq!(one.statuses(60).await, [200; 60]);
    let statuses = other.statuses(45).await;
    assert_eq!(statuses[..40], [200; 40]);
    assert_eq!(statuses[40..], [429; 5]);
    assert_eq!(one.statuses(1).await, [429]);
}

#[tokio::test]
async fn redis_keeps_the_count_over_a_restart() {
    let server = Server::start(Flavor::Redis).await;
    let app = App::connected(&server.url()).await;
    assert_eq!(app.statuses(60).await, [200; 60]);
    app.stop().await;
    let app = App::connected(&server.url()).await;
    let statuses = app.statuses(45).await;
    assert_eq!(statuses[..40], [200; 40]);
    assert_eq!(statuses[40..], [429; 5]);
}

#[tokio::test]
async fn the_environment_sets_limit_and_window() {
    let app = App::start(&[("RATE_LIMIT_MAX", "2"), ("RATE_LIMIT_WINDOW", "3600")]).await;
    assert_eq!(app.statuses(3).await, [200, 200, 429]);
    assert_eq!(app.get(LIMITED).await.header("ratelimit-policy"), r#""default";q=2;w=3600"#);
}

#[tokio::test]
async fn forwarded_addresses_count_apart_behind_a_trusted_proxy_only() {
    let tell = async |header: &str, prefix: &str, variables: &[(&str, &str)]| {
        let app = App::start(&[&[("RATE_LIMIT_MAX", "1")], variables].concat()).await;
        let mut statuses = Vec::new();
        for client in ["203.0.113.1", "203.0.113.2", "203.0.113.1"] {
            let request = app.request(LIMITED).header(header, format!("{prefix}{client}"));
            statuses.push(app.ask(request).await.status.as_u16());
        }
        statuses
    };
    let trusted = ("TRUSTED_PROXIES", "127.0.0.0/8");
    let by_forwarded = ("TRUSTED_PROXY_HEADER", "forwarded");
    for (header, prefix, variables, apart) in [
        ("x-forwarded-for", "", &[][..], false),
        ("x-forwarded-for", "", &[trusted], true),
        ("x-forwarded-for", "", &[trusted, by_forwarded], false),
        ("forwarded", "for=", &[trusted], false),
        ("forwarded", "for=", &[trusted, by_forwarded], true),
    ] {
        let expected = if apart { [200, 200, 429] } else { [200, 429, 429] };
        assert_eq!(tell(header, prefix, variables).await, expected, "{header} {variables:?}");
    }
}
