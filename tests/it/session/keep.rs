//! Sessions as a `Keep` hands them out.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{Config, CreationLimit, Keep, PeerAddr, Session, SessionLayer, UserId};
use tower_keep_rate_limit::MemoryStore;
use tower_keep_session::{CookieOptions, SameSite};
use tower_keep_tests::{Flavor, Server};

use super::{SECRET, Stage, browser::Browser};

fn config(variables: &[(&str, &str)]) -> Config {
    let find = |name: &str| variables.iter().find(|(found, _)| *found == name);
    Config::from_lookup(|name| find(name).map(|(_, value)| value.into())).unwrap()
}

async fn set_n(session: Session) {
    session.set("n", &1).unwrap();
}

async fn get_n(session: Session) -> Option<u8> {
    session.get("n").await.unwrap()
}

/// What a new visitor at this address gets who writes to a session, and how long they have to wait.
async fn begin(layer: &SessionLayer, last: u8, user: Option<&str>) -> (StatusCode, Option<u64>) {
    let service = layer.layer(service_fn(async |request: http::Request<()>| {
        let session = Session::of(request.extensions()).unwrap();
        match user {
            Some(user) => session.login(&UserId::new(user).unwrap()).unwrap(),
            None => session.set("n", &1).unwrap(),
        }
        Ok::<_, std::convert::Infallible>(http::Response::new(()))
    }));
    let mut request = Browser::of("acme").request();
    request.extensions_mut().insert(PeerAddr(([192, 0, 2, last], 4711).into()));
    let answer = service.oneshot(request).await.unwrap();
    let wait = answer.headers().get("retry-after");
    (answer.status(), wait.map(|wait| wait.to_str().unwrap().parse().unwrap()))
}

#[tokio::test]
async fn an_address_begins_so_many_sessions_and_others_and_logins_are_not_held_up() {
    let stage = Stage::new();
    let counters = Arc::new(MemoryStore::new().with_clock(stage.clock.clone()));
    let minute = Duration::from_secs(60);
    let limit = CreationLimit::new("new-session", 2, minute, counters).unwrap();
    let layer = stage.builder().admission(Arc::new(limit)).build().unwrap();
    for _ in 0..2 {
        assert_eq!(begin(&layer, 1, None).await, (StatusCode::OK, None));
    }
    let (status, wait) = begin(&layer, 1, None).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(stage.store.len(), 2, "nothing was made");
    assert_eq!(begin(&layer, 2, None).await.0, StatusCode::OK);
    assert_eq!(begin(&layer, 1, Some("u1")).await.0, StatusCode::OK, "a login");
    stage.wait(wait.unwrap());
    assert_eq!(begin(&layer, 1, None).await.0, StatusCode::OK, "waiting was enough");
}

/// A token whose session has ended takes no other's place, however often it is shown.
#[tokio::test]
async fn an_old_token_is_no_way_around_the_bound() {
    let stage = Stage::new();
    for rotates in [false, true] {
        let counters = Arc::new(MemoryStore::new().with_clock(stage.clock.clone()));
        let limit =
            CreationLimit::new("new-session", 2, Duration::from_secs(60), counters).unwrap();
        let layer = stage.builder().admission(Arc::new(limit)).build().unwrap();
        let visit = async |cookie: Option<String>| {
            let service = layer.layer(service_fn(async |request: http::Request<()>| {
                let session = Session::of(request.extensions()).unwrap();
                match request.headers().contains_key("cookie") {
                    true if rotates => session.rotate().unwrap(),
                    true => session.logout(),
                    false => {}
                }
                session.set("n", &1).unwrap();
                Ok::<_, std::convert::Infallible>(http::Response::new(()))
            }));
            let mut request = Browser { cookie, ..Browser::of("acme") }.request();
            request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4711).into()));
            let answer = service.oneshot(request).await.unwrap();
            let mut browser = Browser::default();
            browser.keep(answer.headers());
            (answer.status(), browser.cookie)
        };
        let (status, first) = visit(None).await;
        assert_eq!(status, StatusCode::OK);
        // One that is there makes room for the next.
        let (mut live, mut made) = (first.clone(), Vec::new());
        for _ in 0..5 {
            let (status, next) = visit(live).await;
            made.push(status);
            live = next;
        }
        assert_eq!(made, [StatusCode::OK; 5], "rotates: {rotates}");
        // The first one's mark is no more.
        stage.wait(61);
        let (mut kept, before) = (0, stage.store.len());
        for _ in 0..10 {
            kept += usize::from(visit(first.clone()).await.0 == StatusCode::OK);
        }
        assert_eq!((kept, stage.store.len() - before), (2, 2), "rotates: {rotates}");
    }
}

