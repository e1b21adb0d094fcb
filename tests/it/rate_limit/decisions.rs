//! What handlers, and whoever looks at the answer, are told of the decision.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Response;
use tower::{Layer as _, service_fn};
use tower_keep_core::ErrorClass;
use tower_keep_rate_limit::{Mode, RateLimitDecision, RateLimitLayer, RateLimitLayerBuilder};

use super::{
    Ask, Body, Reply, ask, get, per_tenant, still,
    told::{Say, Told},
};

/// What a handler behind this layer found in the extensions, and the answer.
async fn both(layer: &RateLimitLayer) -> (Option<RateLimitDecision>, Reply) {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let service = service_fn(move |request: Ask| {
        *note.lock().unwrap() = request.extensions().get().cloned();
        async { Ok::<_, Infallible>(Response::new(Body::default())) }
    });
    let reply = ask(&layer.layer(service), get("/")).await;
    let seen = seen.lock().unwrap().clone();
    (seen, reply)
}

fn outside(reply: &Reply) -> Option<&RateLimitDecision> {
    reply.extensions.get()
}

fn names(decision: Option<&RateLimitDecision>) -> Option<Vec<&str>> {
    decision.map(|decision| decision.rules.iter().map(|it| &*it.rule).collect())
}

fn build(builder: RateLimitLayerBuilder) -> RateLimitLayer {
    builder.build().unwrap()
}

#[tokio::test]
async fn nobody_is_told_unless_they_ask() {
    let plain = per_tenant(9);
    let asks = per_tenant(9).named("asks").tell_handlers();
    for (rules, expose, inside, out) in [
        (vec![plain.clone()], false, None, None),
        (vec![plain.clone()], true, None, Some(vec!["tenant"])),
        (vec![plain.clone(), asks.clone()], false, Some(vec!["asks"]), None),
        (vec![plain, asks], true, Some(vec!["asks"]), Some(vec!["tenant", "asks"])),
    ] {
        let builder = rules.into_iter().fold(still(), RateLimitLayerBuilder::rule);
        let (seen, reply) = both(&build(builder.expose_decision(expose))).await;
        assert_eq!(names(seen.as_ref()), inside);
        assert_eq!(names(outside(&reply)), out);
    }
}

#[tokio::test]
async fn a_decision_says_how_each_rule_stands() {
    let builder = still()
        .rule(per_tenant(2).tell_handlers())
        .rule(per_tenant(1).named("watched").mode(Mode::Shadow).tell_handlers())
        .rule(per_tenant(100).named("secret").hidden().cost(|_| 3).tell_handlers());
    let layer = build(builder.expose_decision(true));
    for (turn, status) in [(1, 200), (2, 200), (3, 429)] {
        let (seen, reply) = both(&layer).await;
        assert_eq!(reply.status, status);
        let decision = outside(&reply).unwrap();
        // Handlers are told the same; who is denied reaches none.
        assert_eq!(seen.as_ref(), Some(decision).filter(|_| status == 200));
        let [tenant, watched, secret] = &*decision.rules else { panic!("{decision:?}") };
        let admitted = turn.min(2);
        assert_eq!((tenant.limit, tenant.cost, tenant.remaining), (2, 1, 2 - admitted));
        assert_eq!((secret.limit, secret.cost, secret.remaining), (100, 3, 100 - 3 * admitted));
        assert_eq!((watched.limit, watched.remaining), (1, 0));
        let enforced = [tenant, watched, secret].map(|it| it.is_enforced);
        assert_eq!(enforced, [true, false, true]);
        let minute = Duration::from_secs(60);
        assert_eq!(tenant.wait, Some(minute).filter(|_| turn == 3));
        assert_eq!(watched.wait, Some(minute).filter(|_| turn > 1));
        assert_eq!((secret.wait, secret.resets_in), (None, minute));
    }
}

/// Over a store that must be awaited too; and nothing is made up where nothing was decided.
#[tokio::test]
async fn a_decision_is_there_whoever_counted_and_not_where_nobody_did() {
    for store in Told::both(Say::Allow) {
        let builder = RateLimitLayer::builder().store(store.clone());
        let layer = build(builder.rule(per_tenant(9).tell_handlers()).expose_decision(true));
        for say in [Say::Allow, Say::Fail(ErrorClass::Unknown)] {
            store.say(say);
            let (seen, reply) = both(&layer).await;
            assert_eq!(seen.unwrap().rules[0].remaining, 8, "{say:?}");
            assert_eq!(outside(&reply).unwrap().rules[0].remaining, 8);
        }
    }
    let skipped = still().rule(per_tenant(9).tell_handlers()).skip(|_| true);
    let (seen, reply) = both(&build(skipped.expose_decision(true))).await;
    assert_eq!((seen, outside(&reply)), (None, None));
}

/// No store is asked then, so of the other rules nothing is known.
#[tokio::test]
async fn what_never_fits_is_told_too() {
    let store = Told::new(Say::Allow);
    let builder = RateLimitLayer::builder()
        .store(store.clone())
        .rule(per_tenant(9).named("wide"))
        .rule(per_tenant(2).named("narrow").cost(|_| 3))
        .rule(per_tenant(0).named("watched").mode(Mode::Shadow))
        .rule(per_tenant(0).named("none").hidden());
    let (seen, reply) = both(&build(builder.expose_decision(true))).await;
    assert_eq!((seen, reply.status.as_u16()), (None, 429));
    assert!(store.asked().is_empty());
    let decision = outside(&reply).unwrap();
    assert_eq!(names(Some(decision)).unwrap(), ["narrow", "none"]);
    for (rule, limit, cost) in [(&decision.rules[0], 2, 3), (&decision.rules[1], 0, 1)] {
        assert_eq!((rule.limit, rule.cost, rule.remaining), (limit, cost, 0));
        assert_eq!((rule.wait, rule.is_enforced), (Some(Duration::MAX), true));
    }
}
