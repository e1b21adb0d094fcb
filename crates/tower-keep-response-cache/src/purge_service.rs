//! A service that purges, for whoever may have it done over HTTP.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    num::NonZeroU64,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use tower_keep_core::{
    ConfigError, Dialect, GrpcCode, Principal, Rejection, ResponseBody, TenantId,
};
use tower_service::Service;

use crate::purge::{CachedResponses, PurgeError};

mod authority;
mod body;

use self::authority::Authority;

/// It has no body but of its own.
type Answer = Response<ResponseBody<String>>;
type Refused = Box<Rejection>;

/// Purges responses over HTTP: of the caller's own tenant, and for those who may.
///
/// It answers `POST` with a JSON object, of which each member may be left out:
///
/// ```json
/// {
///   "tags": ["products"],
///   "paths": ["/api/products"],
///   "prefixes": ["/api/"],
///   "urls": ["https://shop.example.com/api/products?page=2"],
///   "groups": [{"origin": "https://shop.example.com", "name": "scripts"}],
///   "soft": true
/// }
/// ```
///
/// or `{"everything": true}`; they are those of [`Selection`](crate::Selection). Once it has
/// answered 204 the purge is done, as [`CachedResponses::purge`] says. All else is a problem
/// document (RFC 9457):
///
/// | status | why |
/// |---|---|
/// | 400 | the body is not what it should be, or did not arrive |
/// | 401, 403 | the caller may not purge |
/// | 403 | no [`Principal`] says whose responses are meant: the service stands inside a layer that does |
/// | 405, 408, 413, 415 | another method than `POST`; over 10 seconds or 64 KiB of body; no `application/json` |
/// | 422 | nothing is selected, or something that cannot be: see [`PurgeError`] |
/// | 503 | the store did not do it, or may not have; it may be asked again |
///
/// There is none without a say in who may use it. It is a service of its own, for a route of the
/// program's choice: no request elsewhere purges anything, whatever its fields say.
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::{ServiceBuilder, ServiceExt as _};
/// use tower_keep_core::PrincipalLayer;
/// use tower_keep_response_cache::{PurgeService, ResponseCacheLayer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = ResponseCacheLayer::builder().memory().build()?;
/// let tokens = ["0123456789abcdef"]; // `openssl rand -hex 32` makes a better one
/// let purge = ServiceBuilder::new()
///     .layer(PrincipalLayer::from_header("x-tenant-id").build()?)
///     .service(PurgeService::for_tokens(cache.responses(), tokens)?);
///
/// let request = Request::post("/purge")
///     .header("x-tenant-id", "acme")
///     .header("authorization", "Bearer 0123456789abcdef")
///     .header("content-type", "application/json")
///     .body(r#"{"tags":["products"]}"#.to_owned())?;
/// assert_eq!(purge.oneshot(request).await?.status(), StatusCode::NO_CONTENT);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PurgeService {
    inner: Arc<Inner>,
}

struct Inner {
    responses: CachedResponses,
    authority: Authority,
}

impl PurgeService {
    /// For the callers that `may` says yes to, given the head of their request: it looks at what
    /// layers outside have found out. Where that is a cookie, they refuse other sites' requests
    /// too. Everybody else is answered with 403.
    pub fn for_callers(
        responses: CachedResponses,
        may: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::new(responses, Authority::Asked(Arc::new(may)))
    }

    /// For callers that show one of these tokens as `Authorization: Bearer …`. Everybody else is
    /// answered with 401. A token is good for every tenant that its owner may name.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] without a token, and for tokens of fewer than 16 bytes or with other
    /// characters than visible ASCII.
    pub fn for_tokens<T: AsRef<str>>(
        responses: CachedResponses,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::new(responses, Authority::of_tokens(tokens)?))
    }

    fn new(responses: CachedResponses, authority: Authority) -> Self {
        Self { inner: Arc::new(Inner { responses, authority }) }
    }
}

impl fmt::Debug for PurgeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeService").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for PurgeService
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<ResponseBody<String>>;
    type Error = Infallible;
    type Future = PurgeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> PurgeFuture {
        let inner = Arc::clone(&self.inner);
        let dialect = Dialect::of(&request);
        PurgeFuture(Box::pin(async move {
            inner.answer(request).await.unwrap_or_else(|no| no.into_response(dialect))
        }))
    }
}

impl Inner {
    async fn answer<B: Body>(&self, request: Request<B>) -> Result<Answer, Refused> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, GrpcCode::InvalidArgument);
            let no = Rejection::new(status, code, "only POST purges");
            return Err(Box::new(no.header(header::ALLOW, HeaderValue::from_static("POST"))));
        }
        self.authority.check(&head)?;
        let principal = Principal::of(&head.extensions);
        let tenant = principal.map(Principal::tenant).filter(|tenant| **tenant != TenantId::NONE);
        let tenant = tenant.ok_or_else(|| {
            let (status, code) = (StatusCode::FORBIDDEN, GrpcCode::PermissionDenied);
            Box::new(Rejection::new(status, code, "whose responses are meant is not known"))
        })?;
        let selection = body::selection(&head.headers, body).await?;
        self.responses.purge(tenant, &selection).await.map_err(|error| refusal(&error))?;
        let mut done = Response::new(ResponseBody::empty());
        *done.status_mut() = StatusCode::NO_CONTENT;
        done.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(done)
    }
}

fn refusal(error: &PurgeError) -> Refused {
    if let PurgeError::Store(error) = error {
        tracing::warn!(%error, "what was to be purged may still be served");
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, GrpcCode::Unavailable);
        let no = Rejection::new(status, code, "it may not be purged: the store did not answer");
        return Box::new(no.retry_after(NonZeroU64::MIN));
    }
    let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, GrpcCode::InvalidArgument);
    let no = Rejection::new(status, code, "this cannot be purged");
    Box::new(no.detail(error.to_string()))
}

/// The answer of [`PurgeService`] on its way.
pub struct PurgeFuture(Pin<Box<dyn Future<Output = Answer> + Send>>);

impl Future for PurgeFuture {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for PurgeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PurgeFuture")
    }
}

#[cfg(test)]
mod tests;
