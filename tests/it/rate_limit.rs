//! The rate-limit layer as its callers see it: on the memory store, with a clock that the test
//! moves, and on a store that answers what the test tells it.

mod algorithms;
mod answers;
mod builder;
mod cancelled;
mod decisions;
mod endpoint;
mod failure;
mod fields;
mod grpc;
mod late;
mod lists;
mod matching;
mod modes;
mod plans;
mod reload;
mod service;
mod subject;
mod told;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_keep_core::{
    Principal, ResponseBody, TenantId, UserId,
    time::{Clock, UnixMillis},
};
use tower_keep_rate_limit::{
    MemoryStore, RateLimitLayer, RateLimitLayerBuilder, RateLimitOutcome, Rule,
};

type Body = Full<Bytes>;
type Ask = Request<Body>;

const MINUTE: Duration = Duration::from_secs(60);

/// A clock that the test moves; when it starts does not matter.
fn clock() -> Clock {
    Clock::manual(UnixMillis(1_800_000_000_123))
}

/// A layer on a memory store with this clock.
fn on(clock: &Clock) -> RateLimitLayerBuilder {
    let store = MemoryStore::new().with_clock(clock.clone());
    RateLimitLayer::builder().memory_store(Arc::new(store))
}

/// A layer on a memory store whose time stands still.
fn still() -> RateLimitLayerBuilder {
    on(&clock())
}

/// At most `limit` a minute for the whole tenant.
fn per_tenant(limit: u64) -> Rule {
    Rule::per_tenant(limit, MINUTE)
}

async fn inner(_: Ask) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from("inner")))
}

fn get(path: &str) -> Ask {
    Request::get(path).body(Body::default()).unwrap()
}

/// The principal of user `user` of `tenant`.
fn principal(tenant: &str, user: &str) -> Principal {
    Principal::new(TenantId::new(tenant).unwrap()).with_user(UserId::new(user).unwrap())
}

/// A request with this in its extensions.
fn with(extension: impl Clone + Send + Sync + 'static) -> Ask {
    let mut request = get("/");
    request.extensions_mut().insert(extension);
    request
}

/// An answer, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    extensions: Extensions,
    outcome: Option<RateLimitOutcome>,
    body: Bytes,
}

impl Reply {
    async fn read(response: Response<ResponseBody<Body>>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            outcome: head.extensions.get().copied(),
            extensions: head.extensions,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A header that is there once.
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "`{name}` is there more than once");
        value
    }

    fn retry_after(&self) -> u64 {
        self.header("retry-after").unwrap().parse().unwrap()
    }

    /// The problem document, with this status in head and body.
    fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let document: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], status);
        document
    }

    /// The rules that a 429 names.
    fn violated(&self) -> Vec<String> {
        let document = self.problem(429);
        serde_json::from_value(document["violated-policies"].clone()).unwrap()
    }
}

/// A layer around [`inner`], asked with a clone of the service for each request, as servers do.
struct Limited {
    layer: RateLimitLayer,
}

impl Limited {
    fn new(builder: RateLimitLayerBuilder) -> Self {
        Self { layer: builder.expose_outcome(true).build().unwrap() }
    }

    async fn ask(&self, request: Ask) -> Reply {
        ask(&self.layer.layer(service_fn(inner)), request).await
    }

    async fn get(&self) -> Reply {
        self.ask(get("/")).await
    }

    /// The statuses of these requests, in order.
    async fn statuses(&self, requests: impl IntoIterator<Item = Ask>) -> Vec<u16> {
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(self.ask(request).await.status.as_u16());
        }
        statuses
    }

    /// Whether all of these requests count together, and none of them with any other: where the
    /// limit is as many as they are, each is admitted, and one more of any is not.
    async fn count_together(&self, requests: impl IntoIterator<Item = Ask>) -> bool {
        let requests: Vec<Ask> = requests.into_iter().collect();
        let admitted = self.statuses(requests.clone()).await;
        let more = self.statuses(requests).await;
        admitted.iter().all(|status| *status == 200) && more.iter().all(|status| *status == 429)
    }
}

async fn ask<S>(service: &S, request: Ask) -> Reply
where
    S: Service<Ask, Response = Response<ResponseBody<Body>>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    Reply::read(response).await
}
