//! The service behind `PrincipalLayer`; plumbing only.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::Shared;
use crate::{Dialect, Rejection, ResponseBody, take_ready};

/// Puts the principal into each request's extensions, or refuses the request. Made by
/// [`PrincipalLayer`](super::PrincipalLayer).
#[derive(Clone, Debug)]
pub struct SetPrincipal<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> SetPrincipal<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for SetPrincipal<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = PrincipalFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let dialect = Dialect::of(&head);
        let vary = self.shared.vary.clone().filter(|_| !dialect.is_grpc());
        let state = match self.shared.identify(&head) {
            Ok(principal) => {
                if let Some(principal) = principal {
                    head.extensions.insert(principal);
                }
                State::Calling { future: self.inner.call(Request::from_parts(head, body)) }
            }
            Err(rejection) => {
                drop(take_ready(&mut self.inner));
                State::Refused { refusal: Some((rejection, dialect)) }
            }
        };
        PrincipalFuture { state, vary }
    }
}

pin_project! {
    /// The answer of [`SetPrincipal`] on its way.
    pub struct PrincipalFuture<F> {
        #[pin]
        state: State<F>,
        vary: Option<HeaderValue>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Calling { #[pin] future: F },
        Refused { refusal: Option<(Box<Rejection>, Dialect)> },
    }
}

impl<F> std::fmt::Debug for PrincipalFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrincipalFuture")
    }
}

