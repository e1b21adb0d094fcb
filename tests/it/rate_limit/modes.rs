//! Rules that are watched only, hidden, or off.

use http::Request;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower_keep_core::ErrorClass;
use tower_keep_rate_limit::{
    Mode, OnStoreError, OnUnidentified, RateLimitLayer, RateLimitOutcome, Rule,
};

use super::{
    Body, Limited, MINUTE,
    fields::{LIMIT, items, policy},
    get, per_tenant, principal, still,
    told::{Say, Told},
    with,
};

/// In no field of any kind is there a word of it.
fn is_untold(reply: &super::Reply, name: &str) {
    for (field, value) in &reply.headers {
        assert!(!value.to_str().unwrap().contains(name), "{field}: {value:?}");
    }
    assert!(!String::from_utf8_lossy(&reply.body).contains(name), "{:?}", reply.body);
}

#[tokio::test]
async fn a_watched_rule_denies_nothing_is_told_to_nobody_and_stops_no_other() {
    for limit in [0, 1, 2, 9] {
        let watched = per_tenant(limit).named("watched").mode(Mode::Shadow);
        for builder in [
            still().rule(watched.clone()).rule(per_tenant(3)),
            still().rule(per_tenant(3)).rule(watched.clone()),
        ] {
            let limited = Limited::new(builder.legacy_headers(true));
            for (status, left) in [(200, 2), (200, 1), (200, 0), (429, 0), (429, 0)] {
                let reply = limited.get().await;
                assert_eq!(reply.status, status, "{limit}");
                is_untold(&reply, "watched");
                assert_eq!(policy(&reply).len(), 1);
                let items = items(&reply.headers, LIMIT);
                assert_eq!((items[0].0.as_str(), items[0].1[0].1), ("tenant", left));
                assert_eq!(reply.header("x-ratelimit-limit"), Some("3"));
            }
        }
    }
}

#[tokio::test]
async fn a_watched_rule_alone_sends_no_field_at_all() {
    let watched = per_tenant(1).mode(Mode::Shadow);
    let limited = Limited::new(still().rule(watched).legacy_headers(true));
    for _ in 0..3 {
        let reply = limited.get().await;
        assert_eq!((reply.status.as_u16(), reply.outcome), (200, Some(RateLimitOutcome::Allowed)));
        let sent = reply.headers.keys().find(|name| name.as_str().contains("ratelimit"));
        assert_eq!(sent, None);
    }
}

/// Neither who is unidentified nor a failed store is a reason for it to refuse anybody.
#[tokio::test]
async fn a_watched_rule_closes_no_door() {
    let watched = Rule::per_user(1, MINUTE).mode(Mode::Shadow);
    let closed = watched.on_store_error(OnStoreError::Closed);
    let limited =
        Limited::new(still().rule(closed.clone()).on_unidentified(OnUnidentified::Reject));
    assert_eq!(limited.statuses((0..3).map(|_| get("/"))).await, [200; 3]);
    for store in Told::both(Say::Fail(ErrorClass::Unknown)) {
        let limited = Limited::new(RateLimitLayer::builder().store(store).rule(closed.clone()));
        let reply = limited.ask(with(principal("t", "u"))).await;
        assert_eq!(reply.outcome, Some(RateLimitOutcome::FailedOpen));
        assert_eq!(reply.status, 200);
    }
    // Beside a rule that is enforced, that one decides.
    let both = still().rule(closed).rule(Rule::per_address(1, MINUTE));
    let limited = Limited::new(both.on_unidentified(OnUnidentified::Reject));
    assert_eq!(limited.get().await.status, 403);
}

/// Handles of this counter are looked up each time, so a recorder of this thread's sees it.
fn shadow_denials(act: impl AsyncFnOnce()) -> Vec<(String, u64)> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(act());
    });
    let mut counted = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if key.key().name() == "tower_keep_shadow_denied_total" {
            let DebugValue::Counter(count) = value else { panic!("{value:?}") };
            let labels: Vec<_> = key.key().labels().map(|it| (it.key(), it.value())).collect();
            let [("layer", "rate_limit"), ("rule", rule)] = labels[..] else {
                panic!("{labels:?}")
            };
            counted.push((rule.to_owned(), count));
        }
    }
    counted.sort();
    counted
}

