use std::task::{Context, Poll, Waker};

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
async fn a_hit_gives_back_what_readiness_had_reserved() {
    let site = Site::new(|class| class);
    let inner = ConcurrencyLimit::new(database(&site.loads), 1);
    let mut service = QueryCacheLayer::new(site.cache.clone()).layer(inner);
    let query = Query { key: Some(key(1)), class: site.class.clone() };
    for source in [Source::Loaded, Source::Near, Source::Near] {
        let fetched = service.ready().await.unwrap().call(query.clone()).await.unwrap();
        assert_eq!(fetched.source, source);
    }
    assert!(matches!(
        Service::<Query>::poll_ready(&mut service, &mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    ));
}