impl<F, R, E> Future for PrincipalFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProjection::Calling { future } => {
                ready!(future.poll(cx))?.map(ResponseBody::inner)
            }
            StateProjection::Refused { refusal } => {
                let (rejection, dialect) = refusal.take().expect("polled after completion");
                rejection.into_response(dialect)
            }
        };
        if let Some(vary) = this.vary.take() {
            response.headers_mut().append(header::VARY, vary);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, convert::Infallible};

    use bytes::Bytes;
    use http_body_util::Empty;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::{InvalidPrincipal, Principal, PrincipalLayer, TenantId, UserId};

    type Body = Empty<Bytes>;

    /// Answers with the principal that it was told, in a header.
    async fn tell(request: Request<()>) -> Result<Response<Body>, Infallible> {
        let mut response = Response::new(Body::new());
        if let Some(principal) = Principal::of(request.extensions()) {
            let user = principal.user().map_or("-", UserId::as_str);
            let told = format!("{}/{user}", principal.tenant());
            response.headers_mut().insert("x-told", told.parse().unwrap());
        }
        Ok(response)
    }

    /// Status, principal, Vary.
    async fn ask(
        layer: &PrincipalLayer,
        request: Request<()>,
    ) -> (u16, Option<String>, Option<String>) {
        let response = layer.layer(service_fn(tell)).oneshot(request).await.unwrap();
        let text = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        (response.status().as_u16(), text("x-told"), text("vary"))
    }

    fn with_tenants(values: &[&[u8]]) -> Request<()> {
        let mut request = Request::builder();
        for value in values {
            request = request.header("x-tenant-id", HeaderValue::from_bytes(value).unwrap());
        }
        request.body(()).unwrap()
    }

    #[tokio::test]
    async fn the_header_names_the_tenant_and_nothing_else_does() {
        let layer =
            PrincipalLayer::from_header("X-Tenant-Id").default_tenant("public").build().unwrap();
        let vary = Some("x-tenant-id".to_owned());
        for (values, status, told) in [
            (&[&b"acme"[..]][..], 200, Some("acme/-")),
            (&[], 200, Some("public/-")),
            (&[b""], 400, None),
            (&[b"a", b"b"], 400, None),
            (&[b"a", b"a"], 400, None),
            (&["zürich".as_bytes()], 400, None),
            (&[b"a\tb"], 400, None),
            (&["x".repeat(1025).as_bytes()], 400, None),
        ] {
            let told = told.map(str::to_owned);
            assert_eq!(ask(&layer, with_tenants(values)).await, (status, told, vary.clone()));
        }
    }

    #[tokio::test]
    async fn without_a_default_there_is_no_principal() {
        let layer = PrincipalLayer::from_header("x-tenant-id").build().unwrap();
        assert_eq!(ask(&layer, with_tenants(&[])).await.1, None);
    }

    #[tokio::test]
    async fn unknown_tenants_are_forbidden() {
        let known = HashSet::from([TenantId::new("acme").unwrap()]);
        let layer = PrincipalLayer::from_header("x-tenant-id").known_tenants(known).build();
        let layer = layer.unwrap();
        assert_eq!(ask(&layer, with_tenants(&[b"acme"])).await.0, 200);
        assert_eq!(ask(&layer, with_tenants(&[b"other"])).await.0, 403);
        let closure = PrincipalLayer::from_header("x-tenant-id")
            .known_tenants(|tenant: &TenantId| tenant.as_str().starts_with('a'))
            .build()
            .unwrap();
        assert_eq!(ask(&closure, with_tenants(&[b"abc"])).await.0, 200);
        assert_eq!(ask(&closure, with_tenants(&[b"bcd"])).await.0, 403);
    }

    #[tokio::test]
    async fn a_fixed_tenant_and_a_closure_read_no_header() {
        let fixed = PrincipalLayer::fixed("acme").build().unwrap();
        let (status, told, vary) = ask(&fixed, with_tenants(&[b"other"])).await;
        assert_eq!((status, told.as_deref(), vary), (200, Some("acme/-"), None));

        let closure = PrincipalLayer::new(|head: &http::request::Parts| match head.uri.path() {
            "/bad" => Err(InvalidPrincipal::new("bad path")),
            "/nobody" => Ok(None),
            _ => {
                let tenant = TenantId::new("t").unwrap();
                Ok(Some(Principal::new(tenant).with_user(UserId::new("u").unwrap())))
            }
        })
        .build()
        .unwrap();
        let get = |path: &str| Request::get(path).body(()).unwrap();
        assert_eq!(ask(&closure, get("/")).await.1.as_deref(), Some("t/u"));
        assert_eq!(ask(&closure, get("/nobody")).await.1, None);
        assert_eq!(ask(&closure, get("/bad")).await.0, 400);
    }

    #[tokio::test]
    async fn the_host_names_the_tenant_without_vary() {
        let layer = PrincipalLayer::from_subdomain("example.com");
        let layer = layer.default_tenant("public").build().unwrap();
        for (host, status, told) in [
            (Some("acme.example.com"), 200, Some("acme/-")),
            (Some("example.com"), 200, Some("public/-")),
            (None, 200, Some("public/-")),
            (Some("example.org"), 400, None),
        ] {
            let mut request = Request::new(());
            if let Some(host) = host {
                request.headers_mut().insert("host", host.parse().unwrap());
            }
            assert_eq!(ask(&layer, request).await, (status, told.map(str::to_owned), None));
        }
        let mut request = Request::get("http://example.org/").body(()).unwrap();
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response = layer.layer(service_fn(tell)).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "3");
    }

    #[tokio::test]
    async fn grpc_callers_are_refused_in_grpc() {
        let layer = PrincipalLayer::from_header("x-tenant-id").build().unwrap();
        let mut request = with_tenants(&[b""]);
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response = layer.layer(service_fn(tell)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "3");
        assert!(!response.headers().contains_key("vary"));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let error = PrincipalLayer::from_header("no header").default_tenant("").build();
        assert_eq!(error.unwrap_err().problems().len(), 2);
        let error = PrincipalLayer::from_header("x-tenant-id")
            .default_tenant("public")
            .known_tenants(HashSet::new())
            .build();
        assert!(error.unwrap_err().to_string().contains("`public`"));
        assert!(PrincipalLayer::fixed("").build().is_err());
    }

    #[tokio::test]
    async fn a_refused_call_gives_back_the_permit_it_held() {
        let layer = PrincipalLayer::from_header("x-tenant-id").build().unwrap();
        let inner = tower::limit::ConcurrencyLimit::new(service_fn(tell), 1);
        let mut service = layer.layer(inner);
        let refused = service.ready().await.unwrap().call(with_tenants(&[b""])).await.unwrap();
        assert_eq!(refused.status(), 400);
        let mut other = service.clone();
        let ready = tokio::time::timeout(std::time::Duration::from_secs(5), other.ready()).await;
        assert!(ready.is_ok(), "the only permit is still held");
    }
}
