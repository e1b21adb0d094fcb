//! Waiting for a session's end, which comes from another process.

use std::time::{Duration, Instant};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_keep::{Config, Keep, RedisConfig};
use tower_keep_redis::BusState;
use tower_keep_session::{PublicId, Session, SessionLayer};
use tower_keep_tests::{Flavor, Proxy, Server, wait_until};

use super::{acme, log_in, user, who};
use crate::session::{SECRET, browser::Browser};

const PATIENT: Duration = Duration::from_secs(20);
/// What is not told within this time will not be.
const SILENCE: Duration = Duration::from_millis(300);

/// What another process would have: a keep with its own connection, bus and layer.
struct Process {
    keep: Keep,
    layer: SessionLayer,
}

impl Process {
    async fn start(url: &str, pubsub: bool) -> Self {
        let mut config = Config::default();
        let redis = RedisConfig::from_url(url).unwrap().with_timeout(PATIENT);
        config.redis = Some(redis.with_pubsub(pubsub));
        config.session.secrets = vec![SECRET.to_owned()];
        let keep = Keep::new(config).unwrap();
        keep.require_connection().await.unwrap();
        let layer = keep.session().build().unwrap();
        let process = Self { keep, layer };
        if pubsub {
            process.hears().await;
        }
        process
    }

    async fn hears(&self) {
        let bus = self.keep.bus().unwrap().unwrap();
        let live = wait_until(PATIENT, || async { bus.state() == BusState::Live });
        assert!(live.await, "{:?}", bus.state());
    }

    /// A new session of the user's, and somebody who waits here for its end.
    async fn waits(&self, browser: &mut Browser) -> (PublicId, JoinHandle<Instant>) {
        browser.visit(&self.layer, log_in).await;
        let session = browser.visit(&self.layer, async |session| session).await.value.unwrap();
        let id = session.id().unwrap();
        let waiting = tokio::spawn(async move {
            session.revoked().await;
            Instant::now()
        });
        // Until it has looked: what ends before is seen by that.
        sleep(Duration::from_millis(100)).await;
        (id, waiting)
    }
}

async fn told(waiting: JoinHandle<Instant>) -> Instant {
    timeout(PATIENT, waiting).await.expect("it was not told").unwrap()
}

async fn goes_on(waiting: &mut JoinHandle<Instant>) {
    assert!(timeout(SILENCE, waiting).await.is_err(), "told of another's end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_it_in_another_process_is_told_at_once() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let (here, there) =
            (Process::start(&server.url(), true).await, Process::start(&server.url(), true).await);
        let sessions = there.layer.sessions();
        let (mut browser, mut other) = (Browser::of("acme"), Browser::of("acme"));

        // Each way ends this one, and leaves the other one alone where it should.
        let (keeps, mut kept) = here.waits(&mut other).await;
        let mut tell = Vec::new();
        for way in ["revoke", "logout", "others", "all"] {
            let (id, waiting) = here.waits(&mut browser).await;
            goes_on(&mut kept).await;
            let begun = Instant::now();
            match way {
                "revoke" => assert!(sessions.revoke(&acme(), &user("u1"), id).await.unwrap()),
                "logout" => {
                    let out = async |session: Session| session.logout();
                    browser.visit(&there.layer, out).await;
                }
                "others" => {
                    let ended = sessions.revoke_others(&acme(), &user("u1"), keeps).await;
                    assert_eq!(ended.unwrap(), 1);
                }
                _ => sessions.revoke_all(&acme(), &user("u1")).await.unwrap(),
            }
            let after = told(waiting).await.saturating_duration_since(begun);
            tell.push(format!("{way} {after:.1?}"));
            browser = Browser::of("acme");
        }
        told(kept).await;
        println!("{flavor}: told in another process: {}", tell.join(", "));
    }
}

/// Neither another user's end, nor a rotation, nor a write is the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_its_end_is_not_told() {
    let server = Server::start(Flavor::Redis).await;
    let (here, there) =
        (Process::start(&server.url(), true).await, Process::start(&server.url(), true).await);
    let mut browser = Browser::of("acme");
    let (_, mut waiting) = here.waits(&mut browser).await;
    there.layer.sessions().revoke_all(&acme(), &user("u2")).await.unwrap();
    browser.visit(&there.layer, async |session| session.set("n", &1).unwrap()).await;
    goes_on(&mut waiting).await;
    // A gap is a reason to look, and no more than that.
    let killed = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    assert_eq!(killed.int(), 2);
    goes_on(&mut waiting).await;
    browser.visit(&there.layer, async |session| session.logout()).await;
    told(waiting).await;
}

/// The bus was deaf when the session ended: once it is back, a look finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_missed_is_found_when_the_bus_is_back() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let here = Process::start(&proxy.url(), true).await;
        let there = Process::start(&server.url(), true).await;
        let mut browser = Browser::of("acme");
        let (id, waiting) = here.waits(&mut browser).await;
        proxy.refuse();
        proxy.cut(tower_keep_tests::Cut::Reset);
        assert!(there.layer.sessions().revoke(&acme(), &user("u1"), id).await.unwrap());
        sleep(SILENCE).await;
        assert!(!waiting.is_finished(), "nothing can be known here");
        proxy.heal();
        let back = Instant::now();
        let after = told(waiting).await.saturating_duration_since(back);
        println!("{flavor}: an end that was missed is found {after:.1?} after the link is back");
    }
}

/// `REDIS_PUBSUB_ENABLED=false`: what ends in this process is told, and what ends elsewhere is found
/// by looking, within a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bus_it_is_found_within_a_minute() {
    let server = Server::start(Flavor::Redis).await;
    let (here, there) =
        (Process::start(&server.url(), false).await, Process::start(&server.url(), false).await);
    let mut browser = Browser::of("acme");
    let (_, waiting) = here.waits(&mut browser).await;
    browser.visit(&here.layer, async |session| session.logout()).await;
    let begun = Instant::now();
    let own = told(waiting).await.saturating_duration_since(begun);

    let mut browser = Browser::of("acme");
    let (id, waiting) = here.waits(&mut browser).await;
    let begun = Instant::now();
    assert!(there.layer.sessions().revoke(&acme(), &user("u1"), id).await.unwrap());
    assert_eq!(browser.visit(&here.layer, who).await.value, Some(None), "who asks knows at once");
    let after = timeout(Duration::from_secs(90), waiting).await.expect("it was not found");
    let after = after.unwrap().saturating_duration_since(begun);
    println!("no bus: an end here is told after {own:.1?}, elsewhere found after {after:.1?}");
    assert!(after < Duration::from_secs(75), "{after:?}");
}
