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
    fields::Fields, limiter::Limiter, outcome::RateLimitOutcome, policy::Decision, rules::Matched,
    store::Verdict,
};

pin_project! {
    /// The answer of [`RateLimit`](crate::RateLimit) on its way.
    pub struct RateLimitFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
        // Both are added to whatever answer is given.
        fields: Fields,
        exposed: Option<RateLimitOutcome>,
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
    matched: Matched,
    limiter: Arc<Limiter>,
    observation: Observation<RateLimitOutcome>,
}

impl<S, B> RateLimitFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn calling(
        future: S::Future,
        fields: Fields,
        exposed: Option<RateLimitOutcome>,
    ) -> Self {
        Self { state: State::Calling { future }, fields, exposed }
    }

    pub(crate) const fn refused(
        rejection: Box<Rejection>,
        dialect: Dialect,
        fields: Fields,
        exposed: Option<RateLimitOutcome>,
    ) -> Self {
        Self { state: State::Refused { refusal: Some((rejection, dialect)) }, fields, exposed }
    }

    pub(crate) fn asking(
        answer: Answer<Result<Verdict, StoreError>>,
        matched: Matched,
        (service, head, body): (S, Parts, B),
        limiter: Arc<Limiter>,
        observation: Observation<RateLimitOutcome>,
    ) -> Self {
        let asked = Asked { service, head, body, matched, limiter, observation };
        let state = State::Asking { answer, asked: Some(asked) };
        Self { state, fields: Fields::default(), exposed: None }
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
                    let Asked { mut service, head, body, matched, limiter, observation } =
                        asked.take().expect(DONE);
                    let (decision, outcome) = limiter.conclude(&head, matched, result);
                    observation.finish(outcome);
                    *this.exposed = Some(outcome).filter(|_| limiter.expose_outcome);
                    let (state, fields) = match decision {
                        Decision::Pass(fields) => {
                            let future = service.call(Request::from_parts(head, body));
                            (State::Calling { future }, fields)
                        }
                        Decision::Refuse(rejection, fields) => {
                            let refusal = Some((rejection, Dialect::of(&head)));
                            (State::Refused { refusal }, fields)
                        }
                    };
                    *this.fields = fields;
                    this.state.set(state);
                }
                StateProjection::Calling { future } => {
                    break ready!(future.poll(cx))?.map(ResponseBody::inner);
                }
                StateProjection::Refused { refusal } => {
                    let (rejection, dialect) = refusal.take().expect(DONE);
                    break rejection.into_response(dialect);
                }
            }
        };
        std::mem::take(this.fields).write(response.headers_mut());
        if let Some(outcome) = this.exposed.take() {
            response.extensions_mut().insert(outcome);
        }
        Poll::Ready(Ok(response))
    }
}
