//! The answer of `RateLimit` on its way: a state machine, nothing boxed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_keep_core::{Answer, Dialect, Observation, Rejection, ResponseBody, StoreError};
use tower_service::Service;

use crate::{
    fields::Fields,
    limiter::{Extras, Limiter, Pending},
    outcome::RateLimitOutcome,
    policy::Decision,
    store::Verdict,
};

/// What is done to whatever answer is given.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) fields: Fields,
    pub(crate) exposed: Option<RateLimitOutcome>,
    pub(crate) extras: Extras,
}

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
        Asking { answer: Answer<Result<Verdict, StoreError>>, asked: Option<Asked<S, B>> },
        Calling { #[pin] future: S::Future },
        Refused { refusal: Option<(Box<Rejection>, Dialect)> },
    }
}

/// What is kept while the store is asked.
struct Asked<S, B> {
    service: S,
    head: Parts,
    body: B,
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
        answer: Answer<Result<Verdict, StoreError>>,
        pending: Box<Pending>,
        (service, head, body): (S, Parts, B),
        limiter: Arc<Limiter>,
        observation: Observation<RateLimitOutcome>,
    ) -> Self {
        let asked = Asked { service, head, body, pending, limiter, observation };
        Self { state: State::Asking { answer, asked: Some(asked) }, after: After::default() }
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
        let mut response = loop {
            match this.state.as_mut().project() {
                StateProjection::Asking { answer, asked } => {
                    let result = ready!(Pin::new(answer).poll(cx));
                    let Asked { mut service, mut head, body, pending, limiter, observation } =
                        asked.take().expect(DONE);
                    let ((decision, outcome), extras) = limiter.conclude(&head, *pending, result);
                    observation.finish(outcome);
                    let (state, fields) = match decision {
                        Decision::Pass(fields) => {
                            extras.tell_inside(&mut head.extensions);
                            let future = service.call(Request::from_parts(head, body));
                            (State::Calling { future }, fields)
                        }
                        Decision::Refuse(rejection, fields) => {
                            let refusal = Some((rejection, Dialect::of(&head)));
                            (State::Refused { refusal }, fields)
                        }
                    };
                    let exposed = Some(outcome).filter(|_| limiter.expose_outcome);
                    *this.after = After { fields, exposed, extras };
                    this.state.set(state);
                }
                StateProjection::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    break match this.after.extras.take_closing() {
                        None => response.map(ResponseBody::inner),
                        Some(closing) => {
                            let closing = closing.answered();
                            response.map(|body| ResponseBody::watched(body, closing))
                        }
                    };
                }
                StateProjection::Refused { refusal } => {
                    let (rejection, dialect) = refusal.take().expect(DONE);
                    break rejection.into_response(dialect);
                }
            }
        };
        let After { fields, exposed, mut extras } = std::mem::take(this.after);
        fields.write(response.headers_mut());
        if let Some(outcome) = exposed {
            response.extensions_mut().insert(outcome);
        }
        extras.tell_outside(response.extensions_mut());
        Poll::Ready(Ok(response))
    }
}
