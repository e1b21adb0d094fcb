//! What the metrics say became of requests.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, process::Command, task::Poll};

use http::Request;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_rate_limit::RateLimitLayer;

use super::{
    Body, get, inner, per_tenant,
    told::{Say, Told},
};

/// The handles are taken for the life of the process when the first request comes, from the
/// recorder that is there then. So this test needs a process in which it is the only one: it has one
/// if it was asked for by its whole name, and else asks for one.
#[test]
fn requests_are_counted_by_what_became_of_them() {
    const EXACT: &str = "--exact";
    if std::env::args().any(|argument| argument == EXACT) {
        return alone();
    }
    let this = std::env::current_exe().unwrap();
    let name = "rate_limit::cancelled::requests_are_counted_by_what_became_of_them";
    let output = Command::new(this).args([EXACT, name]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "it was not run: {said}");
}

fn alone() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(traffic());
    });
    let (outcomes, decisions) = told(&snapshotter);
    let counted = outcomes.iter().map(|(outcome, count)| (outcome.as_str(), *count));
    let seen: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
    assert_eq!(seen, [("allowed", 3), ("cancelled", 2), ("denied", 1), ("skipped", 1)]);
    // All but the one that was decided at once.
    assert_eq!(decisions, 6);
}

async fn traffic() {
    let store = Told::later(Say::Allow);
    let layer = RateLimitLayer::builder().store(store.clone()).rule(per_tenant(9)).build().unwrap();
    for say in [Say::Allow, Say::Allow, Say::Deny] {
        store.say(say);
        layer.layer(service_fn(inner)).oneshot(get("/")).await.unwrap();
    }
    let preflight = Request::options("/").body(Body::default()).unwrap();
    layer.layer(service_fn(inner)).oneshot(preflight).await.unwrap();

    // The caller goes away while the store is asked …
    store.say(Say::Nothing);
    for _ in 0..2 {
        let mut call = pin!(layer.layer(service_fn(inner)).oneshot(get("/")));
        assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await.is_pending());
    }
    // … or later, when it has been admitted: that is no cancelled decision.
    store.say(Say::Allow);
    let stuck = service_fn(|_| std::future::pending::<Result<http::Response<Body>, ()>>());
    let mut call = pin!(layer.layer(stuck).oneshot(get("/")));
    for _ in 0..3 {
        assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await.is_pending());
    }
}

/// The requests by outcome, and how many decisions were timed.
fn told(snapshotter: &Snapshotter) -> (BTreeMap<String, u64>, usize) {
    let (mut outcomes, mut decisions) = (BTreeMap::new(), 0);
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let key = key.key();
        let label =
            |name| key.labels().find(|label| label.key() == name).map(metrics::Label::value);
        assert_eq!(label("layer"), Some("rate_limit"));
        match (key.name(), label("outcome"), value) {
            ("tower_keep_requests_total", Some(outcome), DebugValue::Counter(count)) => {
                outcomes.insert(outcome.to_owned(), count);
            }
            ("tower_keep_decision_seconds", None, DebugValue::Histogram(samples)) => {
                decisions += samples.len();
            }
            other => panic!("an unknown metric: {other:?}"),
        }
    }
    (outcomes, decisions)
}
