//! The service behind `RateLimitLayer`; plumbing only.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_keep_core::{Dialect, Head, Instruments, ResponseBody, take_ready};
use tower_service::Service;

use crate::{
    future::RateLimitFuture,
    limiter::{After, Begun, Limiter},
    outcome::RateLimitOutcome,
    policy::Decision,
    setup::Setup,
};

static INSTRUMENTS: Instruments<RateLimitOutcome> = Instruments::new();

/// Checks each request before its inner service sees it. Made by
/// [`RateLimitLayer`](crate::RateLimitLayer).
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limiter: Arc<Limiter>,
    setup: Arc<Setup>,
}

impl<S> RateLimit<S> {
    pub(crate) fn new(inner: S, limiter: Arc<Limiter>) -> Self {
        let setup = limiter.setup.get();
        Self { inner, limiter, setup }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = RateLimitFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let observation = INSTRUMENTS.observe();
        self.limiter.setup.refresh(&mut self.setup);
        let mut after = After::default();
        let begun = if self.limiter.needs_parts(&self.setup) {
            with_parts(&mut request, |parts| {
                self.limiter.begin(&self.setup, Head::from(parts), &mut after)
            })
        } else {
            self.limiter.begin(&self.setup, Head::from(&request), &mut after)
        };
        match begun {
            Begun::Decided((decision, outcome)) => {
                observation.finish(outcome);
                after.exposed = Some(outcome).filter(|_| self.limiter.expose_outcome);
                match decision {
                    Decision::Pass => {
                        after.extras.tell_inside(request.extensions_mut());
                        RateLimitFuture::calling(self.inner.call(request), after)
                    }
                    Decision::Refuse(rejection) => {
                        drop(take_ready(&mut self.inner));
                        RateLimitFuture::refused(rejection, Dialect::of(&request), after)
                    }
                }
            }
            Begun::Asked(pending) => {
                let limiter = Arc::clone(&self.limiter);
                let call = (take_ready(&mut self.inner), request);
                RateLimitFuture::asking(pending, call, limiter, observation.waits())
            }
        }
    }
}

/// Lets `look` see a request's head by itself. The request stays where it is: it is large.
#[inline(never)]
fn with_parts<B, T>(request: &mut Request<B>, look: impl FnOnce(&Parts) -> T) -> T {
    let (mut parts, ()) = Request::new(()).into_parts();
    swap(request, &mut parts);
    let seen = look(&parts);
    swap(request, &mut parts);
    seen
}

fn swap<B>(request: &mut Request<B>, parts: &mut Parts) {
    mem::swap(request.method_mut(), &mut parts.method);
    mem::swap(request.uri_mut(), &mut parts.uri);
    mem::swap(request.version_mut(), &mut parts.version);
    mem::swap(request.headers_mut(), &mut parts.headers);
    mem::swap(request.extensions_mut(), &mut parts.extensions);
}
