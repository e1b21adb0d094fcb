//! The answer of `ResponseCache` on its way.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_keep_core::{Observation, ResponseBody};

use crate::{
    bypass::BypassReason,
    outcome::ResponseCacheOutcome,
    policy::status::{CacheStatus, Forward},
    settings::Settings,
    story::Answer,
};

/// A story, whose type has no name.
type BoxedStory<R, E> = Pin<Box<dyn Future<Output = Answer<R, E>> + Send>>;

pin_project! {
    /// The answer of [`ResponseCache`](crate::ResponseCache) on its way.
    pub struct ResponseCacheFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R, E> {
        Ready { answer: Option<Response<ResponseBody<R>>> },
        Passing { #[pin] future: F, passing: Option<Passing> },
        Telling { story: BoxedStory<R, E> },
    }
}

/// What is known of a request that is left alone.
struct Passing {
    settings: Arc<Settings>,
    reason: BypassReason,
    observation: Observation<ResponseCacheOutcome>,
}

impl<F, R, E> ResponseCacheFuture<F, R, E> {
    pub(crate) const fn ready(answer: Response<ResponseBody<R>>) -> Self {
        Self { state: State::Ready { answer: Some(answer) } }
    }

    pub(crate) const fn passing(
        future: F,
        settings: Arc<Settings>,
        reason: BypassReason,
        observation: Observation<ResponseCacheOutcome>,
    ) -> Self {
        let passing = Some(Passing { settings, reason, observation });
        Self { state: State::Passing { future, passing } }
    }

    pub(crate) fn telling(story: impl Future<Output = Answer<R, E>> + Send + 'static) -> Self {
        Self { state: State::Telling { story: Box::pin(story) } }
    }
}

impl<F, R, E> Future for ResponseCacheFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Answer<R, E>;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Ready { answer } => {
                Poll::Ready(Ok(answer.take().expect("`ResponseCacheFuture` polled twice")))
            }
            StateProjection::Telling { story } => story.as_mut().poll(cx),
            StateProjection::Passing { future, passing } => {
                let answer = ready!(future.poll(cx));
                Poll::Ready(match passing.take() {
                    Some(passing) => answer.map(|answer| passing.pass(answer)),
                    None => answer.map(|answer| answer.map(ResponseBody::inner)),
                })
            }
        }
    }
}

impl Passing {
    fn pass<R>(self, mut answer: Response<R>) -> Response<ResponseBody<R>> {
        let Self { settings, reason, observation } = self;
        let forward =
            if reason == BypassReason::Method { Forward::Method } else { Forward::Bypass };
        let status = CacheStatus {
            forward: Some(forward),
            detail: Some(reason.label()),
            ..CacheStatus::default()
        };
        status.append(answer.headers_mut());
        let outcome = ResponseCacheOutcome::Bypass;
        settings.expose(outcome, &mut answer);
        settings.expose_reason(Some(reason), answer.extensions_mut());
        observation.finish(outcome);
        answer.map(ResponseBody::inner)
    }
}

impl<F, R, E> fmt::Debug for ResponseCacheFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseCacheFuture")
    }
}
