//! How many allocations a layer adds to a request, counted exactly.
//!
//! A binary of its own, because counting takes the place of the program's allocator; it counts by
//! thread, so tests that run beside each other do not disturb it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails where it meets what it did not expect"
)]

mod cache;
mod session;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, Service, service_fn};
use tower_keep_core::{PeerAddr, Principal, RouteTemplate, TenantId, UserId};
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule, Scope};

type Answer = Response<Empty<Bytes>>;

/// Answers without an allocation.
fn bare() -> impl Service<
    Request<()>,
    Response = Answer,
    Error = Infallible,
    Future = Ready<Result<Answer, Infallible>>,
> + Clone {
    service_fn(|_: Request<()>| ready(Ok(Response::new(Empty::new()))))
}

/// As a request arrives at the limiter of a full stack.
fn request() -> Request<()> {
    let tenant = TenantId::new("acme").unwrap();
    Request::get("/items/7")
        .header("accept", "*/*")
        .extension(Principal::new(tenant).with_user(UserId::new("42").unwrap()))
        .extension(PeerAddr(([192, 0, 2, 1], 4711).into()))
        .extension(RouteTemplate::new("/items/{id}"))
        .body(())
        .unwrap()
}

/// The allocations of one request and its answer, the making of the request left out.
fn allocations<S, B>(service: &mut S) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    allocations_for(service, request())
}

/// The same for this request.
fn allocations_for<S, B>(service: &mut S, request: Request<()>) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let info = allocation_counter::measure(|| {
        let mut context = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut context).is_ready());
        match pin!(service.call(request)).poll(&mut context) {
            Poll::Ready(answer) => assert_eq!(black_box(answer).unwrap().status(), 200),
            Poll::Pending => panic!("memory answers at once"),
        }
    });
    info.count_total
}

/// What `builder`'s layer adds to the bare service, once its first requests are through.
fn added(builder: RateLimitLayerBuilder) -> u64 {
    let mut limited = builder.build().unwrap().layer(bare());
    for _ in 0..100 {
        allocations(&mut limited);
    }
    let counts: Vec<u64> = (0..100).map(|_| allocations(&mut limited)).collect();
    let most = counts.iter().max().copied().unwrap();
    assert_eq!(counts.iter().min().copied(), Some(most), "not the same for every request");
    most - allocations(&mut bare())
}

fn one_rule() -> RateLimitLayerBuilder {
    let scope = Scope::tenant().user().endpoint();
    let rule = Rule::per(scope, 1_000_000, Duration::from_secs(900));
    RateLimitLayer::builder().memory().rule(rule)
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| {
        black_box(Box::new(7));
        black_box(vec![1, 2]);
    });
    assert_eq!(info.count_total, 2);
    assert_eq!(allocations(&mut bare()), 0);
}

#[test]
fn one_rule_with_fields_is_within_4_allocations() {
    let added = added(one_rule());
    println!("one rule, with fields: {added}");
    assert!(added <= 4, "{added} allocations");
}

#[test]
fn one_rule_without_fields_is_within_2_allocations() {
    let added = added(one_rule().headers(false));
    println!("one rule, without fields: {added}");
    assert!(added <= 2, "{added} allocations");
}

#[test]
fn more_rules_cost_no_further_allocation() {
    let one = added(one_rule());
    let three = one_rule()
        .rule(Rule::per_user(1_000_000, Duration::from_secs(900)))
        .rule(Rule::per_tenant(1_000_000, Duration::from_secs(900)));
    assert_eq!(added(three), one);
}
