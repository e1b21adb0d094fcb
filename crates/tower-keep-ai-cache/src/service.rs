//! The service behind `AiCacheLayer`; plumbing only.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use tokio::runtime::Handle;
use tower_keep_core::{
    BoxError, Head, Instruments, LateCost, RequestBody, ResponseBody, take_ready,
};
use tower_service::Service;

use crate::{
    AiCacheStatus, Api, BypassReason, TtlClass,
    future::{AiCacheFuture, Passing},
    settings::Settings,
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
            Err((reason, api)) => {
                let cost = LateCost::of(request.extensions()).cloned();
                let cost = cost.zip(api).map(|(cost, api)| (cost, api, self.settings.max_response));
                let future = self.inner.call(request.map(RequestBody::inner));
                AiCacheFuture::passing(future, Passing { reason, cost, observation })
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
    /// Which API a request is of, if its body is to be read; else why not, and of which it is all
    /// the same.
    fn recognize<B: Body>(
        &self,
        request: &Request<B>,
    ) -> Result<(Api, TtlClass), (BypassReason, Option<Api>)> {
        let (headers, path) = (request.headers(), request.uri().path());
        let Some(route) = self.routes.find(request.method(), path, headers) else {
            return Err((BypassReason::Unrecognized, None));
        };
        let refused = |reason| Err((reason, Some(route.api)));
        if !self.skip.is_empty() {
            let parts = Head::from(request).parts();
            if self.skip.iter().any(|skip| skip(&parts)) {
                return refused(BypassReason::Skipped);
            }
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return refused(BypassReason::Encoded);
        }
        if request.body().size_hint().lower() > self.max_request as u64 {
            return refused(BypassReason::TooLarge);
        }
        // The upstream is asked in a task of its own.
        if Handle::try_current().is_err() {
            return refused(BypassReason::Skipped);
        }
        Ok((route.api, route.class))
    }
}

#[cfg(test)]
mod tests;
