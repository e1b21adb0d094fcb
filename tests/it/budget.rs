//! How many commands a request costs, counted as the client sends them.

use std::time::Duration;

use http::{Method, StatusCode};
use tower_keep::{
    BusState, Config, Keep, Principal, RateLimitLayer, RateLimitLayerBuilder, Rule, Scope,
    TenantId, UserId,
};
use tower_keep_tests::{Monitor, wait_until};

use crate::limit_store::site::{Kind, Site, ask, request};

const HOUR: Duration = Duration::from_secs(3600);
/// How many requests of each kind are counted.
const TIMES: usize = 20;
/// A user's and its tenant's.
const BLOCKS: usize = 2;
/// What the bus says on its own connection, and what a new connection is asked once.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];
const LIMIT: u64 = 20;

/// A layer of so many rules, of different scopes.
fn layer(keep: &Keep, rules: usize) -> RateLimitLayer {
    let scopes = [
        Scope::tenant().user().endpoint(),
        Scope::tenant(),
        Scope::tenant().endpoint(),
        Scope::tenant().user(),
    ];
    let rule = |index: usize| {
        // The first is the one that denies; the others have room for more.
        let limit = LIMIT + if index == 0 { 0 } else { 1000 };
        Rule::per(scopes[index % scopes.len()], limit, HOUR).named(format!("r{index}"))
    };
    let builder = keep.rate_limit().skip(|head| head.uri.path() == "/skipped");
    (0..rules).map(rule).fold(builder, RateLimitLayerBuilder::rule).build().unwrap()
}

/// Lets requests through the layer and counts what was sent for them.
async fn cost(
    monitor: &mut Monitor,
    layer: &RateLimitLayer,
    expected: StatusCode,
    change: impl Fn(&mut http::Request<()>),
) -> usize {
    monitor.drain().await;
    for _ in 0..TIMES {
        let mut request = request("acme", "42", "/x");
        change(&mut request);
        assert_eq!(ask(layer, request).await, expected);
    }
    sent(monitor).await.len()
}

/// What was sent for requests.
async fn sent(monitor: &mut Monitor) -> Vec<tower_keep_tests::Line> {
    let mut lines = monitor.drain().await;
    lines.retain(|line| !BESIDE.contains(&line.name().as_str()));
    lines
}

/// A keep whose bus is live, if it is to have one.
async fn keep(site: &Site, remembers: bool) -> Keep {
    let mut config = Config::default();
    config.redis = Some(site.config().with_pubsub(remembers));
    let keep = Keep::new(config).unwrap();
    keep.require_connection().await.unwrap();
    let _ = layer(&keep, 1);
    let bus = keep.bus().unwrap().unwrap();
    let live = || async { !remembers || bus.state() == BusState::Live };
    assert!(wait_until(Duration::from_secs(10), live).await);
    keep
}

#[tokio::test]
async fn a_request_costs_one_command_or_none() {
    println!("commands per {TIMES} requests");
    println!(
        "{:>16} {:>6} {:>9} {:>7} {:>8} {:>8}",
        "", "rules", "admitted", "denied", "limit 0", "skipped"
    );
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        for remembers in [false, true] {
            let keep = keep(&site, remembers).await;
            costs(&site, &keep, kind, remembers).await;
        }
    }
}

