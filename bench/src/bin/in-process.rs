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
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{Request, Response};
use limitador::limit::Namespace;
use tower::{Layer as _, Service, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_keep_bench::{argument, median, quantile, thread_nanos};
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

/// Something that is done over and over: once for each number.
struct Case<'a> {
    name: &'static str,
    once: Box<dyn FnMut(usize) + 'a>,
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
        let values = [("tenant", tenant.clone()), ("user", user.clone()), ("endpoint", ROUTE.into())];
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
        cases.push(Case {
            name: name("governor, keyed", "governor, three of them"),
            once: Box::new(move |turn| {
                for (governor, text) in governors.iter().zip(&texts[caller(turn)].texts).take(count) {
                    assert!(black_box(governor.check_key(text)).is_ok());
                }
            }),
        });
        let (limitador, space) = limitador(count);
        let callers = &callers;
        cases.push(Case {
            name: name("limitador, 1 limit", "limitador, 3 limits"),
            once: Box::new(move |turn| {
                let context = &callers[caller(turn)].context;
                let result = limitador.check_rate_limited_and_update(&space, context, 1);
                assert!(!black_box(result).unwrap().limited);
            }),
        });
        let store = MemoryStore::new();
        let limits = &limits;
        cases.push(Case {
            name: name("tower-keep, 1 limit", "tower-keep, 3 limits"),
            once: Box::new(move |turn| {
                let answer = store.check(&limits[caller(turn)][..count], &[]);
                assert!(black_box(answer.now()).is_ok_and(|verdict| verdict.unwrap().allowed));
            }),
        });
    }
    let figures = measure(&mut cases, keys, rounds, batch);
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

/// Sends prepared requests to `service`; every call takes one.
fn sender<'a, S, B>(name: &'static str, mut service: S, stock: &'a Stock) -> Case<'a>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'a,
{
    let once = move |_| {
        let request = stock.take();
        let mut context = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut context).is_ready());
        match pin!(service.call(request)).poll(&mut context) {
            Poll::Ready(answer) => assert_eq!(black_box(answer).unwrap().status(), 200),
            Poll::Pending => panic!("memory answers at once"),
        }
    };
    Case { name, once: Box::new(once) }
}

/// Requests made beforehand, so that making them is not timed.
#[derive(Default)]
struct Stock(std::cell::RefCell<Vec<Request<Body>>>);

impl Stock {
    fn fill(&self, up_to: usize) {
        self.0.borrow_mut().resize_with(up_to, request);
    }

    fn take(&self) -> Request<Body> {
        self.0.borrow_mut().pop().expect("filled before each batch")
    }
}

fn ours(rules: impl IntoIterator<Item = Rule>) -> RateLimitLayerBuilder {
    rules.into_iter().fold(RateLimitLayer::builder().memory(), RateLimitLayerBuilder::rule)
}

fn layers(rounds: usize, batch: usize, only: Option<&str>) {
    let stock = Stock::default();
    let address = || [Rule::per_address(PLENTY, MINUTE)];
    let three = || {
        [
            Rule::per_user(PLENTY, MINUTE),
            Rule::per_tenant(PLENTY, MINUTE).named("tenant"),
            Rule::per(Scope::tenant().endpoint(), PLENTY, MINUTE).named("endpoint"),
        ]
    };
    let full = || [Rule::per(Scope::tenant().user().endpoint(), PLENTY, MINUTE)];
    let plain = GovernorConfigBuilder::default().per_nanosecond(1).burst_size(1_000_000_000).finish();
    let told = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(1_000_000_000)
        .use_headers()
        .finish();
    let layer = |builder: RateLimitLayerBuilder| builder.build().unwrap().layer(bare());
    let mut cases = vec![
        sender("bare", bare(), &stock),
        sender("tower_governor", GovernorLayer::new(plain.unwrap()).layer(bare()), &stock),
        sender("tower-keep", layer(ours(address()).headers(false)), &stock),
        sender("tower-keep, by user and endpoint", layer(ours(full()).headers(false)), &stock),
        sender("tower-keep, 3 rules", layer(ours(three()).headers(false)), &stock),
        sender("tower_governor, fields", GovernorLayer::new(told.unwrap()).layer(bare()), &stock),
        sender("tower-keep, fields", layer(ours(address())), &stock),
        sender("tower-keep, fields, by user and endpoint", layer(ours(full())), &stock),
        sender("tower-keep, fields, 3 rules", layer(ours(three())), &stock),
    ];
    cases.retain(|case| only.is_none_or(|only| case.name == only));
    let mut figures = Vec::new();
    measure_into(&mut figures, &mut cases, rounds, batch, 200, |size| stock.fill(size));
    let Some(bare) = figures.first().filter(|_| only.is_none()) else { return };
    println!("\nOne request, {rounds} rounds of {batch}; what is added to bare:\n");
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

// --- measuring ------------------------------------------------------------------------------

struct Figure {
    name: &'static str,
    /// Per operation, one for each round.
    nanos: Vec<f64>,
    /// Per operation.
    allocations: i64,
}

impl Figure {
    fn over(&self, base: &Self) -> Vec<f64> {
        self.nanos.iter().zip(&base.nanos).map(|(own, base)| own - base).collect()
    }

    /// The ratio of the medians.
    fn ratio(&self, peer: &Self, base: Option<&Self>) -> f64 {
        let nanos = |figure: &Self| match base {
            Some(base) => median(&figure.over(base)),
            None => median(&figure.nanos),
        };
        nanos(self) / nanos(peer)
    }

    fn spread(&self) -> String {
        let part = |part| quantile(&self.nanos, part);
        format!("{:.0} ({:.0}..{:.0})", part(0.5), part(0.1), part(0.9))
    }
}

fn measure(cases: &mut [Case<'_>], warm: usize, rounds: usize, batch: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    measure_into(&mut figures, cases, rounds, batch, warm.max(200), |_| {});
    figures
}

fn measure_into(
    figures: &mut Vec<Figure>,
    cases: &mut [Case<'_>],
    rounds: usize,
    batch: usize,
    warm: usize,
    prepare: impl Fn(usize),
) {
    let mut turn = 0;
    for case in &mut *cases {
        prepare(warm + 100);
        (0..warm).for_each(|turn| (case.once)(turn * 7_919 % warm));
        let counted = allocation_counter::measure(|| (0..100).for_each(|turn| (case.once)(turn)));
        let allocations = (counted.count_total as i64 + 50) / 100;
        figures.push(Figure { name: case.name, nanos: Vec::new(), allocations });
    }
    for round in 0..rounds {
        // Each round begins with another case, so that none always follows the same one.
        for place in 0..cases.len() {
            let index = (round + place) % cases.len();
            prepare(batch);
            let before = thread_nanos();
            for offset in 0..batch {
                (cases[index].once)(turn + offset);
            }
            figures[index].nanos.push((thread_nanos() - before) / batch as f64);
        }
        turn += batch;
    }
}

