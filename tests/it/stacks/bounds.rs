//! What the layers ask of the services and bodies around them, and what they give: held by the
//! compiler, and shown at work on the strictest service and body there are.

use std::{
    cell::Cell,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _};
use tower_keep_core::{
    BodyError, Principal, PrincipalLayer, ResponseBody, RouteTemplate, TenantId,
};
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule};

use super::{HOUR, per_tenant, tenant_by_header};

pub(super) fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
pub(super) fn is_sent<T: Send + 'static>(_: &T) {}
pub(super) fn is_builder<T: Send + Sync + 'static>(_: &T) {}

/// A request body that only can be moved.
pub(super) struct Upload(pub(super) &'static str);

/// No `std::error::Error`; it cannot be cloned or shared.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) why: &'static str,
    pub(super) _not_sync: Cell<()>,
}

/// A body without `Default` and `Clone` which gives one frame and then fails.
#[derive(Debug)]
pub(super) struct Breaks {
    pub(super) given: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct BodyBroke(pub(super) u32);

impl std::fmt::Display for BodyBroke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body broke")
    }
}

impl std::error::Error for BodyBroke {}

impl Body for Breaks {
    type Data = Bytes;
    type Error = BodyBroke;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroke>>> {
        Poll::Ready(Some(if std::mem::replace(&mut self.given, true) {
            Err(BodyBroke(42))
        } else {
            Ok(Frame::data(Bytes::from_static(b"half")))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(8)
    }
}

/// `Clone`, and no more than it must be.
#[derive(Clone)]
struct Strictest {
    // Not `Sync`.
    _calls: Cell<u32>,
}

impl Service<Request<Upload>> for Strictest {
    type Response = Response<Breaks>;
    type Error = Broken;
    type Future = Ready<Result<Response<Breaks>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Upload>) -> Self::Future {
        let told = request.extensions();
        assert_eq!(Principal::of(told).unwrap().tenant().as_str(), "acme");
        assert_eq!(RouteTemplate::of(told), Some("/kept"), "other extensions stay");
        assert_eq!(request.headers()["x-kept"], "kept");
        ready(match request.into_body() {
            Upload("break") => Err(Broken { why: "as asked", _not_sync: Cell::new(()) }),
            Upload(_) => Ok(Response::new(Breaks { given: false })),
        })
    }
}

fn upload(body: &'static str) -> Request<Upload> {
    let request = Request::put("/").header("x-tenant-id", "acme").header("x-kept", "kept");
    request.extension(RouteTemplate::new("/kept")).body(Upload(body)).unwrap()
}

fn strictest() -> impl Service<
    Request<Upload>,
    Response = Response<ResponseBody<ResponseBody<Breaks>>>,
    Error = Broken,
    Future: Send,
> + Clone
+ Send {
    ServiceBuilder::new()
        .layer(tenant_by_header())
        .layer(per_tenant(100).build().unwrap())
        .service(Strictest { _calls: Cell::new(0) })
}

#[tokio::test]
async fn no_more_is_asked_of_a_service_than_clone() {
    let service = strictest();
    is_sent(&service);
    let response = service.oneshot(upload("go on")).await.unwrap();
    assert!(response.headers().contains_key("ratelimit"));
    assert_eq!(response.body().size_hint().exact(), Some(8));
    assert!(!response.body().is_end_stream());
}

#[tokio::test]
async fn the_inner_services_error_is_the_stacks_error() {
    let error = strictest().oneshot(upload("break")).await.unwrap_err();
    assert_eq!(error.why, "as asked");
}

#[tokio::test]
async fn the_inner_bodys_error_can_be_found() {
    let mut body = strictest().oneshot(upload("go on")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    let error = body.frame().await.unwrap().unwrap_err();
    // One layer's error in the other's: at the bottom is the body's own.
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    while let Some(deeper) = cause.source() {
        assert!(matches!(cause.downcast_ref(), Some(BodyError::Inner(_))));
        cause = deeper;
    }
    assert_eq!(cause.downcast_ref(), Some(&BodyBroke(42)));
}

#[test]
fn layers_and_services_are_shared_between_threads() {
    let layer: RateLimitLayer = per_tenant(1).build().unwrap();
    let principal: PrincipalLayer = tenant_by_header();
    is_shared(&layer);
    is_shared(&principal);
    is_shared(&Principal::new(TenantId::new("acme").unwrap()));
    let builder: RateLimitLayerBuilder = per_tenant(1).rule(Rule::per_user(1, HOUR));
    is_builder(&builder);

    // Over a service that is `Clone + Send + Sync`, the stack is too, and its futures can be
    // sent.
    let inner = tower::service_fn(async |_: Request<Upload>| {
        Ok::<_, std::convert::Infallible>(Response::new(Breaks { given: false }))
    });
    let mut service = principal.layer(layer.layer(inner));
    is_shared(&service);
    is_sent(&service.call(upload("go on")));
}