#[tokio::test]
async fn a_keeps_layers_share_sessions_and_bound_what_one_address_begins() {
    let keep = Keep::new(config(&[("SESSION_SECRET", SECRET), ("SESSION_TTL", "60")])).unwrap();
    let (one, other) = (keep.session().build().unwrap(), keep.session().build().unwrap());
    let mut browser = Browser::of("acme");
    let visit = browser.visit(&one, set_n).await;
    assert!(visit.cookies()[0].contains("Max-Age=60"), "{:?}", visit.cookies());
    assert_eq!(browser.visit(&other, get_n).await.value, Some(Some(1)));
    for _ in 0..100 {
        assert_eq!(begin(&one, 1, None).await.0, StatusCode::OK);
    }
    assert_eq!(begin(&other, 1, None).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn plain_http_is_for_those_who_ask_for_it() {
    let keep = Keep::new(config(&[("SESSION_COOKIE_SECURE", "false")])).unwrap();
    let layer = keep.session().build().unwrap();
    let visit = Browser::of("acme").visit(&layer, set_n).await;
    let cookie = visit.cookies()[0];
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_there_must_be_a_secret_and_restarts_lose_nobody() {
    let server = Server::start(Flavor::Redis).await;
    let url = server.url();
    let nothing = Keep::new(config(&[("REDIS_URL", &url)])).unwrap();
    let error = nothing.session().build().unwrap_err();
    assert!(error.to_string().contains("SESSION_SECRET"), "{error}");
    let patient = ("REDIS_TIMEOUT_MS", "30000");
    let variables = [("REDIS_URL", &*url), ("SESSION_SECRET", SECRET), patient];
    let mut browser = Browser::of("acme");
    let value = {
        let keep = Keep::new(config(&variables)).unwrap();
        keep.require_connection().await.unwrap();
        let layer = keep.session().build().unwrap();
        browser.visit(&layer, set_n).await;
        browser.visit(&layer, get_n).await.value
    };
    assert_eq!(value, Some(Some(1)));
    let keep = Keep::new(config(&variables)).unwrap();
    keep.require_connection().await.unwrap();
    let layer = keep.session().build().unwrap();
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    let ours = Keep::new(config(&[variables[0], variables[1], ("SESSION_STORE", "memory")]));
    let layer = ours.unwrap().session().build().unwrap();
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None), "kept in this process");
}

#[tokio::test]
async fn over_plain_http_each_cookie_is_insecure_whatever_else_is_said_of_it() {
    let keep = Keep::new(config(&[("SESSION_COOKIE_SECURE", "false")])).unwrap();
    let strict = CookieOptions::default().name("__Host-shop").same_site(SameSite::Strict);
    for (options, name) in [(CookieOptions::default(), "session="), (strict, "shop=")] {
        let layer = keep.session().cookie(options).build().unwrap();
        let visit = Browser::default().visit(&layer, set_n).await;
        let cookie = visit.cookies()[0];
        assert!(cookie.starts_with(name) && !cookie.contains("Secure"), "{cookie}");
    }
}