#[test]
fn what_a_watched_rule_would_have_denied_is_counted_by_its_name() {
    let counted = shadow_denials(async || {
        let limited = Limited::new(
            still()
                .rule(per_tenant(2).named("watched").mode(Mode::Shadow))
                .rule(per_tenant(4).named("wider").mode(Mode::Shadow))
                .rule(per_tenant(9).named("widest").mode(Mode::Shadow))
                .rule(per_tenant(5)),
        );
        let statuses = limited.statuses((0..7).map(|_| get("/"))).await;
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    });
    // Of those that were admitted 3 over 2, and 1 over 4; and the 2 that another rule denied.
    assert_eq!(counted, [("watched".to_owned(), 5), ("wider".to_owned(), 3)]);
}

/// The enforced rule is never asked about, and the watched one only as far as it is clear.
#[test]
fn what_a_watched_rule_never_admits_is_counted_beside_one_that_denies_for_good() {
    let counted = shadow_denials(async || {
        let limited = Limited::new(
            still()
                .rule(per_tenant(0).named("none").mode(Mode::Shadow))
                .rule(per_tenant(1).named("one").mode(Mode::Shadow))
                .rule(per_tenant(0)),
        );
        assert_eq!(limited.statuses((0..2).map(|_| get("/"))).await, [429; 2]);
    });
    assert_eq!(counted, [("none".to_owned(), 2)]);
}

#[tokio::test]
async fn a_hidden_rule_denies_and_is_named_nowhere() {
    let hidden = per_tenant(2).named("secret").hidden();
    let limited = Limited::new(still().rule(hidden).rule(per_tenant(9)).legacy_headers(true));
    for status in [200, 200, 429, 429] {
        let reply = limited.get().await;
        assert_eq!(reply.status, status);
        is_untold(&reply, "secret");
        assert_eq!(policy(&reply).len(), 1);
        if status == 429 {
            assert!(reply.problem(429).get("violated-policies").is_none());
            assert_eq!(reply.retry_after(), 60, "when to come back is no secret");
            assert_eq!(items(&reply.headers, LIMIT), [], "no limit that is told was violated");
        } else {
            assert_eq!(items(&reply.headers, LIMIT)[0].0, "tenant");
        }
    }
    // Both are violated, and one is named.
    let both = still().rule(per_tenant(1).named("secret").hidden()).rule(per_tenant(1));
    let limited = Limited::new(both);
    limited.get().await;
    let denied = limited.get().await;
    assert_eq!(denied.violated(), ["tenant"]);
    is_untold(&denied, "secret");
    // And one that can never admit is as silent.
    let never = Limited::new(still().rule(per_tenant(0).named("secret").hidden()));
    let denied = never.get().await;
    assert_eq!(denied.status, 429);
    is_untold(&denied, "secret");
    let request = Request::post("/").header("content-type", "application/grpc");
    let grpc = never.ask(request.body(Body::default()).unwrap()).await;
    assert_eq!(grpc.header("grpc-status"), Some("8"));
    is_untold(&grpc, "secret");
}

#[tokio::test]
async fn a_rule_that_is_off_does_not_exist() {
    let store = Told::new(Say::Deny);
    let off = per_tenant(0).named("off").mode(Mode::Off);
    let limited = Limited::new(RateLimitLayer::builder().store(store.clone()).rule(off.clone()));
    for _ in 0..3 {
        let reply = limited.get().await;
        assert_eq!((reply.status.as_u16(), reply.outcome), (200, Some(RateLimitOutcome::Skipped)));
    }
    assert!(store.asked().is_empty());
    let limited = Limited::new(still().rule(off).rule(per_tenant(1)));
    let reply = limited.get().await;
    assert_eq!((reply.status.as_u16(), policy(&reply).len()), (200, 1));
    is_untold(&reply, "off");
    assert_eq!(limited.get().await.violated(), ["tenant"]);
}
