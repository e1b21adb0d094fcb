//! The response cache on Redis: many who miss at once, a server that is away, users whose sessions
//! end.

mod nested;
mod turns;
mod users;
mod wishes;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    BusState, Config, Keep, Principal, ResponseBody, ResponseCacheLayer, ResponseCacheLayerBuilder,
    TenantId,
};
use tower_keep_core::RequestBody;
use tower_keep_tests::{Flavor, Server, prompt_once, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Response<ResponseBody<Full<Bytes>>>;
type Site = BoxCloneSyncService<Request<Full<Bytes>>, Answer, Infallible>;

/// A process of its own, as far as it concerns the server.
async fn keep(url: &str, timeout: &str) -> Keep {
    let variables = [
        ("REDIS_URL", url),
        ("REDIS_TIMEOUT_MS", timeout),
        ("SESSION_SECRET", "a secret of at least thirty-two bytes"),
    ];
    let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
    let keep = Keep::new(Config::from_lookup(value).unwrap()).unwrap();
    keep.require_connection().await.unwrap();
    keep
}

fn layer(
    keep: &Keep,
    change: impl FnOnce(ResponseCacheLayerBuilder) -> ResponseCacheLayerBuilder,
) -> ResponseCacheLayer {
    change(keep.response_cache()).build().unwrap()
}

/// A service that takes its time, counts, and answers with its path.
fn slow(layer: &ResponseCacheLayer, calls: &Arc<AtomicUsize>, control: &'static str) -> Site {
    let calls = Arc::clone(calls);
    let inner = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let calls = Arc::clone(&calls);
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let body = Full::from(request.uri().path().to_owned());
            let answer = Response::builder().header("cache-control", control).body(body);
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    BoxCloneSyncService::new(layer.layer(BoxCloneSyncService::new(inner)))
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let principal = Principal::new(TenantId::new("acme").unwrap());
    let request = Request::get(path).header("host", "a").extension(principal);
    request.body(Full::default()).unwrap()
}

async fn read(answer: Answer) -> (bool, String) {
    let status = answer.headers()["cache-status"].to_str().unwrap().contains("; hit");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// How often the service is asked when so many miss the same on two processes.
async fn together(server: &Server, each: usize, lease: bool) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let mut requests = JoinSet::new();
    for _ in 0..2 {
        let keep = keep(&server.url(), "5000").await;
        let layer =
            layer(
                &keep,
                |builder| {
                    if lease { builder.fill_lease(Duration::from_secs(10)) } else { builder }
                },
            );
        // Near copies are used: whoever has looked in vain and leads later finds what has come.
        let is_live = async || keep.health().bus == Some(BusState::Live);
        assert!(wait_until(PATIENCE, is_live).await);
        let site = slow(&layer, &calls, "max-age=600");
        for _ in 0..each {
            requests.spawn(site.clone().oneshot(request("/same")));
        }
    }
    for answer in requests.join_all().await {
        assert_eq!(read(answer.unwrap()).await.1, "/same");
    }
    calls.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_on_two_processes_two_ask_and_with_a_lease_one() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let without = together(&server, 500, false).await;
        assert!((1..=2).contains(&without), "{flavor}: {without}");
        server.command(&["FLUSHALL"]).await.unwrap();
        let with = together(&server, 500, true).await;
        println!("{flavor}: 1000 misses on two processes: {without} calls, {with} with a lease");
        assert_eq!(with, 1, "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_may_share_is_fetched_by_all_at_the_same_time() {
    let server = Server::start(Flavor::Redis).await;
    let keep = keep(&server.url(), "5000").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let site = slow(&layer(&keep, |builder| builder), &calls, "no-store");
    // The first finds out.
    site.clone().oneshot(request("/private")).await.unwrap();
    let begun = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        requests.spawn(site.clone().oneshot(request("/private")));
    }
    requests.join_all().await;
    assert_eq!(calls.load(Ordering::SeqCst), 51);
    // One takes 200 ms; one after the other they would take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// Asks for pages all the time, until told to stop: how many answers there were, and how long the
/// slowest took.
async fn load(site: Site, stop: Arc<AtomicUsize>) -> (usize, Duration) {
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    while stop.load(Ordering::SeqCst) == 0 {
        let path = format!("/{}", answers % 20);
        let begun = Instant::now();
        let (_, body) = read(site.clone().oneshot(request(&path)).await.unwrap()).await;
        assert_eq!(body, path, "another's body");
        slowest = slowest.max(begun.elapsed());
        answers += 1;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    (answers, slowest)
}

/// Answers whether nobody was kept waiting.
async fn outage(flavor: Flavor, hung: bool) -> bool {
    let mut server = Server::start(flavor).await;
    let keep = keep(&server.url(), "100").await;
    let layer = layer(&keep, |builder| builder.store(|store| store.near(false)));
    let inner = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async move {
        let body = Full::from(request.uri().path().to_owned());
        let answer = Response::builder().header("cache-control", "max-age=600").body(body);
        Ok::<_, Infallible>(answer.unwrap())
    });
    let site: Site = BoxCloneSyncService::new(layer.layer(inner));
    let is_hit = async || read(site.clone().oneshot(request("/1")).await.unwrap()).await.0;
    assert!(wait_until(PATIENCE, is_hit).await);
    let stop = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(load(site.clone(), Arc::clone(&stop)));
    }
    if hung {
        server.pause();
    } else {
        server.kill();
    }
    assert!(wait_until(PATIENCE, async || !is_hit().await).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    if hung {
        server.resume();
    } else {
        server.restart().await;
    }
    let back = Instant::now();
    assert!(wait_until(PATIENCE, is_hit).await, "not back");
    let back = back.elapsed();
    stop.store(1, Ordering::SeqCst);
    let told = clients.join_all().await;
    let answers: usize = told.iter().map(|(answers, _)| answers).sum();
    let slowest = told.iter().map(|(_, slowest)| *slowest).max().unwrap();
    let fault = if hung { "SIGSTOP" } else { "kill -9" };
    println!(
        "{flavor}, {fault}: {answers} answers, none wrong, slowest {slowest:.0?}, hits again after {back:.0?}"
    );
    // A deadline, and a machine that is not alone.
    assert!(slowest < PATIENCE, "{slowest:?}");
    slowest < Duration::from_millis(1500)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_changes_no_body_and_fails_no_client() {
    for flavor in Flavor::ALL {
        for hung in [false, true] {
            prompt_once(async || outage(flavor, hung).await).await;
        }
    }
}
