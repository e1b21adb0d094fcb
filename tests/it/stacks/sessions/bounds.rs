//! What the session layer asks of the services and bodies around it, held by the compiler and shown
//! at work on a service that gives no more.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_keep_core::{BodyError, Principal, ResponseBody};
use tower_keep_session::{Session, SessionLayer, SessionLayerBuilder, SessionOutcome, WithSession};

use super::{
    super::{
        bounds::{BodyBroke, Breaks, Broken, Upload, is_builder, is_sent, is_shared},
        tenant_by_header,
    },
    in_memory,
};

/// Neither `Clone` nor `Sync`.
struct Strictest {
    calls: Cell<u32>,
    /// Whether it may be called.
    is_ready: bool,
}

impl Service<Request<Upload>> for Strictest {
    type Response = Response<Breaks>;
    type Error = Broken;
    type Future = Ready<Result<Response<Breaks>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Upload>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was not asked whether it is ready");
        self.calls.set(self.calls.get() + 1);
        let session = Session::of(request.extensions()).unwrap();
        session.set("calls", &self.calls.get()).unwrap();
        ready(match request.into_body() {
            Upload("break") => Err(Broken { why: "as asked", _not_sync: Cell::new(()) }),
            Upload(_) => Ok(Response::new(Breaks { given: false })),
        })
    }
}

fn strictest() -> WithSession<Strictest> {
    let layer = in_memory().expose_outcome(true).build().unwrap();
    layer.layer(Strictest { calls: Cell::new(0), is_ready: false })
}

fn upload(body: &'static str) -> Request<Upload> {
    Request::new(Upload(body))
}

#[tokio::test]
async fn no_more_is_asked_of_a_service_than_to_be_one() {
    let mut service = strictest();
    is_sent(&service);
    // The same one that is asked whether it is ready is called, each time.
    for _ in 0..3 {
        let call = service.ready().await.unwrap().call(upload("go on"));
        is_sent(&call);
        let response = call.await.unwrap();
        assert!(response.headers().contains_key("set-cookie"));
        assert_eq!(response.extensions().get(), Some(&SessionOutcome::Created));
        assert_eq!(response.body().size_hint().exact(), Some(8));
        assert!(!response.body().is_end_stream());
    }
}

#[tokio::test]
async fn errors_are_the_inner_services_and_bodys() {
    let error = strictest().oneshot(upload("break")).await.unwrap_err();
    assert_eq!(error.why, "as asked");
    let mut body = strictest().oneshot(upload("go on")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    let Err(BodyError::Inner(error)) = body.frame().await.unwrap() else { panic!("it is well") };
    assert_eq!(error.downcast_ref(), Some(&BodyBroke(42)));
}

/// A request that is refused, dropped or served gives back what readiness had taken.
#[tokio::test]
async fn readiness_is_given_back() {
    let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let mut service = in_memory().build().unwrap().layer(ConcurrencyLimit::new(inner, 1));
    for _ in 0..3 {
        let ready = tokio::time::timeout(Duration::from_secs(10), service.ready()).await;
        drop(ready.expect("it was not given back").unwrap().call(Request::new(())));
        service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    }
}

/// Where nothing is sent to another thread, nothing need be `Send`, as long as nothing is saved.
#[tokio::test]
async fn futures_need_not_be_sent() {
    let inner = service_fn(|request: Request<Rc<()>>| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(Rc::clone(request.body())))
    });
    let service = in_memory().build().unwrap().layer(inner);
    assert_eq!(service.oneshot(Request::new(Rc::new(()))).await.unwrap().status(), 200);
}

fn is_body<R>(_: &impl Service<Request<Upload>, Response = Response<ResponseBody<R>>>) {}

#[test]
fn layers_and_services_are_shared_between_threads() {
    let layer: SessionLayer = in_memory().build().unwrap();
    is_shared(&layer);
    is_shared(&layer.sessions());
    let builder: SessionLayerBuilder = in_memory();
    is_builder(&builder);
    let inner = service_fn(async |request: Request<Upload>| {
        let session = Session::of(request.extensions()).unwrap();
        is_shared(session);
        is_shared(Principal::of(request.extensions()).unwrap());
        drop(session.get::<u64>("n").await);
        Ok::<_, Infallible>(Response::new(Breaks { given: false }))
    });
    let mut service = tenant_by_header().layer(layer.layer(inner));
    is_shared(&service);
    is_sent(&service.call(upload("go on")));
    is_body(&service);
}
