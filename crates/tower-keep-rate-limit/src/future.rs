//! The answer of `RateLimit` on its way: a state machine, nothing boxed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_keep_core::{Dialect, Head, Observation, Rejection, ResponseBody};
use tower_service::Service;

use crate::{
    limiter::{After, Limiter, Pending},
    outcome::RateLimitOutcome,
    policy::Decision,
};

pin_project! {
    /// The answer of [`RateLimit`](crate::RateLimit) on its way.
    pub struct RateLimitFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
        after: After,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Asking { asked: Option<Box<Asked<S, B>>> },
        Calling { #[pin] future: S::Future },
        Refused { refusal: Option<(Box<Rejection>, Dialect)> },
    }
}

/// What is kept while the store is asked.
struct Asked<S, B> {
    service: S,
    request: Request<B>,
    pending: Box<Pending>,
    limiter: Arc<Limiter>,
    observation: Observation<RateLimitOutcome>,
}

impl<S, B> RateLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn calling(future: S::Future, after: After) -> Self {
        Self { state: State::Calling { future }, after }
    }

    pub(crate) const fn refused(rejection: Box<Rejection>, dialect: Dialect, after: After) -> Self {
        Self { state: State::Refused { refusal: Some((rejection, dialect)) }, after }
    }

    pub(crate) fn asking(
        pending: Box<Pending>,
        (service, request): (S, Request<B>),
        limiter: Arc<Limiter>,
        observation: Observation<RateLimitOutcome>,
    ) -> Self {
        let asked = Asked { service, request, pending, limiter, observation };
        let asked = Some(Box::new(asked));
        Self { state: State::Asking { asked }, after: After::default() }
    }
}

impl<S, B> std::fmt::Debug for RateLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RateLimitFuture")
    }
}

impl<S, B, R> Future for RateLimitFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const DONE: &str = "`RateLimitFuture` polled after completion";
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Asking { asked } => {
                    let answer = &mut asked.as_mut().expect(DONE).pending.answer;
                    let result = ready!(Pin::new(answer).poll(cx));
                    let Asked { mut service, mut request, pending, limiter, observation } =
                        *asked.take().expect(DONE);
                    let after = &mut *this.after;
                    let head = Head::from(&request);
                    let (decision, outcome) = limiter.conclude(head, *pending, &result, after);
                    observation.finish(outcome);
                    after.exposed = Some(outcome).filter(|_| limiter.expose_outcome);
                    let state = match decision {
                        Decision::Pass => {
                            after.extras.tell_inside(request.extensions_mut());
                            State::Calling { future: service.call(request) }
                        }
                        Decision::Refuse(rejection) => {
                            State::Refused { refusal: Some((rejection, Dialect::of(&request))) }
                        }
                    };
                    this.state.set(state);
                }
                StateProjection::Calling { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    // Moved once, where nothing is to be said.
                    if this.after.is_nothing() {
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    }
                    this.after.tell(&mut response);
                    let Some(closing) = this.after.extras.take_closing() else {
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    };
                    let closing = closing.answered();
                    let watched = |body| ResponseBody::watched(body, closing);
                    return Poll::Ready(Ok(response.map(watched)));
                }
                StateProjection::Refused { refusal } => {
                    let (rejection, dialect) = refusal.take().expect(DONE);
                    let mut response = rejection.into_response(dialect);
                    this.after.tell(&mut response);
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

impl After {
    #[inline]
    const fn is_nothing(&self) -> bool {
        self.fields.is_none() && self.exposed.is_none() && self.extras.is_none()
    }

    /// Says in the answer's head what is to be said there.
    #[inline]
    fn tell<B>(&mut self, response: &mut Response<B>) {
        self.fields.write(response.headers_mut());
        if let Some(outcome) = self.exposed {
            response.extensions_mut().insert(outcome);
        }
        self.extras.tell_outside(response.extensions_mut());
    }
}
