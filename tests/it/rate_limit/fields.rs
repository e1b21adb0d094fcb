//! The header fields that tell a caller how its limits stand.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use sfv::{BareItem, ListEntry, Parser};
use tower::{Layer as _, service_fn};
use tower_keep_rate_limit::{MemoryStore, RateLimitLayer, Rule};

use super::{Ask, Body, Limited, Reply, ask, clock, get, on, per_tenant, principal, still, with};

pub(super) const POLICY: &str = "ratelimit-policy";
pub(super) const LIMIT: &str = "ratelimit";
const LEGACY: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

/// An item of either field: its name, and its parameters in order.
pub(super) type Item = (String, Vec<(String, i64)>);

pub(super) fn item(name: &str, parameters: &[(&str, i64)]) -> Item {
    let owned = parameters.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
    (name.to_owned(), owned)
}

/// The items of a field: a list (RFC 9651) of strings with integer parameters, however many lines
/// it comes in.
pub(super) fn items(headers: &HeaderMap, field: &str) -> Vec<Item> {
    let lines: Vec<&[u8]> = headers.get_all(field).iter().map(HeaderValue::as_bytes).collect();
    let list = Parser::parse_list(&lines.join(&b", "[..])).unwrap();
    list.into_iter()
        .map(|entry| {
            let ListEntry::Item(item) = entry else { panic!("an inner list") };
            let BareItem::String(name) = item.bare_item else { panic!("a name is no string") };
            let integer = |value| match value {
                BareItem::Integer(number) => number,
                other => panic!("{other:?} is no integer"),
            };
            (name, item.params.into_iter().map(|(key, value)| (key, integer(value))).collect())
        })
        .collect()
}

pub(super) fn policy(reply: &Reply) -> Vec<Item> {
    items(&reply.headers, POLICY)
}

