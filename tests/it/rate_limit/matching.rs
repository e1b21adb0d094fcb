//! Which requests a rule is for, what they cost, and what it makes groups of.

use std::time::Duration;

use http::{Method, Request};
use tower_keep_rate_limit::{
    Algorithm, Mode, RateLimitDecision, RateLimitLayer, RateLimitOutcome, Rule,
};

use super::{
    Ask, Body, Limited, get, per_tenant, still,
    told::{Say, Told},
};

fn asked(method: Method, path: &str) -> Ask {
    Request::builder().method(method).uri(path).body(Body::default()).unwrap()
}

fn carrying(name: &'static str, value: &str) -> Ask {
    let mut request = get("/");
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn header(name: &'static str) -> impl Fn(&http::request::Parts) -> Option<String> {
    move |head| Some(head.headers.get(name)?.to_str().ok()?.to_owned())
}

#[tokio::test]
async fn methods_paths_and_predicates_must_all_match() {
    let rule = per_tenant(1)
        .methods([Method::POST])
        .paths(["/login", "/users/{id}/keys", "/ai/{*rest}"])
        .when(|head| !head.headers.contains_key("x-free"))
        .when(|head| head.uri.query() != Some("free"));
    let mut free = asked(Method::POST, "/login");
    free.headers_mut().insert("x-free", "1".parse().unwrap());
    let limited = Limited::new(still().rule(rule));
    for (request, counted) in [
        (asked(Method::GET, "/login"), false),
        (asked(Method::POST, "/"), false),
        (asked(Method::POST, "/login/"), false),
        (asked(Method::POST, "/users/keys"), false),
        (asked(Method::POST, "/login?free"), false),
        (free, false),
        (asked(Method::POST, "/login?x=1"), true),
        (asked(Method::POST, "/%6cogin"), true),
        (asked(Method::POST, "/users/7/keys"), true),
        (asked(Method::POST, "/ai/a/b"), true),
    ] {
        for _ in 0..2 {
            let path = request.uri().to_string();
            let reply = limited.ask(request.clone()).await;
            let skipped = reply.outcome == Some(RateLimitOutcome::Skipped);
            assert_eq!(skipped, !counted, "{path}");
            assert_eq!(reply.header("ratelimit-policy").is_some(), counted, "{path}");
        }
    }
}

#[tokio::test]
async fn what_a_rule_cannot_match_is_refused_at_build() {
    for rule in [
        per_tenant(1).methods([]),
        per_tenant(1).paths([""; 0]),
        per_tenant(1).paths(["/a/{"]),
        per_tenant(1).paths(["/x", "/x"]),
    ] {
        assert!(still().rule(rule).build().is_err());
    }
}

#[tokio::test]
async fn a_cost_is_what_the_closure_says_of_the_request() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra] {
        let rule = per_tenant(10).algorithm(algorithm).cost(|head| {
            head.headers.get("x-cost").map_or(1, |cost| cost.to_str().unwrap().parse().unwrap())
        });
        let unpriced = per_tenant(100).named("unpriced");
        let limited = Limited::new(still().rule(rule).rule(unpriced).expose_decision(true));
        for (cost, status, left) in [
            ("4", 200, 6),
            ("0", 200, 6),
            ("7", 429, 6),
            ("6", 200, 0),
            ("0", 200, 0),
            ("1", 429, 0),
        ] {
            let reply = limited.ask(carrying("x-cost", cost)).await;
            assert_eq!(reply.status, status, "{cost}");
            let decision = reply.extensions.get::<RateLimitDecision>().unwrap();
            assert_eq!(decision.rules[0].remaining, left, "{cost}");
            if status == 429 {
                assert_eq!(reply.violated(), ["tenant"]);
            }
        }
    }
}

