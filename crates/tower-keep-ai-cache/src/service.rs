//! The service behind `AiCacheLayer`; plumbing only.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use tokio::runtime::Handle;
use tower_keep_core::{BoxError, Head, Instruments, RequestBody, ResponseBody, take_ready};
use tower_service::Service;

use crate::{
    AiCacheStatus, Api, BypassReason, TtlClass, future::AiCacheFuture, settings::Settings,
    story::Story,
};

static INSTRUMENTS: Instruments<AiCacheStatus> = Instruments::new();

/// Answers requests to language models from what is stored, and stores what its inner service
/// answers. Made by [`AiCacheLayer`](crate::AiCacheLayer).
#[derive(Clone, Debug)]
pub struct AiCache<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> AiCache<S> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for AiCache<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = AiCacheFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let observation = INSTRUMENTS.observe();
        match self.settings.recognize(&request) {
            Err(reason) => {
                let future = self.inner.call(request.map(RequestBody::inner));
                AiCacheFuture::passing(future, reason, observation)
            }
            Ok(kind) => {
                let (parts, body) = request.into_parts();
                let settings = Arc::clone(&self.settings);
                let story = Story { settings, service: take_ready(&mut self.inner), parts };
                AiCacheFuture::telling(story.run(body, kind, observation.waits()))
            }
        }
    }
}

impl Settings {
    /// Which API a request is of, if its body is to be read.
    fn recognize<B: Body>(&self, request: &Request<B>) -> Result<(Api, TtlClass), BypassReason> {
        let (headers, path) = (request.headers(), request.uri().path());
        let Some(route) = self.routes.find(request.method(), path, headers) else {
            return Err(BypassReason::Unrecognized);
        };
        if !self.skip.is_empty() {
            let parts = Head::from(request).parts();
            if self.skip.iter().any(|skip| skip(&parts)) {
                return Err(BypassReason::Skipped);
            }
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BypassReason::Encoded);
        }
        if request.body().size_hint().lower() > self.max_request as u64 {
            return Err(BypassReason::TooLarge);
        }
        // The upstream is asked in a task of its own.
        if Handle::try_current().is_err() {
            return Err(BypassReason::Skipped);
        }
        Ok((route.api, route.class))
    }
}

#[cfg(test)]
mod tests;
