//! The answer of `AiCache` on its way.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_keep_core::{LateCost, Observation, ResponseBody};

use crate::{AiCacheOutcome, AiCacheStatus, Api, BypassReason, judge, reply, story::Told};

/// A story, whose type has no name.
type Telling<R, E> = Pin<Box<dyn Future<Output = Told<R, E>> + Send>>;

pin_project! {
    /// The answer of [`AiCache`](crate::AiCache) on its way.
    pub struct AiCacheFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R, E> {
        Passing { #[pin] future: F, passing: Option<Passing> },
        Telling { story: Telling<R, E> },
    }
}

/// What is known of a request that is passed on as it is.
pub(crate) struct Passing {
    pub(crate) reason: BypassReason,
    /// Where it is to be told what the answer to a request to this API cost, and how much of that is
    /// read at most.
    pub(crate) cost: Option<(LateCost, Api, usize)>,
    pub(crate) observation: Observation<AiCacheStatus>,
}

impl<F, R, E> AiCacheFuture<F, R, E> {
    pub(crate) const fn passing(future: F, passing: Passing) -> Self {
        Self { state: State::Passing { future, passing: Some(passing) } }
    }

    pub(crate) fn telling(story: impl Future<Output = Told<R, E>> + Send + 'static) -> Self {
        Self { state: State::Telling { story: Box::pin(story) } }
    }
}

impl<F, R, E> Future for AiCacheFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Told<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Telling { story } => story.as_mut().poll(cx),
            StateProjection::Passing { future, passing } => {
                let answer = ready!(future.poll(cx));
                Poll::Ready(answer.map(|answer| {
                    let Some(Passing { reason, cost, observation }) = passing.take() else {
                        return answer.map(ResponseBody::inner);
                    };
                    let answer = match cost {
                        Some((cost, api, most)) => judge::metered(answer, api, most, Some(cost)),
                        None => answer.map(ResponseBody::inner),
                    };
                    observation.finish(AiCacheStatus::Bypass);
                    // What is none of ours is not touched.
                    if reason == BypassReason::Unrecognized {
                        return answer;
                    }
                    reply::passed(answer, AiCacheOutcome::bypass(reason))
                }))
            }
        }
    }
}

impl<F, R, E> fmt::Debug for AiCacheFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AiCacheFuture")
    }
}
