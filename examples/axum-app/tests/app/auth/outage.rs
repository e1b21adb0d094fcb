//! Sessions while Redis is away, and once it is back.

use std::time::{Duration, Instant};

use serde_json::json;
use tower_keep_tests::{Flavor, Server, wait_until};

use super::{Client, USER, login, try_login};
use crate::program::App;

const PATIENT: Duration = Duration::from_secs(10);

/// One request asks Redis twice at most: for its limit, and for its session.
const DEADLINE: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_secs(1);

async fn start(server: &Server) -> App {
    let app = App::start(&[("REDIS_URL", &server.url()), ("REDIS_TIMEOUT_MS", "500")]).await;
    assert!(wait_until(PATIENT, || app.is("ok")).await, "{}", app.log());
    app
}

/// Nobody is told that they are nobody, and no cookie is touched.
async fn is_503(app: &App, client: &Client) {
    for _ in 0..3 {
        let begun = Instant::now();
        let reply = client.me(app).await;
        let took = begun.elapsed();
        reply.problem(503);
        assert_eq!((reply.header("retry-after"), reply.header("set-cookie")), ("1", ""));
        assert!(took < 2 * DEADLINE + SLACK, "{took:?}");
    }
    let reply = try_login(app, &json!({ "email": USER, "password": "password" })).await;
    reply.problem(503);
    assert_eq!(reply.header("set-cookie"), "");
    assert!(!String::from_utf8_lossy(&reply.body).contains("token"));
    assert_eq!(app.statuses(1).await, [200], "who needs no session notices nothing");
}

#[tokio::test]
async fn who_was_signed_in_still_is_once_redis_answers_again() {
    let mut server = Server::start(Flavor::Redis).await;
    let app = start(&server).await;
    let (browser, program) = login(&app, USER).await;
    server.pause();
    for client in [&browser, &program] {
        is_503(&app, client).await;
    }
    assert_eq!(Client::NOBODY.is(&app).await, 401, "who shows nothing is nobody without a look");
    server.resume();
    assert!(wait_until(PATIENT, async || browser.is(&app).await == 200).await, "{}", app.log());
    assert_eq!(program.is(&app).await, 200);
}

#[tokio::test]
async fn sessions_end_with_a_redis_that_keeps_nothing() {
    let mut server = Server::start(Flavor::Redis).await;
    let app = start(&server).await;
    let (browser, _) = login(&app, USER).await;
    server.kill();
    is_503(&app, &browser).await;
    server.restart().await;
    assert!(wait_until(PATIENT, async || browser.is(&app).await == 401).await, "{}", app.log());
    let (again, _) = login(&app, USER).await;
    assert_eq!(again.is(&app).await, 200);
}
