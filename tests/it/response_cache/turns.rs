//! Who fetches for all processes.

use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::{Duration, Instant},
};

use http::HeaderValue;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tower_keep::{ResponseCacheLayer, ResponseCacheLayerBuilder, Selection, TenantId};
use tower_keep_tests::{Flavor, Server, Value, wait_until};

use super::{PATIENCE, keep, layer, read, request, slow};

const LEASE: Duration = Duration::from_secs(60);

fn leasing(builder: ResponseCacheLayerBuilder) -> ResponseCacheLayerBuilder {
    builder.fill_lease(LEASE)
}

/// A server, a layer that takes leases there, and a count of calls.
async fn start(flavor: Flavor) -> (Server, ResponseCacheLayer, Arc<AtomicUsize>) {
    let server = Server::start(flavor).await;
    let keep = keep(&server.url(), "5000").await;
    (server, layer(&keep, leasing), Arc::default())
}

/// The keys of all entries, leases included.
async fn entries(server: &Server) -> Vec<String> {
    let keys = server.command(&["KEYS", "cache:acme:http:*"]).await.unwrap();
    keys.array().iter().map(Value::text).collect()
}

/// A near copy that is of no use is no reason for each request of a process to ask for a lease: all
/// but one would wait for the one that their own process has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_have_an_old_copy_near_one_asks_for_the_lease() {
    for flavor in Flavor::ALL {
        let (server, layer, calls) = start(flavor).await;
        let mut monitor = server.monitor().await;
        // Near copies are there once a hit costs no command.
        let warm = slow(&layer, &calls, "max-age=600");
        let begun = Instant::now();
        loop {
            monitor.drain().await;
            let (hit, _) = read(warm.clone().oneshot(request("/warm")).await.unwrap()).await;
            let asked = monitor.drain().await;
            if hit && !asked.iter().any(|line| line.name() == "SET") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{flavor}: nothing is near");
        }
        calls.store(0, Ordering::SeqCst);
        // Stale at once, and kept near because it may be shown in place of an error.
        let first = slow(&layer, &calls, "max-age=0, stale-if-error=600");
        read(first.oneshot(request("/same")).await.unwrap()).await;
        let site = slow(&layer, &calls, "max-age=600");
        assert!(wait_until(PATIENCE, async || entries(&server).await.len() == 2).await);
        // As if they had been evicted.
        for key in entries(&server).await {
            server.command(&["DEL", &key]).await.unwrap();
        }
        monitor.drain().await;
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            requests.spawn(site.clone().oneshot(request("/same")));
        }
        for answer in requests.join_all().await {
            assert_eq!(read(answer.unwrap()).await.1, "/same");
        }
        let lines = monitor.drain().await;
        let asked = lines
            .iter()
            .filter(|line| line.name() == "SET" && line.args().iter().any(|it| it == b"NX"))
            .count();
        let fetched = calls.load(Ordering::SeqCst) - 1;
        println!("{flavor}: {fetched} fetched, {asked} asked for the lease");
        assert_eq!((fetched, asked), (1, 1), "{flavor}: {lines:?}");
    }
}

/// Whoever wants what is stored or nothing leaves no lease behind that nobody uses.
#[tokio::test]
async fn a_lease_that_nobody_uses_is_given_back() {
    for flavor in Flavor::ALL {
        let (server, layer, calls) = start(flavor).await;
        let site = slow(&layer, &calls, "max-age=600");
        let mut wish = request("/same");
        wish.headers_mut().insert("cache-control", HeaderValue::from_static("only-if-cached"));
        let answer = site.clone().oneshot(wish).await.unwrap();
        assert_eq!(answer.status(), 504);
        let none =
            wait_until(Duration::from_secs(20), async || entries(&server).await.is_empty()).await;
        assert!(none, "{flavor}: a lease is left");
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }
}

/// Who comes after a purge gets nothing that was fetched before it, although the one who waits did
/// not look for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_another_gets_nothing_that_was_purged_meanwhile() {
    for flavor in Flavor::ALL {
        let (_server, layer, calls) = start(flavor).await;
        let site = slow(&layer, &calls, "max-age=600");
        let first = tokio::spawn(site.clone().oneshot(request("/same")));
        let begun = async || calls.load(Ordering::SeqCst) == 1;
        assert!(wait_until(PATIENCE, begun).await);
        let acme = TenantId::new("acme").unwrap();
        layer.responses().purge(&acme, &Selection::everything()).await.unwrap();
        let second = site.clone().oneshot(request("/same")).await.unwrap();
        let status = second.headers()["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{flavor}: {status}");
        first.await.unwrap().unwrap();
    }
}

/// What is purged still lies there; that is no reason for each process to fetch it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_is_fetched_by_one_of_two_processes() {
    for flavor in Flavor::ALL {
        let (server, one, calls) = start(flavor).await;
        let other = layer(&keep(&server.url(), "5000").await, leasing);
        let sites = [&one, &other].map(|layer| slow(layer, &calls, "max-age=600"));
        for site in &sites {
            for path in ["/probe", "/same"] {
                read(site.clone().oneshot(request(path)).await.unwrap()).await;
            }
        }
        assert!(wait_until(PATIENCE, async || entries(&server).await.len() == 2).await);
        let acme = TenantId::new("acme").unwrap();
        one.responses().purge(&acme, &Selection::everything()).await.unwrap();
        // Until the other one has heard of it.
        let misses =
            async || !read(sites[1].clone().oneshot(request("/probe")).await.unwrap()).await.0;
        assert!(wait_until(PATIENCE, misses).await);
        let before = calls.load(Ordering::SeqCst);
        let mut requests = JoinSet::new();
        for i in 0..60 {
            requests.spawn(sites[i % 2].clone().oneshot(request("/same")));
        }
        for answer in requests.join_all().await {
            assert_eq!(read(answer.unwrap()).await.1, "/same");
        }
        assert_eq!(calls.load(Ordering::SeqCst) - before, 1, "{flavor}");
    }
}
