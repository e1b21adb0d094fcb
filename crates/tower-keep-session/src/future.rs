//! The answer of `WithSession` on its way.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_keep_core::{Observation, ResponseBody, StoreError};

use crate::{
    answer::{self, Due},
    commit::Committed,
    error::SessionError,
    inner::Inner,
    outcome::SessionOutcome,
    running::Running,
};

/// What is known of a request whose session is ours to save.
pub(crate) type Begun = (Arc<Inner>, Observation<SessionOutcome>);

pin_project! {
    /// The answer of [`WithSession`](crate::WithSession) on its way.
    pub struct SessionFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
        begun: Option<Begun>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R, E> {
        Calling { #[pin] future: F },
        // What is saved is seen through even if nobody waits for the answer any more.
        Saving { saving: Running<Result<Committed, SessionError>>, answer: Option<Result<Response<R>, E>> },
    }
}

impl<F, R, E> SessionFuture<F, R, E> {
    pub(crate) const fn new(future: F, begun: Option<Begun>) -> Self {
        Self { state: State::Calling { future }, begun }
    }
}

impl<F, R, E> Future for SessionFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling { future } => {
                    let answer = ready!(future.poll(cx));
                    let Some((session, ..)) = this.begun else {
                        return Poll::Ready(answer.map(|answer| answer.map(ResponseBody::inner)));
                    };
                    match answer::due(session, answer.as_ref().ok()) {
                        Due::Nothing(outcome) => {
                            let (session, observation) = this.begun.take().expect(DONE);
                            observation.finish(outcome);
                            return Poll::Ready(answer.map(|mut answer| {
                                answer::tell(&session, &mut answer, outcome);
                                answer.map(ResponseBody::inner)
                            }));
                        }
                        Due::Saving => {
                            let saving = Running::new(Arc::clone(session).commit(true));
                            this.state.set(State::Saving { saving, answer: Some(answer) });
                        }
                    }
                }
                StateProjection::Saving { saving, answer } => {
                    let saved = ready!(Pin::new(saving).poll(cx)).unwrap_or_else(|| {
                        Err(StoreError::unknown("the runtime has ended").into())
                    });
                    let answer = answer.take().expect(DONE);
                    let (session, observation) = this.begun.take().expect(DONE);
                    let outcome = answer::outcome(&session, &saved);
                    observation.finish(outcome);
                    let mut answer = answer?;
                    return Poll::Ready(Ok(match answer::refusal(&session, saved.err()) {
                        None => {
                            answer::tell(&session, &mut answer, outcome);
                            answer.map(ResponseBody::inner)
                        }
                        Some(refusal) => {
                            let mut refusal = refusal.into_response(session.carried.dialect);
                            // What was saved before is saved: its token is told.
                            answer::tell(&session, &mut refusal, outcome);
                            refusal
                        }
                    }));
                }
            }
        }
    }
}

const DONE: &str = "`SessionFuture` polled after completion";

impl<F, R, E> fmt::Debug for SessionFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionFuture")
    }
}
