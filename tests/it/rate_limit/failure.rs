//! What happens while the store fails.

use std::sync::Arc;

use http::Method;
use tower_keep_core::ErrorClass;
use tower_keep_rate_limit::{
    Caller, MemoryStore, OnStoreError, RateLimitLayer, RateLimitLayerBuilder, RateLimitOutcome,
    Rule,
};

use super::{
    Limited, MINUTE, Reply, clock, get, per_tenant, principal,
    told::{Say, Told},
    with,
};

const CLASSES: [ErrorClass; 3] = [ErrorClass::NotSent, ErrorClass::Unknown, ErrorClass::Refused];

/// A layer on `store` which counts, while that fails, by a clock that stands still.
fn on(store: &Arc<Told>) -> RateLimitLayerBuilder {
    let fallback = Arc::new(MemoryStore::new().with_clock(clock()));
    RateLimitLayer::builder().store_with_fallback(store.clone(), fallback)
}

/// Stores that fail in every way there is.
fn failing() -> impl Iterator<Item = Arc<Told>> {
    CLASSES.into_iter().flat_map(|class| Told::both(Say::Fail(class)))
}

fn is_closed(reply: &Reply) {
    let problem = reply.problem(503);
    let reduced = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(problem["type"], reduced);
    assert!(reply.retry_after() >= 1);
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
    assert_eq!(reply.outcome, Some(RateLimitOutcome::FailedClosed));
}

#[tokio::test]
async fn local_is_the_default_and_counts_in_this_process() {
    for store in failing() {
        let limited = Limited::new(on(&store).rule(Rule::per_user(2, MINUTE)));
        for (remaining, outcome) in
            [(1, RateLimitOutcome::LocalAllowed), (0, RateLimitOutcome::LocalAllowed)]
        {
            let reply = limited.ask(with(principal("t", "a"))).await;
            assert_eq!((reply.status.as_u16(), reply.outcome), (200, Some(outcome)));
            let field = format!(r#""user";r={remaining};t=60"#);
            assert_eq!(reply.header("ratelimit"), Some(field.as_str()));
        }
        let denied = limited.ask(with(principal("t", "a"))).await;
        assert_eq!(denied.violated(), ["user"]);
        assert_eq!(denied.retry_after(), 60);
        assert_eq!(denied.outcome, Some(RateLimitOutcome::LocalDenied));
        assert_eq!(limited.ask(with(principal("t", "b"))).await.status, 200, "somebody else");
        assert_eq!(store.asked().len(), 4, "the store is asked first, each time");
    }
}

#[tokio::test]
async fn who_was_blocked_here_stays_so_whatever_the_rules_do_without_their_store() {
    for (on_error, other) in [
        (OnStoreError::Open, RateLimitOutcome::FailedOpen),
        (OnStoreError::Local, RateLimitOutcome::LocalAllowed),
    ] {
        let store = Told::new(Say::Fail(ErrorClass::NotSent));
        let limited = Limited::new(on(&store).rule(per_tenant(9).on_store_error(on_error)));
        let (blocked, free) = (principal("t", "a"), principal("t", "b"));
        let caller = Caller::of(&blocked).unwrap();
        assert!(
            limited.layer.limits().block(&caller, MINUTE).await.is_err(),
            "no other process knows"
        );
        let reply = limited.ask(with(blocked)).await;
        assert_eq!((reply.status.as_u16(), reply.retry_after()), (429, 60));
        assert_eq!(reply.outcome, Some(RateLimitOutcome::Blocked));
        assert_eq!(limited.ask(with(free)).await.outcome, Some(other));
    }
}

#[tokio::test]
async fn any_store_has_a_local_count_to_fall_back_on() {
    let store = Told::new(Say::Fail(ErrorClass::NotSent));
    let limited = Limited::new(RateLimitLayer::builder().store(store).rule(per_tenant(1)));
    assert_eq!(limited.statuses([get("/"), get("/")]).await, [200, 429]);
}

#[tokio::test]
async fn open_lets_all_pass_untold() {
    for store in failing() {
        let rule = per_tenant(1).on_store_error(OnStoreError::Open);
        let limited = Limited::new(on(&store).rule(rule));
        for _ in 0..3 {
            let reply = limited.get().await;
            assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"inner"[..]));
            assert_eq!(reply.header("ratelimit"), None);
            assert_eq!(reply.outcome, Some(RateLimitOutcome::FailedOpen));
        }
    }
}