/// The one item of `RateLimit`.
pub(super) fn limit(reply: &Reply) -> Item {
    let mut items = items(&reply.headers, LIMIT);
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

#[tokio::test]
async fn what_remains_goes_down_by_one_to_zero_and_stays_there() {
    let clock = clock();
    let rule = Rule::per_user(3, Duration::from_millis(9_500));
    let limited = Limited::new(on(&clock).rule(rule));
    for (status, remaining, resets_in) in
        [(200, 2, 10), (200, 1, 9), (200, 0, 8), (429, 0, 7), (429, 0, 6)]
    {
        let reply = limited.ask(with(principal("t", "u"))).await;
        assert_eq!(reply.status, status);
        assert_eq!(policy(&reply), [item("user", &[("q", 3), ("w", 10)])]);
        assert_eq!(limit(&reply), item("user", &[("r", remaining), ("t", resets_in)]));
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(6));
    let reply = limited.ask(with(principal("t", "u"))).await;
    assert_eq!(limit(&reply), item("user", &[("r", 2), ("t", 10)]), "a new window");
}

#[tokio::test]
async fn a_window_under_a_second_is_told_as_one() {
    let limited = Limited::new(still().rule(Rule::per_tenant(1, Duration::from_millis(40))));
    for status in [200, 429] {
        let reply = limited.get().await;
        assert_eq!(reply.status, status);
        assert_eq!(policy(&reply), [item("tenant", &[("q", 1), ("w", 1)])]);
        assert_eq!(limit(&reply), item("tenant", &[("r", 0), ("t", 1)]));
    }
}

#[tokio::test]
async fn every_rule_that_matched_is_named_and_the_tightest_is_told() {
    let clock = clock();
    let posts = Rule::per_tenant(1, Duration::from_secs(5)).named("posts").methods([Method::POST]);
    let builder = on(&clock).rule(per_tenant(4)).rule(Rule::per_user(2, Duration::from_secs(10)));
    let limited = Limited::new(builder.rule(posts));
    let named = [item("tenant", &[("q", 4), ("w", 60)]), item("user", &[("q", 2), ("w", 10)])];
    let user = |name| with(principal("t", name));

    let reply = limited.ask(user("a")).await;
    assert_eq!(policy(&reply), named);
    assert_eq!(limit(&reply), item("user", &[("r", 1), ("t", 10)]));
    limited.ask(user("b")).await;
    // Both have one left: the one that is blocked longer is told.
    let reply = limited.ask(user("c")).await;
    assert_eq!(limit(&reply), item("tenant", &[("r", 1), ("t", 60)]));

    let mut post = user("d");
    *post.method_mut() = Method::POST;
    let reply = limited.ask(post).await;
    assert_eq!(reply.status, 200);
    let with_posts = [named[0].clone(), named[1].clone(), item("posts", &[("q", 1), ("w", 5)])];
    assert_eq!(policy(&reply), with_posts);
    assert_eq!(limit(&reply), item("tenant", &[("r", 0), ("t", 60)]));
}

#[tokio::test]
async fn a_denial_tells_the_violated_limit_that_blocks_longest() {
    let hourly = Rule::per_tenant(1, Duration::from_secs(3600)).named("hourly");
    let spare = Rule::per_tenant(9, Duration::from_secs(86_400)).named("spare");
    let minutely = per_tenant(1).named("minutely");
    let limited = Limited::new(still().rule(minutely).rule(hourly).rule(spare));
    limited.get().await;
    let reply = limited.get().await;
    assert_eq!(reply.violated(), ["minutely", "hourly"]);
    assert_eq!(limit(&reply), item("hourly", &[("r", 0), ("t", 3600)]));
    assert_eq!(reply.retry_after(), 3600);
}

#[tokio::test]
async fn legacy_fields_are_sent_only_when_asked_for() {
    let without = Limited::new(still().rule(per_tenant(1)));
    let with = Limited::new(still().rule(per_tenant(1)).legacy_headers(true));
    for (status, remaining) in [(200, "0"), (429, "0")] {
        let reply = without.get().await;
        assert_eq!(reply.status, status);
        assert_eq!(LEGACY.map(|name| reply.header(name)), [None; 3]);
        let reply = with.get().await;
        assert_eq!(reply.status, status);
        assert_eq!(LEGACY.map(|name| reply.header(name)), [Some("1"), Some(remaining), Some("60")]);
        assert_eq!(limit(&reply).0, "tenant", "the standard fields are sent beside them");
    }
}

#[tokio::test]
async fn each_kind_of_field_can_be_switched_off() {
    for (legacy, expected) in [(false, 0), (true, 3)] {
        let builder = still().rule(per_tenant(1)).headers(false).legacy_headers(legacy);
        let limited = Limited::new(builder);
        for status in [200, 429] {
            let reply = limited.get().await;
            assert_eq!(reply.status, status);
            let sent = reply.headers.keys().filter(|name| name.as_str().contains("ratelimit"));
            assert_eq!(sent.count(), expected);
        }
        assert_eq!(limited.get().await.retry_after(), 60, "that is no field of ours to drop");
    }
}

/// A service with limits of its own.
async fn limits_itself(_: Ask) -> Result<Response<Body>, Infallible> {
    let response = Response::builder()
        .header(POLICY, r#""inner";q=7;w=7"#)
        .header(LIMIT, r#""inner";r=6;t=5"#)
        .header("x-ratelimit-limit", "7");
    Ok(response.body(Body::default()).unwrap())
}

#[tokio::test]
async fn the_inner_services_own_fields_stay() {
    let layer = still().rule(per_tenant(3)).legacy_headers(true).build().unwrap();
    let reply = ask(&layer.layer(service_fn(limits_itself)), get("/")).await;
    assert_eq!(
        policy(&reply),
        [item("inner", &[("q", 7), ("w", 7)]), item("tenant", &[("q", 3), ("w", 60)])]
    );
    assert_eq!(
        items(&reply.headers, LIMIT),
        [item("inner", &[("r", 6), ("t", 5)]), item("tenant", &[("r", 2), ("t", 60)])]
    );
    // No list: two of them would be read as neither.
    assert_eq!(reply.header("x-ratelimit-limit"), Some("7"));
    assert_eq!(reply.header("x-ratelimit-remaining"), Some("2"));
}

#[tokio::test]
async fn two_layers_on_one_store_tell_both_and_count_each_rule_once() {
    let store = Arc::new(MemoryStore::new().with_clock(clock()));
    let layer = |rule: Rule| {
        let builder = RateLimitLayer::builder().memory_store(Arc::clone(&store));
        builder.rule(rule).build().unwrap()
    };
    let (outer, inside) = (layer(per_tenant(5)), layer(per_tenant(2).named("inside")));
    let service = inside.layer(service_fn(super::inner));
    for (remaining, status) in [(1, 200), (0, 200), (0, 429)] {
        let request = Request::get("/").body(Body::default()).unwrap();
        let response = tower::ServiceExt::oneshot(outer.layer(service.clone()), request).await;
        let response = response.unwrap();
        assert_eq!(response.status(), status);
        let told = items(response.headers(), LIMIT);
        assert_eq!(told[0].1[0], ("r".to_owned(), remaining), "{told:?}");
        assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("inside", "tenant"));
    }
}
