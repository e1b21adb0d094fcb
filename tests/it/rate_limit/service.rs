//! The layer as a tower service: readiness, permits, errors, clones.

use std::{
    future::{Ready, poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_keep_core::ErrorClass;
use tower_keep_rate_limit::{OnStoreError, RateLimitLayer, RateLimitOutcome};

use super::{
    Ask, Body, Reply, get, inner, per_tenant, still,
    told::{Say, Told},
};

const PATIENT: Duration = Duration::from_secs(10);

/// A layer on this store that answers its failures with 503.
fn on(store: &Arc<Told>) -> RateLimitLayer {
    let rule = per_tenant(9).on_store_error(OnStoreError::Closed);
    RateLimitLayer::builder().store(store.clone()).rule(rule).build().unwrap()
}

/// Whether the service becomes ready without anybody's help.
async fn is_ready<S: Service<Ask>>(service: &mut S) -> bool {
    poll_fn(|context| Poll::Ready(service.poll_ready(context).is_ready())).await
}

/// Panics unless it was polled ready before each call; a clone was not.
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Ask> for Strict {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Ready<Result<Response<Body>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Ask) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        ready(match request.uri().path() {
            "/broken" => Err(Broken("the very one")),
            _ => Ok(Response::new(Body::from("inner"))),
        })
    }
}

/// No `std::error::Error`, and no `Clone`: it can only be passed on.
#[derive(Debug, PartialEq)]
struct Broken(&'static str);

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    for store in Told::both(Say::Allow) {
        let mut service = on(&store).layer(Strict { ready: false });
        for (say, status) in [
            (Say::Allow, 200),
            (Say::Allow, 200),
            (Say::Deny, 429),
            (Say::Allow, 200),
            (Say::Fail(ErrorClass::Unknown), 503),
            (Say::Allow, 200),
        ] {
            store.say(say);
            let response = service.ready().await.unwrap().call(get("/")).await.unwrap();
            assert_eq!(response.status(), status);
        }
    }
}

#[tokio::test]
async fn inner_errors_pass_through() {
    for store in Told::both(Say::Allow) {
        let service = on(&store).layer(Strict { ready: false });
        let error = service.oneshot(get("/broken")).await.unwrap_err();
        assert_eq!(error, Broken("the very one"));
    }
}

/// Cannot become ready.
#[derive(Clone)]
struct NeverReady;

impl Service<Ask> for NeverReady {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Ready<Result<Response<Body>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Err(Broken("not ready")))
    }

    fn call(&mut self, _: Ask) -> Self::Future {
        ready(Err(Broken("called")))
    }
}

#[tokio::test]
async fn a_service_that_cannot_become_ready_says_so_and_nothing_is_counted() {
    let store = Told::new(Say::Allow);
    let error = on(&store).layer(NeverReady).oneshot(get("/")).await.unwrap_err();
    assert_eq!(error, Broken("not ready"));
    assert!(store.asked().is_empty());
}

#[tokio::test]
async fn a_refused_call_gives_back_the_permit_it_held() {
    for say in [Say::Deny, Say::Fail(ErrorClass::NotSent)] {
        for store in Told::both(say) {
            let mut service = on(&store).layer(ConcurrencyLimit::new(service_fn(inner), 1));
            let mut other = service.clone();
            for _ in 0..3 {
                let future = service.ready().await.unwrap().call(get("/"));
                assert!([429, 503].contains(&future.await.unwrap().status().as_u16()));
                let ready = timeout(PATIENT, other.ready()).await;
                assert!(ready.is_ok(), "the only permit is still held");
                // Readiness reserves the permit: give it back.
                other = service.clone();
            }
        }
    }
}

#[tokio::test]
async fn an_admitted_call_holds_its_permit_until_it_is_answered() {
    for store in Told::both(Say::Allow) {
        let gate = Arc::new(Semaphore::new(0));
        let handler = {
            let gate = Arc::clone(&gate);
            service_fn(move |request| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    inner(request).await
                }
            })
        };
        let mut service = on(&store).layer(ConcurrencyLimit::new(handler, 1));
        let mut other = service.clone();
        let answer = tokio::spawn(service.ready().await.unwrap().call(get("/")));
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(!is_ready(&mut other).await, "two at once");
        }
        gate.add_permits(1);
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
        assert!(timeout(PATIENT, other.ready()).await.is_ok());
    }
}

#[tokio::test]
async fn a_call_dropped_while_the_store_is_asked_gives_back_its_permit() {
    let store = Told::new(Say::Nothing);
    let mut service = on(&store).layer(ConcurrencyLimit::new(service_fn(inner), 1));
    let mut other = service.clone();
    {
        let mut future = pin!(service.ready().await.unwrap().call(get("/")));
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        assert!(!is_ready(&mut other).await);
    }
    assert!(timeout(PATIENT, other.ready()).await.is_ok());
    assert_eq!(store.asked().len(), 1);
}

#[tokio::test]
async fn the_outcome_is_told_only_on_demand() {
    for store in Told::both(Say::Allow) {
        for expose in [false, true] {
            let builder = RateLimitLayer::builder().store(store.clone()).rule(per_tenant(9));
            let layer = builder.expose_outcome(expose).build().unwrap();
            for (say, outcome) in
                [(Say::Allow, RateLimitOutcome::Allowed), (Say::Deny, RateLimitOutcome::Denied)]
            {
                store.say(say);
                let response = layer.layer(service_fn(inner)).oneshot(get("/")).await.unwrap();
                assert_eq!(Reply::read(response).await.outcome, Some(outcome).filter(|_| expose));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_services_and_clones_of_a_layer_count_together() {
    let layer = still().rule(per_tenant(100)).build().unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let layer = layer.clone();
        callers.spawn(async move {
            let mut service = layer.layer(service_fn(inner));
            let mut admitted = 0;
            for call in 0..50 {
                if call % 2 == 0 {
                    service = service.clone();
                }
                let response = service.ready().await.unwrap().call(get("/")).await.unwrap();
                admitted += usize::from(response.status() == 200);
            }
            admitted
        });
    }
    assert_eq!(callers.join_all().await.into_iter().sum::<usize>(), 100);
}