#[tokio::test]
async fn closed_answers_503_and_never_429() {
    for store in failing() {
        let rule = per_tenant(1).on_store_error(OnStoreError::Closed);
        let limited = Limited::new(on(&store).rule(rule));
        for _ in 0..3 {
            is_closed(&limited.get().await);
        }
        let mut grpc = get("/");
        grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let reply = limited.ask(grpc).await;
        assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, Some("14")));
    }
}

#[tokio::test]
async fn each_rule_has_its_own_way() {
    for store in failing() {
        let posts = Rule::per_tenant(5, MINUTE).named("posts").methods([Method::POST]);
        let limited = Limited::new(
            on(&store)
                .rule(per_tenant(1).named("open").on_store_error(OnStoreError::Open))
                .rule(per_tenant(2).named("local"))
                .rule(posts.on_store_error(OnStoreError::Closed)),
        );
        // The open rule is left out, the closed one does not match.
        for status in [200, 200, 429] {
            let reply = limited.get().await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("ratelimit-policy"), Some(r#""local";q=2;w=60"#));
        }
        assert_eq!(limited.get().await.violated(), ["local"]);
        // Where it matches, it decides.
        let mut post = get("/");
        *post.method_mut() = Method::POST;
        is_closed(&limited.ask(post).await);
    }
}

#[tokio::test]
async fn once_the_store_is_back_it_decides_again() {
    for store in Told::both(Say::Allow) {
        let limited = Limited::new(on(&store).rule(per_tenant(1)));
        for (say, status, outcome) in [
            (Say::Allow, 200, RateLimitOutcome::Allowed),
            // The local count starts empty.
            (Say::Fail(ErrorClass::Unknown), 200, RateLimitOutcome::LocalAllowed),
            (Say::Fail(ErrorClass::NotSent), 429, RateLimitOutcome::LocalDenied),
            (Say::Allow, 200, RateLimitOutcome::Allowed),
            (Say::Deny, 429, RateLimitOutcome::Denied),
        ] {
            store.say(say);
            let reply = limited.get().await;
            let told = (reply.status.as_u16(), reply.outcome);
            assert_eq!(told, (status, Some(outcome)), "{say:?}");
        }
    }
}

#[tokio::test]
async fn a_denial_by_the_store_is_no_failure() {
    for store in Told::both(Say::Deny) {
        for policy in [OnStoreError::Local, OnStoreError::Open, OnStoreError::Closed] {
            let limited = Limited::new(on(&store).rule(per_tenant(9).on_store_error(policy)));
            let denied = limited.get().await;
            assert_eq!(denied.violated(), ["tenant"]);
            assert_eq!(denied.outcome, Some(RateLimitOutcome::Denied));
        }
    }
}

/// A layer on a memory store with room for 8 counters, all taken by users at their limit.
async fn full(policy: OnStoreError) -> Limited {
    let store = MemoryStore::new().with_capacity(8).with_clock(clock());
    let rule = Rule::per_user(1, MINUTE).on_store_error(policy);
    let limited = Limited::new(RateLimitLayer::builder().memory_store(Arc::new(store)).rule(rule));
    let users = || (0..8).map(|n| with(principal("t", &n.to_string())));
    assert!(limited.statuses(users()).await.iter().all(|status| *status == 200));
    assert!(limited.statuses(users()).await.iter().all(|status| *status == 429));
    limited
}

#[tokio::test]
async fn a_full_memory_store_admits_newcomers_and_frees_nobody() {
    let limited = full(OnStoreError::Local).await;
    for n in 100..200 {
        let reply = limited.ask(with(principal("t", &n.to_string()))).await;
        assert_eq!(reply.outcome, Some(RateLimitOutcome::FailedOpen));
        assert_eq!(reply.status, 200);
    }
    for n in 0..8 {
        let reply = limited.ask(with(principal("t", &n.to_string()))).await;
        assert_eq!(reply.status, 429, "a flood of newcomers freed {n}");
    }
}

#[tokio::test]
async fn a_full_memory_store_is_a_failed_store() {
    let limited = full(OnStoreError::Closed).await;
    is_closed(&limited.ask(with(principal("t", "newcomer"))).await);
    assert_eq!(limited.ask(with(principal("t", "0"))).await.status, 429);
}
