//! What can be built, and what is said of what cannot.

use std::time::Duration;

use tower_keep_core::ConfigError;
use tower_keep_rate_limit::{MAX_LIMIT, MAX_WINDOW, RateLimitLayer, Rule, Scope};

use super::{Limited, MINUTE, per_tenant, still};

fn names(error: &ConfigError) -> Vec<&str> {
    error.problems().iter().map(|problem| problem.name.as_str()).collect()
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let scope = Scope::tenant().user().address();
    let error = RateLimitLayer::builder()
        .key_life(MAX_WINDOW + Duration::from_secs(1))
        .rule(Rule::per(scope, MAX_LIMIT + 1, Duration::ZERO).named("a b"))
        .rule(per_tenant(1))
        .rule(per_tenant(2))
        .rule(per_tenant(1).named("never").methods([]))
        .rule(per_tenant(1).named("good"))
        .build()
        .unwrap_err();
    let bad = "rule `a b`";
    assert_eq!(
        names(&error),
        ["key_life", bad, bad, bad, bad, "rule `tenant`", "rule `never`", "store"]
    );
    let text = error.to_string();
    for problem in error.problems() {
        assert!(text.contains(&format!("{}: {}", problem.name, problem.message)), "{text}");
    }
    assert!(text.contains(&MAX_LIMIT.to_string()), "what is accepted is said: {text}");
}

#[test]
fn a_layer_needs_a_store_and_1_to_8_rules() {
    assert_eq!(names(&RateLimitLayer::builder().build().unwrap_err()), ["rules", "store"]);
    assert_eq!(names(&still().build().unwrap_err()), ["rules"]);
    let without_store = RateLimitLayer::builder().rule(per_tenant(1)).build();
    assert_eq!(names(&without_store.unwrap_err()), ["store"]);
    let with = |rules: u64| {
        let rules = (1..=rules).map(|n| per_tenant(n).named(format!("rule-{n}")));
        rules.fold(still(), super::RateLimitLayerBuilder::rule).build()
    };
    assert!(with(8).is_ok());
    assert_eq!(names(&with(9).unwrap_err()), ["rules"]);
}

#[tokio::test]
async fn any_rule_takes_the_place_of_the_default_one() {
    let policy = async |builder| {
        let reply = Limited::new(builder).get().await;
        reply.header("ratelimit-policy").unwrap().to_owned()
    };
    let default = still().default_rule(Rule::per(Scope::tenant(), 7, MINUTE));
    assert_eq!(policy(default.clone()).await, r#""default";q=7;w=60"#);
    assert_eq!(policy(default.rule(per_tenant(3))).await, r#""tenant";q=3;w=60"#);
}