#[tokio::test]
async fn what_costs_more_than_the_limit_is_denied_for_good_without_asking() {
    let store = Told::new(Say::Allow);
    let cost = |head: &http::request::Parts| if head.method == Method::PUT { u64::MAX } else { 1 };
    let builder = RateLimitLayer::builder().store(store.clone());
    let limited =
        Limited::new(builder.rule(per_tenant(10).cost(cost)).rule(per_tenant(5).named("x")));
    let denied = limited.ask(asked(Method::PUT, "/")).await;
    assert_eq!((denied.violated(), denied.header("retry-after")), (vec!["tenant".into()], None));
    assert_eq!(denied.header("ratelimit"), None, "how it stands was not asked");
    assert!(store.asked().is_empty());
    assert_eq!(limited.get().await.status, 200);
    // A watched one is asked, and told that it never fits.
    let watched = per_tenant(10).cost(cost).mode(Mode::Shadow);
    let limited = Limited::new(still().rule(watched).expose_decision(true));
    let reply = limited.ask(asked(Method::PUT, "/")).await;
    assert_eq!(reply.status, 200);
    let decision = reply.extensions.get::<RateLimitDecision>().unwrap();
    assert_eq!(decision.rules[0].wait, Some(Duration::MAX));
}

#[tokio::test]
async fn a_part_of_its_own_makes_groups_that_never_collide() {
    let parts = [
        "a", "A", "a:b", "b", ":", "~none", "%7Enone", "{a}", "*", "a%3Ab", "~hff", " a b ", "",
        "ü",
    ];
    let by = |head: &http::request::Parts| {
        let part = percent_encoding::percent_decode(head.headers.get("x-key")?.as_bytes());
        Some(part.decode_utf8().unwrap().into_owned())
    };
    let encoded = |part: &str| {
        let part = percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC);
        carrying("x-key", &part.to_string())
    };
    let limited = Limited::new(still().rule(per_tenant(1).by(by)));
    for status in [200, 429] {
        for part in parts {
            assert_eq!(limited.ask(encoded(part)).await.status, status, "{part}");
        }
        assert_eq!(limited.get().await.status, status, "no part is a group too");
    }
    let store = Told::new(Say::Allow);
    let rules =
        [per_tenant(9).by(by), per_tenant(9).named("default").by(by), per_tenant(9).named("b")];
    let builder = RateLimitLayer::builder().store(store.clone());
    let limited = Limited::new(rules.into_iter().fold(builder, super::RateLimitLayerBuilder::rule));
    for part in parts {
        limited.ask(encoded(part)).await;
    }
    limited.get().await;
    let mut keys = store.asked().concat();
    keys.sort();
    let asked = keys.len();
    keys.dedup();
    // `b` has no part: one key for all.
    assert_eq!((asked, keys.len()), (3 * (parts.len() + 1), 2 * (parts.len() + 1) + 1));
}

#[tokio::test]
async fn a_rule_with_a_part_counts_beside_one_without() {
    let by_model = per_tenant(1).named("model").by(header("x-model"));
    let limited = Limited::new(still().rule(per_tenant(3)).rule(by_model));
    let ask = async |model: &str| {
        let reply = limited.ask(carrying("x-model", model)).await;
        if reply.status == 200 { vec![] } else { reply.violated() }
    };
    assert_eq!(ask("small").await, [""; 0]);
    assert_eq!(ask("small").await, ["model"]);
    assert_eq!(ask("large").await, [""; 0]);
    assert_eq!(ask("other").await, [""; 0]);
    assert_eq!(ask("more").await, ["tenant"]);
}

/// A rule that another rule's name and part could be taken for.
#[tokio::test]
async fn names_and_parts_do_not_run_into_each_other() {
    let store = Told::new(Say::Allow);
    let rules = [
        per_tenant(9).named("a").by(|_| Some("b".into())),
        per_tenant(9).named("a.b"),
        Rule::per_endpoint(9, super::MINUTE).named("a2").by(|_| None),
        per_tenant(9).named("c").by(|_| Some("x".repeat(500))),
        per_tenant(9).named("d").by(|_| Some("x".repeat(501))),
    ];
    let builder = RateLimitLayer::builder().store(store.clone());
    let limited = Limited::new(rules.into_iter().fold(builder, super::RateLimitLayerBuilder::rule));
    limited.get().await;
    let keys = &store.asked()[0];
    assert_eq!(keys[0], "ratelimit:~none:*:*:a:b");
    assert_eq!(keys[1], "ratelimit:~none:*:*:a.b");
    assert_eq!(keys[2], "ratelimit:~none:*:~unmatched:a2:~none");
    let hash = |key: &str| key.rsplit(':').next().unwrap().to_owned();
    assert_ne!(hash(&keys[3]), hash(&keys[4]));
    assert!(hash(&keys[3]).starts_with("~h") && keys[3].len() < 100);
}
