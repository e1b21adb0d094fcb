//! What a check costs without any network: the stores by themselves, then the layers around a
//! service that does nothing.
//!
//! All cases take turns within one run, in batches, timed by the thread's CPU clock; a figure is
//! the median over the rounds. `--rounds N`, `--batch N`; `--only TEXT` runs the layers whose name
//! holds the text, to be profiled.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    net::SocketAddr,
    num::NonZeroU32,
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{Request, Response};
use limitador::limit::Namespace;
use tower::{Layer as _, Service, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_keep_bench::{
    argument, median, quantile,
    turns::{Case, measure},
};
use tower_keep_core::{
    PeerAddr, Principal, RouteTemplate, TenantId, UserId,
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
};
use tower_keep_rate_limit::{
    Limit, LimitStore as _, MemoryStore, RateLimitLayer, RateLimitLayerBuilder, Rule, Scope,
};

/// Never reached.
const PLENTY: u64 = 1_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const ROUTE: &str = "/items/{id}";
const TENANTS: usize = 100;

fn main() {
    let rounds = argument("--rounds", 41);
    let batch = argument("--batch", 2000);
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    if only.is_none() {
        for keys in [1, 100_000] {
            stores(keys, rounds, batch);
        }
    }
    // Few requests at a time: they lie ready, and are to lie in the processor's cache.
    layers(8 * rounds, batch / 8, only.as_deref());
}

// --- stores ---------------------------------------------------------------------------------

/// A caller, with its keys as each store wants them.
struct Caller {
    tenant: TenantId,
    user: UserId,
    context: limitador::limit::Context<'static>,
    texts: [String; 3],
}

impl Caller {
    fn new(index: usize) -> Self {
        let (tenant, user) = (format!("tenant-{}", index % TENANTS), format!("user-{index}"));
        let values =
            [("tenant", tenant.clone()), ("user", user.clone()), ("endpoint", ROUTE.into())];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        Self {
            context: std::collections::HashMap::from(values).into(),
            texts: [format!("{tenant}:{user}"), tenant.clone(), format!("{tenant}:{ROUTE}")],
            tenant: TenantId::new(tenant).unwrap(),
            user: UserId::new(user).unwrap(),
        }
    }

    /// By user, by tenant, by the tenant's endpoint.
    fn limits(&self) -> [Limit<'_>; 3] {
        let key = |user, endpoint, rule| {
            let tenant = &self.tenant;
            CounterKey { tenant, user, endpoint, rule, part: CustomPart::Unused }
        };
        [
            key(UserPart::User(&self.user), EndpointPart::All, None),
            key(UserPart::All, EndpointPart::All, Some("tenant")),
            key(UserPart::All, EndpointPart::Route(ROUTE), Some("endpoint")),
        ]
        .map(|key| Limit::new(key, PLENTY, 60_000))
    }
}

fn limitador(limits: usize) -> (limitador::RateLimiter, Namespace) {
    let limiter = limitador::RateLimiter::new(1_000_000);
    let variables: [&[&str]; 3] = [&["tenant", "user"], &["tenant"], &["tenant", "endpoint"]];
    for variables in variables.into_iter().take(limits) {
        let variables = variables.iter().map(|name| (*name).try_into().unwrap());
        limiter.add_limit(limitador::limit::Limit::new("api", PLENTY, 60, vec![], variables));
    }
    (limiter, "api".into())
}

fn governors() -> [DefaultKeyedRateLimiter<String>; 3] {
    let quota = Quota::per_second(NonZeroU32::new(1_000_000_000).unwrap());
    [(); 3].map(|()| DefaultKeyedRateLimiter::keyed(quota))
}

fn stores(keys: usize, rounds: usize, batch: usize) {
    let callers: Vec<Caller> = (0..keys).map(Caller::new).collect();
    let limits: Vec<[Limit<'_>; 3]> = callers.iter().map(Caller::limits).collect();
    // Callers come in the order they lie in memory, so that reaching them costs little; their
    // counters were made in another, so that none is found beside the one before.
    let caller = |turn: usize| turn % keys;
    let mut cases = Vec::new();
    for count in [1, 3] {
        let name = |one, three| if count == 1 { one } else { three };
        let governors = governors();
        let texts = &callers;
        cases.push(Case::new(name("governor, keyed", "governor, three of them"), move |turn| {
            for (governor, text) in governors.iter().zip(&texts[caller(turn)].texts).take(count) {
                assert!(black_box(governor.check_key(text)).is_ok());
            }
        }));
        let (limitador, space) = limitador(count);
        let callers = &callers;
        cases.push(Case::new(name("limitador, 1 limit", "limitador, 3 limits"), move |turn| {
            let context = &callers[caller(turn)].context;
            let result = limitador.check_rate_limited_and_update(&space, context, 1);
            assert!(!black_box(result).unwrap().limited);
        }));
        let store = MemoryStore::new();
        let limits = &limits;
        cases.push(Case::new(name("tower-keep, 1 limit", "tower-keep, 3 limits"), move |turn| {
            let answer = store.check(&limits[caller(turn)][..count], &[]);
            assert!(black_box(answer.now()).is_ok_and(|verdict| verdict.unwrap().allowed));
        }));
    }
    let figures = measure(&mut cases, rounds, batch, keys.max(200));
    println!("\nOne check, {keys} key(s), {rounds} rounds of {batch}:\n");
    println!("| case | ns (p10..p90) | allocations | of limitador |");
    println!("|---|---|---|---|");
    for (index, figure) in figures.iter().enumerate() {
        let limitador = &figures[index / 3 * 3 + 1];
        let ratio = figure.ratio(limitador, None);
        println!("| {} | {} | {} | {ratio:.3} |", figure.name, figure.spread(), figure.allocations);
    }
}

// --- layers ---------------------------------------------------------------------------------

fn bare() -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = Ready<Result<Response<Body>, Infallible>>,
> + Clone {
    service_fn(|_: Request<Body>| ready(Ok(Response::new(Body::empty()))))
}

/// The same for all: with what each of the layers looks for.
fn request() -> Request<Body> {
    let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
    let tenant = TenantId::new("acme").unwrap();
    Request::get("/items/7")
        .header("host", "localhost")
        .header("accept", "*/*")
        .extension(ConnectInfo(peer))
        .extension(PeerAddr(peer))
        .extension(Principal::new(tenant).with_user(UserId::new("42").unwrap()))
        .extension(RouteTemplate::new(ROUTE))
        .body(Body::empty())
        .unwrap()
}

fn ours(rules: impl IntoIterator<Item = Rule>) -> RateLimitLayerBuilder {
    rules.into_iter().fold(RateLimitLayer::builder().memory(), RateLimitLayerBuilder::rule)
}

fn layers(rounds: usize, batch: usize, only: Option<&str>) {
    let address = || [Rule::per_address(PLENTY, MINUTE)];
    let three = || {
        [
            Rule::per_user(PLENTY, MINUTE),
            Rule::per_tenant(PLENTY, MINUTE).named("tenant"),
            Rule::per(Scope::tenant().endpoint(), PLENTY, MINUTE).named("endpoint"),
        ]
    };
    let full = || [Rule::per(Scope::tenant().user().endpoint(), PLENTY, MINUTE)];
    let plain =
        GovernorConfigBuilder::default().per_nanosecond(1).burst_size(1_000_000_000).finish();
    let told = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(1_000_000_000)
        .use_headers()
        .finish();
    let layer = |builder: RateLimitLayerBuilder| builder.build().unwrap().layer(bare());
    let mut cases = vec![
        Case::sender("bare", bare(), request),
        Case::sender("tower_governor", GovernorLayer::new(plain.unwrap()).layer(bare()), request),
        Case::sender("tower-keep", layer(ours(address()).headers(false)), request),
        Case::sender(
            "tower-keep, by user and endpoint",
            layer(ours(full()).headers(false)),
            request,
        ),
        Case::sender("tower-keep, 3 rules", layer(ours(three()).headers(false)), request),
        Case::sender(
            "tower_governor, fields",
            GovernorLayer::new(told.unwrap()).layer(bare()),
            request,
        ),
        Case::sender("tower-keep, fields", layer(ours(address())), request),
        Case::sender("tower-keep, fields, by user and endpoint", layer(ours(full())), request),
        Case::sender("tower-keep, fields, 3 rules", layer(ours(three())), request),
    ];
    cases.retain(|case| only.is_none_or(|only| case.name == only));
    let figures = measure(&mut cases, rounds, batch, 200);
    let Some(bare) = figures.first().filter(|_| only.is_none()) else { return };
    println!("\nOne request, {rounds} rounds of {batch}; what is added to bare:\n");
    println!(
        "tower_governor counts by the peer's address alone, in one cell without windows, and passes \
         the answer through as it is. tower-keep counts by tenant too (the principal is in the \
         request already: `PrincipalLayer` is in no figure), in windows, all rules or none, asks \
         whether the caller is blocked, counts the outcome as a metric, and wraps the answer's body \
         as a refusal needs it. Both read a clock: the peer the processor's counter, tower-keep \
         the system's.\n"
    );
    println!("| case | ns | added ns (p10..p90) | added allocations | of tower_governor |");
    println!("|---|---|---|---|---|");
    for (index, figure) in figures.iter().enumerate() {
        let peer = &figures[if index < 5 { 1 } else { 5 }];
        let added = figure.over(bare);
        let ratio = figure.ratio(peer, Some(bare));
        println!(
            "| {} | {:.0} | {:.0} ({:.0}..{:.0}) | {} | {ratio:.2} |",
            figure.name,
            median(&figure.nanos),
            median(&added),
            quantile(&added, 0.1),
            quantile(&added, 0.9),
            figure.allocations - bare.allocations,
        );
    }
}
