//! Rules that are exchanged while they count.

use std::{sync::Arc, time::Duration};

use tower::{Layer as _, service_fn};
use tower_keep_core::time::Clock;
use tower_keep_rate_limit::{Algorithm, MemoryStore, Mode, RateLimitLayer, Rule, RuleNames};

use super::{Limited, MINUTE, ask, clock, fields::policy, get, inner, on, per_tenant, still};

fn minutes(count: u64) -> Duration {
    MINUTE * u32::try_from(count).unwrap()
}

#[tokio::test]
async fn a_raise_frees_at_once_and_a_cut_counts_what_was_counted() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let rule = |limit| per_tenant(limit).algorithm(algorithm);
        let limited = Limited::new(still().rule(rule(2)));
        let ask = async |count: usize| limited.statuses((0..count).map(|_| get("/"))).await;
        assert_eq!(ask(3).await, [200, 200, 429]);
        limited.layer.reload_rules([rule(4)]).unwrap();
        assert_eq!(ask(3).await, [200, 200, 429]);
        limited.layer.reload_rules([rule(3)]).unwrap();
        assert_eq!(ask(1).await, [429]);
        limited.layer.reload_rules([rule(5)]).unwrap();
        assert_eq!(ask(2).await, [200, 429], "4 were counted all along");
        // While it is watched only, or off, it denies nothing; and then it counts on.
        limited.layer.reload_rules([rule(1).mode(Mode::Shadow)]).unwrap();
        assert_eq!(ask(2).await, [200, 200]);
        limited.layer.reload_rules([rule(1).mode(Mode::Off)]).unwrap();
        assert_eq!(ask(2).await, [200, 200]);
        limited.layer.reload_rules([rule(6)]).unwrap();
        assert_eq!(ask(2).await, [200, 429]);
    }
}

#[tokio::test]
async fn other_rules_come_and_go_and_keep_their_counters() {
    let limited = Limited::new(still().rule(per_tenant(2)));
    let names = async || {
        let reply = limited.get().await;
        let told: Vec<_> = policy(&reply).into_iter().map(|(name, _)| name).collect();
        (reply.status.as_u16(), told)
    };
    let told = |status: u16, names: &[&str]| {
        (status, names.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(names().await, told(200, &["tenant"]));
    let other = per_tenant(2).named("other");
    limited.layer.reload_rules([per_tenant(2), other.clone()]).unwrap();
    assert_eq!(names().await, told(200, &["tenant", "other"]));
    limited.layer.reload_rules([other]).unwrap();
    assert_eq!(names().await, told(200, &["other"]), "1 was counted, and this one");
    assert_eq!(names().await, told(429, &["other"]));
    limited.layer.reload_rules([per_tenant(2)]).unwrap();
    assert_eq!(names().await, told(429, &["tenant"]), "2 were counted before");
}

#[tokio::test]
async fn rules_that_are_wrong_change_nothing() {
    let limited = Limited::new(still().rule(per_tenant(1)));
    let bad: [Vec<Rule>; 5] = [
        vec![],
        vec![per_tenant(1), per_tenant(2)],
        vec![per_tenant(u64::MAX)],
        vec![Rule::per_tenant(1, Duration::ZERO)],
        (0..9).map(|nth| per_tenant(1).named(format!("r{nth}"))).collect(),
    ];
    for rules in bad {
        let error = limited.layer.reload_rules(rules).unwrap_err();
        assert!(!error.problems().is_empty());
    }
    assert_eq!(limited.statuses([get("/"), get("/")]).await, [200, 429]);
}

#[tokio::test]
async fn every_service_and_clone_of_the_layer_sees_it() {
    let layer = still().rule(per_tenant(1)).build().unwrap();
    let clone = layer.clone();
    let services = [layer.layer(service_fn(inner)), clone.layer(service_fn(inner))];
    assert_eq!(ask(&services[0], get("/")).await.status, 200);
    assert_eq!(ask(&services[1], get("/")).await.status, 429);
    clone.reload_rules([per_tenant(3)]).unwrap();
    for service in &services {
        assert_eq!(ask(service, get("/")).await.status, 200);
    }
    assert_eq!(ask(&services[0].clone(), get("/")).await.status, 429);
}

/// A layer on a store and with names that others share.
fn sharing(clock: &Clock, names: &Arc<RuleNames>, rule: Rule) -> RateLimitLayer {
    on(clock).names(Arc::clone(names)).rule(rule).build().unwrap()
}

#[test]
fn names_are_given_back() {
    let (clock, names) = (clock(), Arc::default());
    let (short, long) = (per_tenant(1), Rule::per_tenant(1, minutes(5)));
    let one = sharing(&clock, &names, short.clone());
    let two = sharing(&clock, &names, short.clone());
    assert!(one.reload_rules([long.clone()]).is_err(), "the other has it for a minute");
    two.reload_rules([short.clone().named("another")]).unwrap();
    one.reload_rules([long.clone()]).unwrap();
    assert!(two.reload_rules([short.clone()]).is_err());
    two.reload_rules([long]).unwrap();
    one.reload_rules([short.clone().named("gone")]).unwrap();
    two.reload_rules([short]).unwrap();
}

#[test]
fn a_layer_that_is_gone_gives_its_names_back() {
    let (clock, names) = (clock(), Arc::default());
    let (short, long) = (per_tenant(1), Rule::per_tenant(1, minutes(5)));
    let is_free = |rule: &Rule| {
        let builder = on(&clock).names(Arc::clone(&names)).rule(rule.clone());
        builder.build().is_ok()
    };
    let layer = sharing(&clock, &names, short.clone());
    let service = layer.clone().layer(service_fn(inner));
    drop(layer);
    assert!(!is_free(&long), "its services count on");
    drop(service);
    assert!(is_free(&long));
    // What was only tried has given back what it took.
    assert!(is_free(&short));
    let layer = sharing(&clock, &names, short.clone());
    layer.reload_rules([long.clone()]).unwrap();
    drop(layer);
    assert!(is_free(&short) && is_free(&long));
}

#[test]
fn reloads_at_once_leave_no_name_behind() {
    for _ in 0..20 {
        let (clock, names) = (clock(), Arc::default());
        let layer = sharing(&clock, &names, per_tenant(1));
        std::thread::scope(|scope| {
            for thread in 1..5 {
                let layer = &layer;
                scope.spawn(move || {
                    for turn in 1..40 {
                        let window = minutes(thread * 100 + turn);
                        layer.reload_rules([Rule::per_tenant(1, window)]).unwrap();
                    }
                });
            }
        });
        layer.reload_rules([per_tenant(1).named("last")]).unwrap();
        // Any window is free for that name again.
        sharing(&clock, &names, Rule::per_tenant(1, minutes(7)));
    }
}

#[tokio::test]
async fn requests_pass_while_rules_are_exchanged() {
    let store = Arc::new(MemoryStore::new().with_clock(clock()));
    let builder = RateLimitLayer::builder().memory_store(store);
    let limited = Limited::new(builder.rule(per_tenant(500)));
    let layer = limited.layer.clone();
    let exchanging = std::thread::spawn(move || {
        for turn in 0..500 {
            let more = per_tenant(1000).named(format!("r{}", turn % 7));
            layer.reload_rules([per_tenant(500), more]).unwrap();
        }
    });
    let statuses = limited.statuses((0..600).map(|_| get("/"))).await;
    exchanging.join().unwrap();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 500);
}
