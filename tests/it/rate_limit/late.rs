//! Costs that are known only when the answer has ended.

mod bodies;
mod failures;
mod stores;
mod told;
mod wire;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_keep_core::{CostUnit, LateCost, ResponseBody};
use tower_keep_rate_limit::{Algorithm, RateLimitDecision, RateLimitLayer, Rule};

use super::{Ask, clock, get, on};

const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra];
/// So long that nothing comes back during a test.
const YEAR: Duration = Duration::from_secs(31_536_000);
const LIMIT: u64 = 1000;
/// What is reserved for each request.
const ESTIMATE: u64 = 10;

/// A body of these parts, the last of which may be a failure. It knows its end as `Full` does.
#[derive(Clone, Debug, Default)]
struct Parts {
    parts: VecDeque<Result<&'static str, &'static str>>,
    /// Whether it tells that it has ended before it is polled once more.
    tells_its_end: bool,
}

impl Parts {
    fn of(parts: impl IntoIterator<Item = Result<&'static str, &'static str>>) -> Self {
        Self { parts: parts.into_iter().collect(), tells_its_end: true }
    }

    /// Parts of 1, 20 and 3 bytes.
    fn some() -> Self {
        Self::of([Ok("a"), Ok("bcdefghijklmnopqrstu"), Ok("vwx")])
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let part = self.parts.pop_front();
        Poll::Ready(
            part.map(|part| part.map(|text| Frame::data(Bytes::from_static(text.as_bytes())))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.tells_its_end && self.parts.is_empty()
    }
}

type Answered = Response<ResponseBody<Parts>>;

/// A rule of this algorithm that settles what is used in this unit.
fn rule(algorithm: Algorithm, unit: CostUnit) -> Rule {
    Rule::per_tenant(LIMIT, YEAR).algorithm(algorithm).cost(|_| ESTIMATE).late(unit)
}

/// What a handler does with the way to tell a cost, if it is given one.
trait Tell: Fn(Option<LateCost>) + Clone + Send {}
impl<T: Fn(Option<LateCost>) + Clone + Send> Tell for T {}

/// A service that tells a cost as `tell` does, and answers with this body.
fn service(
    layer: &RateLimitLayer,
    body: Parts,
    tell: impl Tell,
) -> impl Service<Ask, Response = Answered, Error = Infallible, Future: Send> + Clone + Send {
    layer.layer(service_fn(move |request: Ask| {
        tell(LateCost::of(request.extensions()).cloned());
        let body = body.clone();
        async move { Ok(Response::new(body)) }
    }))
}

/// What was counted, when this was done behind a layer with this rule.
async fn counted(rule: Rule, act: impl AsyncFn(&RateLimitLayer)) -> u64 {
    let layer = on(&clock()).rule(rule).expose_decision(true).build().unwrap();
    act(&layer).await;
    used(&layer).await
}

/// How much is counted now, asked at no cost in the end.
async fn used(layer: &RateLimitLayer) -> u64 {
    let free = |cost: Option<LateCost>| {
        let cost = cost.unwrap();
        cost.settle(CostUnit::TOKENS, 0);
        cost.settle(CostUnit::BYTES, 0);
    };
    let response = service(layer, Parts::some(), free).oneshot(get("/")).await.unwrap();
    let decision = response.extensions().get::<RateLimitDecision>().unwrap();
    LIMIT - decision.rules[0].remaining - ESTIMATE
}
