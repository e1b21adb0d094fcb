//! The service behind `ResponseCacheLayer`; plumbing only.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_keep_core::{BoxError, Head, Instruments, RequestBody, ResponseBody, take_ready};
use tower_service::Service;

use crate::{
    asked::Asked,
    change::Change,
    future::ResponseCacheFuture,
    look::Look,
    outcome::ResponseCacheOutcome,
    policy::status::CacheStatus,
    reply,
    settings::Settings,
    story::{Story, View},
    turn::Known,
};

static INSTRUMENTS: Instruments<ResponseCacheOutcome> = Instruments::new();

/// Answers requests from what is stored, and stores what its inner service answers. Made by
/// [`ResponseCacheLayer`](crate::ResponseCacheLayer).
#[derive(Clone, Debug)]
pub struct ResponseCache<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> ResponseCache<S> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for ResponseCache<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseCacheFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let observation = INSTRUMENTS.observe();
        let body = request.body();
        let has_body = !body.is_end_stream() && body.size_hint().exact() != Some(0);
        let settings = &self.settings;
        match settings.ask(Head::from(&request), has_body) {
            Asked::Bypass(reason) => {
                if !reason.is_untouched() {
                    let method = request.method().clone();
                    settings.strip(&method, request.headers_mut());
                }
                let future = self.inner.call(request.map(RequestBody::inner));
                ResponseCacheFuture::passing(future, Arc::clone(settings), reason, observation)
            }
            Asked::Unsafe(tenant) => {
                let (parts, body) = request.into_parts();
                let change = Change {
                    settings: Arc::clone(settings),
                    service: take_ready(&mut self.inner),
                    parts,
                    body: RequestBody::inner(body),
                    tenant,
                    observation,
                };
                ResponseCacheFuture::telling(change.run())
            }
            Asked::Lookup(lookup) => {
                let name = lookup.name.as_ref();
                // What is fresh is so by seconds.
                let now = settings.clock.lately();
                let found = name.and_then(|name| settings.cache.peek_at(name, now));
                let head = (request.method(), request.headers());
                let known = found.map(|found| {
                    let look = lookup.look(settings, head, &found, now);
                    Known { found, look }
                });
                let inner = take_ready(&mut self.inner);
                // What is here, and may be told as it is, waits for nobody.
                if let Some(Known { look: Look::Serve(served), .. }) = &known
                    && !served.stale
                {
                    let status = CacheStatus { hit: true, ..CacheStatus::default() };
                    let mut answer = reply::stored(&served.stored, head, now, status);
                    let outcome = ResponseCacheOutcome::Hit;
                    settings.expose(outcome, &mut answer);
                    observation.finish(outcome);
                    return ResponseCacheFuture::ready(answer);
                }
                let (parts, body) = request.into_parts();
                let story = Story {
                    view: View { settings: Arc::clone(settings), parts, lookup },
                    service: inner,
                    body: RequestBody::inner(body),
                    observation: Some(observation),
                };
                ResponseCacheFuture::telling(story.run(known))
            }
        }
    }
}

#[cfg(test)]
mod tests;
