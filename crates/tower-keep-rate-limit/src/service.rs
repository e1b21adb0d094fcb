//! The service behind `RateLimitLayer`; plumbing only.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_keep_core::{Dialect, Instruments, ResponseBody, take_ready};
use tower_service::Service;

use crate::{
    future::{After, RateLimitFuture},
    limiter::{Begun, Limiter},
    outcome::RateLimitOutcome,
    policy::Decision,
};

static INSTRUMENTS: Instruments<RateLimitOutcome> = Instruments::new();

/// Checks each request before its inner service sees it. Made by
/// [`RateLimitLayer`](crate::RateLimitLayer).
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limiter: Arc<Limiter>,
}

impl<S> RateLimit<S> {
    pub(crate) const fn new(inner: S, limiter: Arc<Limiter>) -> Self {
        Self { inner, limiter }
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let observation = INSTRUMENTS.observe();
        let (mut head, body) = request.into_parts();
        let dialect = Dialect::of(&head);
        match self.limiter.begin(&head) {
            Begun::Decided((decision, outcome), extras) => {
                observation.finish(outcome);
                let exposed = Some(outcome).filter(|_| self.limiter.expose_outcome);
                match decision {
                    Decision::Pass(fields) => {
                        extras.tell_inside(&mut head.extensions);
                        let future = self.inner.call(Request::from_parts(head, body));
                        RateLimitFuture::calling(future, After { fields, exposed, extras })
                    }
                    Decision::Refuse(rejection, fields) => {
                        drop(take_ready(&mut self.inner));
                        let after = After { fields, exposed, extras };
                        RateLimitFuture::refused(rejection, dialect, after)
                    }
                }
            }
            Begun::Asked(answer, pending) => {
                let limiter = Arc::clone(&self.limiter);
                let call = (take_ready(&mut self.inner), head, body);
                RateLimitFuture::asking(answer, pending, call, limiter, observation.waits())
            }
        }
    }
}