async fn costs(site: &Site, keep: &Keep, kind: Kind, remembers: bool) {
    let mut monitor = site.monitor().await;
    for rules in [1, 3, 8] {
        // Counters of their own: the names of the rules are the same.
        let tenant = format!("acme-{rules}-{remembers}");
        let limited = layer(keep, rules);
        // Any first request makes the script known to the node.
        ask(&limited, request(&tenant, "first", "/first")).await;
        let zero = keep.rate_limit().rule(Rule::per_tenant(0, HOUR));
        let more = (1..rules).map(|n| Rule::per_user(9, HOUR).named(format!("r{n}")));
        let zero = more.fold(zero, RateLimitLayerBuilder::rule).build().unwrap();

        let of = |request: &mut http::Request<()>| {
            let principal = Principal::new(TenantId::new(tenant.as_str()).unwrap());
            request.extensions_mut().insert(principal.with_user(UserId::new("42").unwrap()));
        };
        let preflight = |request: &mut http::Request<()>| {
            of(request);
            *request.method_mut() = Method::OPTIONS;
        };
        let skipped = |request: &mut http::Request<()>| {
            of(request);
            *request.uri_mut() = "/skipped".parse().unwrap();
        };
        monitor.drain().await;
        let mut admitted = Vec::new();
        for _ in 0..TIMES {
            assert_eq!(ask(&limited, request(&tenant, "42", "/x")).await, StatusCode::OK);
            admitted.extend(sent(&mut monitor).await);
        }
        assert!(admitted.iter().all(|line| line.name() == "EVALSHA"), "{admitted:?}");
        let keys: Vec<_> = admitted.iter().map(|line| line.args()[2].clone()).collect();
        let expected = (rules + BLOCKS).to_string().into_bytes();
        assert_eq!(keys, vec![expected; TIMES], "a key for each rule, and for each block");
        let denied = cost(&mut monitor, &limited, StatusCode::TOO_MANY_REQUESTS, of).await;
        let nothing = cost(&mut monitor, &zero, StatusCode::TOO_MANY_REQUESTS, of).await;
        let skipped = cost(&mut monitor, &limited, StatusCode::OK, skipped).await
            + cost(&mut monitor, &limited, StatusCode::OK, preflight).await;
        let (name, admitted) = (kind.name(), admitted.len());
        println!("{name:>16} {rules:>6} {admitted:>9} {denied:>7} {nothing:>8} {skipped:>8}");
        // The first denial makes the next ones known.
        let expected = if remembers { 1 } else { TIMES };
        assert_eq!((admitted, denied, nothing, skipped), (TIMES, expected, 0, 0));
    }
}

/// A rule that is not for the request's method costs nothing, alone or beside others.
#[tokio::test]
async fn a_rule_that_does_not_match_costs_nothing() {
    let site = Site::start(Kind::SINGLE[0]).await;
    let keep = site.keep().await;
    let posts = Rule::per_user(100, HOUR).methods([Method::POST]);
    let alone = keep.rate_limit().rule(posts.clone()).build().unwrap();
    let both = keep.rate_limit().rule(posts).rule(Rule::per_tenant(100, HOUR)).build().unwrap();
    ask(&both, request("acme", "first", "/x")).await;
    let mut monitor = site.monitor().await;
    assert_eq!(cost(&mut monitor, &alone, StatusCode::OK, |_| ()).await, 0);
    assert_eq!(cost(&mut monitor, &both, StatusCode::OK, |_| ()).await, TIMES);
    let one_rule = (1 + BLOCKS).to_string().into_bytes();
    let keys = sent(&mut monitor).await.iter().all(|line| line.args()[2] == one_rule);
    assert!(keys, "only the rule that matched");
}

/// Once per node, and again after `SCRIPT FLUSH`: asked by hash, refused, sent in full.
#[tokio::test]
async fn a_script_that_is_not_known_costs_one_command_more() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let keep = site.keep().await;
        let layer = layer(&keep, 3);
        let mut monitor = site.monitor().await;
        for _ in 0..2 {
            let mut spelled_out = 0;
            for tenant in 0..12 {
                let tenant = format!("tenant-{tenant}");
                for turn in 0..3 {
                    assert_eq!(ask(&layer, request(&tenant, "42", "/x")).await, StatusCode::OK);
                    let lines = sent(&mut monitor).await;
                    let names: Vec<_> = lines.iter().map(tower_keep_tests::Line::name).collect();
                    if names.len() == 2 && turn == 0 {
                        assert_eq!(names, ["EVALSHA", "EVAL"]);
                        spelled_out += 1;
                    } else {
                        assert_eq!(names, ["EVALSHA"]);
                    }
                }
            }
            assert_eq!(spelled_out, site.nodes().len(), "{}: once on each node", kind.name());
            println!("{}: {spelled_out} of 36 requests cost 2 commands, not 1", kind.name());
            for node in site.nodes() {
                node.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
            }
        }
    }
}
