//! Clients that go away before their answer is there.

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use tokio::time::{sleep, timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::RedisConfig;
use tower_keep_redis::Connection;
use tower_keep_session::{Session, SessionLayer};
use tower_keep_tests::{Flavor, Proxy, Server, wait_until};

use super::{builder, log_in, user, who};
use crate::session::browser::Browser;

const PATIENT: Duration = Duration::from_secs(20);
/// How long a command is on its way to the server.
const WAY: Duration = Duration::from_secs(1);

/// A server behind a link, and a client who is logged in there.
async fn stage(flavor: Flavor) -> (Server, Proxy, SessionLayer, Browser) {
    let server = Server::start(flavor).await;
    let proxy = Proxy::start(server.port());
    let config = RedisConfig::from_url(&proxy.url()).unwrap().with_timeout(PATIENT);
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let layer = builder(&connection).build().unwrap();
    let mut browser = Browser::of("acme");
    browser.visit(&layer, log_in).await;
    (server, proxy, layer, browser)
}

/// Drops a request when its handler has been done for a tenth of the way.
async fn dropped_while_saving(layer: &SessionLayer, browser: &Browser, act: fn(&Session)) {
    let answered = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&answered);
    let service = layer.layer(service_fn(move |request: Request<()>| {
        act(Session::of(request.extensions()).unwrap());
        told.store(true, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(())) }
    }));
    let answer = timeout(WAY / 10, service.oneshot(browser.request())).await;
    assert!(answer.is_err(), "it was saved sooner than the link is");
    assert!(answered.load(Ordering::SeqCst));
}

async fn n_of(layer: &SessionLayer, browser: &Browser) -> Option<u64> {
    let n = async |session: Session| session.get("n").await.unwrap();
    browser.clone().visit(layer, n).await.value.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_saved_is_saved_although_the_client_has_gone() {
    for flavor in Flavor::ALL {
        let (_server, proxy, layer, browser) = stage(flavor).await;
        proxy.delay(WAY, Duration::ZERO);
        dropped_while_saving(&layer, &browser, |session| session.set("n", &1).unwrap()).await;
        let saved = wait_until(PATIENT, || async { n_of(&layer, &browser).await == Some(1) });
        assert!(saved.await, "{flavor}: it was lost");
        dropped_while_saving(&layer, &browser, Session::logout).await;
        let over = wait_until(PATIENT, || async {
            browser.clone().visit(&layer, who).await.value == Some(None)
        });
        assert!(over.await, "{flavor}: it was not logged out");
    }
}

/// A login is a read, a write and a removal one after the other: all three, or the visitor's session
/// would be left beside the user's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_seen_through_to_its_last_command() {
    let (server, proxy, layer, _) = stage(Flavor::Redis).await;
    let mut browser = Browser::of("acme");
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    proxy.delay(WAY, Duration::ZERO);
    dropped_while_saving(&layer, &browser, |session| session.login(&user("u2")).unwrap()).await;
    let moved = wait_until(PATIENT, || async {
        let keys = server.command(&["KEYS", "session:*"]).await.unwrap();
        let mut users = Vec::new();
        for key in keys.array().iter().map(tower_keep_tests::Value::text) {
            // Of the visitor's a mark is left.
            let life = server.command(&["PTTL", &key]).await.unwrap().int();
            if life > 60_000 {
                users.push(key);
            }
        }
        users.sort();
        users == ["session:acme:u1", "session:acme:u2"]
    });
    assert!(moved.await, "it was left halfway");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_is_dropped_has_written_nothing() {
    let (server, _proxy, layer, browser) = stage(Flavor::Redis).await;
    let mut monitor = server.monitor().await;
    for act in [
        (|session| session.set("n", &1).unwrap()) as fn(&Session),
        |session| session.login(&user("u2")).unwrap(),
        |session| session.rotate().unwrap(),
        Session::logout,
    ] {
        let service = layer.layer(service_fn(move |request: Request<()>| {
            act(Session::of(request.extensions()).unwrap());
            pending::<Result<Response<()>, Infallible>>()
        }));
        let mut request = Box::pin(service.oneshot(browser.request()));
        let answer = timeout(Duration::from_millis(20), pin!(&mut request)).await;
        assert!(answer.is_err());
        drop(request);
    }
    sleep(Duration::from_millis(100)).await;
    let sent = monitor.names().await;
    assert!(sent.iter().all(|name| name == "PING"), "{sent:?}");
    assert_eq!(n_of(&layer, &browser).await, None);
    assert_eq!(browser.clone().visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
}
