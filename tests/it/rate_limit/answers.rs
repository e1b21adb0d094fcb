//! What is answered: how many are admitted, and how the others are told.

use std::time::Duration;

use http::{Method, Request};
use proptest::prelude::*;
use tower_keep_rate_limit::{RateLimitLayer, RateLimitOutcome, Rule};

use super::{
    Ask, Body, Limited, clock, get, on, per_tenant, principal, still,
    told::{Say, Told},
    with,
};

fn asked(method: Method) -> Ask {
    Request::builder().method(method).uri("/").body(Body::default()).unwrap()
}

fn grpc(content_type: &str, path: &str) -> Ask {
    let request = Request::post(path).header("content-type", content_type);
    request.body(Body::default()).unwrap()
}

#[tokio::test]
async fn of_105_calls_100_are_admitted_and_5_denied() {
    let limited = Limited::new(still().rule(Rule::per_user(100, Duration::from_secs(900))));
    let statuses = limited.statuses((0..105).map(|_| with(principal("acme", "42")))).await;
    assert_eq!(statuses[..100], [200; 100]);
    assert_eq!(statuses[100..], [429; 5]);
}

#[tokio::test]
async fn an_admitted_request_gets_the_inner_answer_and_a_denied_one_the_problem() {
    let limited = Limited::new(still().rule(per_tenant(1)));
    let admitted = limited.get().await;
    assert_eq!((admitted.status.as_u16(), &admitted.body[..]), (200, &b"inner"[..]));
    assert_eq!(admitted.header("retry-after"), None);
    assert_eq!(admitted.header("cache-control"), None);

    let denied = limited.get().await;
    let problem = denied.problem(429);
    let quota_exceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], quota_exceeded);
    assert!(problem["title"].is_string());
    assert_eq!(denied.violated(), ["tenant"]);
    assert_eq!(denied.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn exactly_the_violated_rules_are_named() {
    let posts = Rule::per_tenant(1, Duration::from_secs(1)).named("posts").methods([Method::POST]);
    let limited = Limited::new(
        still().rule(per_tenant(2)).rule(Rule::per_user(1, super::MINUTE)).rule(posts),
    );
    let user = |name| with(principal("t", name));
    assert_eq!(limited.statuses([user("a")]).await, [200]);
    assert_eq!(limited.ask(user("a")).await.violated(), ["user"]);
    // What `user` denied was not counted by `tenant`: there is room for one more.
    assert_eq!(limited.statuses([user("b")]).await, [200]);
    assert_eq!(limited.ask(user("c")).await.violated(), ["tenant"]);
    assert_eq!(limited.ask(user("a")).await.violated(), ["tenant", "user"]);
    // Nor was anything counted for `c` or by `posts`, ever.
    let mut post = user("c");
    *post.method_mut() = Method::POST;
    assert_eq!(limited.ask(post).await.violated(), ["tenant"]);
}

#[tokio::test]
async fn head_is_told_without_a_body() {
    let limited = Limited::new(still().rule(per_tenant(1)));
    limited.get().await;
    let full = limited.get().await;
    let head = limited.ask(asked(Method::HEAD)).await;
    assert_eq!(head.status, 429);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), Some(full.body.len().to_string().as_str()));
    for name in ["content-type", "retry-after", "ratelimit", "ratelimit-policy"] {
        assert_eq!(head.header(name), full.header(name), "{name}");
        assert!(head.header(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn denied_calls_neither_consume_nor_extend() {
    let clock = clock();
    let limited = Limited::new(on(&clock).rule(per_tenant(2)));
    assert_eq!(limited.statuses([get("/"), get("/")]).await, [200; 2]);
    for second in 0..59 {
        assert_eq!(limited.get().await.retry_after(), 60 - second);
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(1));
    let statuses = limited.statuses((0..3).map(|_| get("/"))).await;
    assert_eq!(statuses, [200, 200, 429], "the full limit is there again, at once");
}

proptest! {
    /// Retry-After is at least 1; waiting that long is enough, whatever the window.
    #[test]
    fn waiting_as_told_is_enough(
        window in 1_u64..5_000,
        limit in 1_u64..4,
        steps in prop::collection::vec(0_u64..3_000, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = clock();
            let rule = Rule::per_tenant(limit, Duration::from_millis(window));
            let limited = Limited::new(on(&clock).rule(rule));
            for step in steps {
                let reply = limited.get().await;
                if reply.status == 429 {
                    let wait = reply.retry_after();
                    prop_assert!(wait >= 1 && wait <= window.div_ceil(1000), "{}", wait);
                    clock.advance(Duration::from_secs(wait));
                    prop_assert_eq!(limited.get().await.status.as_u16(), 200);
                }
                clock.advance(Duration::from_millis(step));
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_limit_of_0_denies_without_asking_and_without_a_time_to_come_back() {
    let store = Told::new(Say::Allow);
    let builder = RateLimitLayer::builder().store(store.clone());
    let nobody = Rule::per_tenant(0, super::MINUTE).named("nobody").methods([Method::POST]);
    let limited = Limited::new(builder.rule(per_tenant(5)).rule(nobody).legacy_headers(true));
    for _ in 0..3 {
        let denied = limited.ask(asked(Method::POST)).await;
        assert_eq!(denied.violated(), ["nobody"]);
        assert_eq!(denied.header("retry-after"), None);
        assert_eq!(denied.header("ratelimit"), Some(r#""nobody";r=0"#));
        assert_eq!(denied.outcome, Some(RateLimitOutcome::Denied));
    }
    assert!(store.asked().is_empty());
    assert_eq!(limited.get().await.status, 200, "the rule is for POST");
    assert_eq!(store.asked().len(), 1);
}

#[tokio::test]
async fn a_rule_counts_only_its_methods() {
    let rule = per_tenant(1).methods([Method::POST, Method::PUT]);
    let limited = Limited::new(still().rule(rule));
    for _ in 0..3 {
        let reply = limited.get().await;
        assert_eq!((reply.status.as_u16(), reply.header("ratelimit-policy")), (200, None));
        assert_eq!(reply.outcome, Some(RateLimitOutcome::Skipped));
    }
    let methods = [Method::POST, Method::PUT, Method::GET].map(asked);
    assert_eq!(limited.statuses(methods).await, [200, 429, 200]);
}

#[tokio::test]
async fn options_and_what_is_skipped_are_not_counted() {
    let health = |content_type| grpc(content_type, "/grpc.health.v1.Health/Check");
    let skipped = || {
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        [
            asked(Method::OPTIONS),
            health("application/grpc"),
            grpc("application/grpc+proto", reflection),
        ]
    };
    let limited = Limited::new(still().rule(per_tenant(1)).skip(|head| head.uri.path() == "/live"));
    for request in skipped().into_iter().chain(skipped()).chain([get("/live"), get("/live")]) {
        let reply = limited.ask(request).await;
        assert_eq!((reply.status.as_u16(), reply.header("ratelimit")), (200, None));
        assert_eq!(reply.outcome, Some(RateLimitOutcome::Skipped));
    }
    // Nothing was counted; and who only poses as a health check is.
    assert_eq!(limited.statuses([health("text/plain"), get("/")]).await, [200, 429]);

    let all = Limited::new(still().rule(per_tenant(3)).skip_nothing_by_default());
    assert_eq!(all.statuses(skipped()).await, [200; 3]);
    assert_eq!(all.get().await.status, 429, "each was counted");
}

#[tokio::test]
async fn grpc_callers_are_told_in_grpc() {
    for (sent, answered) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web+proto", "application/grpc-web"),
    ] {
        let limited = Limited::new(still().rule(per_tenant(1)));
        limited.get().await;
        let denied = limited.ask(grpc(sent, "/items.Items/Get")).await;
        assert_eq!((denied.status.as_u16(), denied.body.len()), (200, 0));
        assert_eq!(denied.header("content-type"), Some(answered));
        assert_eq!(denied.header("grpc-status"), Some("8"));
        assert!(denied.header("grpc-message").is_some());
        assert_eq!(denied.retry_after(), 60);
        assert_eq!(denied.header("grpc-retry-pushback-ms"), Some("60000"));
        assert_eq!(denied.header("ratelimit"), Some(r#""tenant";r=0;t=60"#));
    }
}
