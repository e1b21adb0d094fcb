use std::task::{Context, Poll};

use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit, service_fn};

use super::*;
use crate::{CacheableQuery, Invalidate, QueryCacheLayer};

#[derive(Clone)]
struct Query {
    key: Option<QueryKey>,
    class: TtlClass,
}

impl CacheableQuery for Query {
    fn key(&self) -> Option<QueryKey> {
        self.key.clone()
    }

    fn class(&self) -> &TtlClass {
        &self.class
    }

    fn tags(&self) -> Vec<String> {
        vec!["layer".into()]
    }
}

fn database(
    loads: &Arc<AtomicUsize>,
) -> impl Service<Query, Response = usize, Error = String, Future: Send> + Clone + Send + use<> {
    let loads = Arc::clone(loads);
    service_fn(move |_: Query| {
        let loads = Arc::clone(&loads);
        async move { Ok(loads.fetch_add(1, Ordering::SeqCst)) }
    })
}

#[tokio::test]
async fn a_service_is_asked_for_what_is_not_kept() {
    let site = Site::new(|class| class);
    let service = QueryCacheLayer::new(site.cache.clone()).layer(database(&site.loads));
    let ask = async |key: Option<QueryKey>| {
        let query = Query { key, class: site.class.clone() };
        let fetched = service.clone().oneshot(query).await.unwrap();
        (*fetched, fetched.source)
    };
    assert_eq!(ask(Some(key(1))).await, (0, Source::Loaded));
    assert_eq!(ask(Some(key(1))).await, (0, Source::Near));
    assert_eq!(ask(None).await, (1, Source::Loaded), "left alone");
    assert_eq!(ask(None).await, (2, Source::Loaded), "left alone");
    site.cache.invalidate(&acme(), Invalidate::Tag("layer")).await.unwrap();
    assert_eq!(ask(Some(key(1))).await, (3, Source::Loaded));
}

#[tokio::test]
async fn the_services_error_is_told() {
    let site = Site::new(|class| class);
    let inner = service_fn(|_: Query| async { Err::<usize, _>("down".to_owned()) });
    let service = QueryCacheLayer::new(site.cache.clone()).layer(inner);
    for key in [Some(key(1)), None] {
        let query = Query { key, class: site.class.clone() };
        let error = service.clone().oneshot(query).await.unwrap_err();
        assert_eq!(error.loader().unwrap(), "down");
        assert_eq!(error.to_string(), "down");
    }
}

#[tokio::test]
async fn a_hit_does_not_wait_for_a_service_that_is_busy() {
    let site = Site::new(|class| class);
    let inner = ConcurrencyLimit::new(database(&site.loads), 1);
    let mut busy = inner.clone();
    let service = QueryCacheLayer::new(site.cache.clone()).layer(inner);
    let ask = |id: Option<u32>| {
        let query = Query { key: id.map(key), class: site.class.clone() };
        service.clone().oneshot(query)
    };
    assert_eq!(ask(Some(1)).await.unwrap().source, Source::Loaded);
    // Somebody has the only place.
    tower::ServiceExt::<Query>::ready(&mut busy).await.unwrap();
    assert_eq!(ask(Some(1)).await.unwrap().source, Source::Near);
    for id in [Some(2), None] {
        let mut miss = Box::pin(ask(id));
        let polled = std::future::poll_fn(|cx| Poll::Ready(miss.as_mut().poll(cx)));
        assert!(polled.await.is_pending(), "what is not kept waits");
        // A clone has no place, and the one that had it is gone.
        busy = busy.clone();
        assert_eq!(miss.await.unwrap().source, Source::Loaded);
        tower::ServiceExt::<Query>::ready(&mut busy).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_that_is_never_ready_again_tells_its_error() {
    #[derive(Clone)]
    struct Broken;

    impl Service<Query> for Broken {
        type Response = usize;
        type Error = String;
        type Future = std::future::Pending<Result<usize, String>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
            Poll::Ready(Err("broken".to_owned()))
        }

        fn call(&mut self, _: Query) -> Self::Future {
            unreachable!("it is not ready")
        }
    }

    let site = Site::new(|class| class);
    let service = QueryCacheLayer::new(site.cache.clone()).layer(Broken);
    for key in [Some(key(1)), None] {
        let query = Query { key, class: site.class.clone() };
        let error = service.clone().oneshot(query).await.unwrap_err();
        assert_eq!(error.loader().unwrap(), "broken");
    }
}
