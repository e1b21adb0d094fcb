//! One of several processes that count on the same limits: `tests/it/exactness.rs` starts them.
//!
//! Arguments: url, tenant, user, route, the algorithms of the limits of tenant, user and endpoint
//! (one letter each: `f`ixed window, `s`liding window, `g`cra), those limits, tasks, requests of
//! each task. Prints `ready`, waits for a line, sends all requests, and prints how many were
//! admitted, denied, and answered with anything else.

use std::{
    convert::Infallible,
    env,
    error::Error,
    io::{self, Write as _},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{
    Algorithm, Config, Keep, OnStoreError, Principal, RateLimitLayer, RateLimitLayerBuilder,
    RedisConfig, RouteTemplate, Rule, TenantId, UserId,
};

/// So long that nothing comes back while this runs, not even by GCRA.
const YEAR: Duration = Duration::from_secs(31_536_000);
/// A slow machine must not be taken for a failed store.
const PATIENT: Duration = Duration::from_secs(5);

type Counts = [u64; 3];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or_else(|| format!("{what} is missing"));
    let url = next("the url")?;
    let caller = Principal::new(TenantId::new(next("the tenant")?)?)
        .with_user(UserId::new(next("the user")?)?);
    let route = RouteTemplate::new(next("the route")?);
    let algorithms = next("the algorithms")?;
    let rules = [
        Rule::per_tenant(next("the tenant's limit")?.parse()?, YEAR),
        Rule::per_user(next("the user's limit")?.parse()?, YEAR),
        Rule::per_endpoint(next("the endpoint's limit")?.parse()?, YEAR),
    ];
    let rules = rules.into_iter().zip(algorithms.chars().map(algorithm));
    let rules = rules.map(|(rule, algorithm)| Ok(rule.algorithm(algorithm?)));
    let rules = rules.collect::<Result<Vec<_>, String>>()?;
    let tasks: u64 = next("the number of tasks")?.parse()?;
    let requests: u64 = next("the number of requests")?.parse()?;

    let mut config = Config::default();
    config.redis = Some(RedisConfig::from_url(&url)?.with_timeout(PATIENT));
    let keep = Keep::new(config)?;
    keep.require_connection().await?;
    // A failure of the store shows as 503 and is never made up for by counting here.
    let rules = rules.into_iter().map(|rule| rule.on_store_error(OnStoreError::Closed));
    let layer = rules.fold(keep.rate_limit(), RateLimitLayerBuilder::rule).build()?;

    say("ready")?;
    io::stdin().read_line(&mut String::new())?;
    let mut senders = JoinSet::new();
    for _ in 0..tasks {
        let (layer, caller, route) = (layer.clone(), caller.clone(), route.clone());
        senders.spawn(async move { send(&layer, &caller, &route, requests).await });
    }
    let counts = senders.join_all().await;
    let [admitted, denied, other] = [0, 1, 2]
        .map(|kind: usize| counts.iter().filter_map(|counts| counts.get(kind)).sum::<u64>());
    say(&format!("{admitted} {denied} {other}"))?;
    Ok(())
}

fn algorithm(letter: char) -> Result<Algorithm, String> {
    match letter {
        'f' => Ok(Algorithm::FixedWindow),
        's' => Ok(Algorithm::SlidingWindow),
        'g' => Ok(Algorithm::Gcra),
        _ => Err(format!("`{letter}` is no algorithm")),
    }
}

async fn send(
    layer: &RateLimitLayer,
    caller: &Principal,
    route: &RouteTemplate,
    requests: u64,
) -> Counts {
    let handler = |_: Request<()>| async { Ok::<Response<()>, Infallible>(Response::new(())) };
    let service = layer.layer(service_fn(handler));
    let [mut admitted, mut denied, mut other] = [0; 3];
    for _ in 0..requests {
        let mut request = Request::new(());
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(route.clone());
        let Ok(response) = service.clone().oneshot(request).await;
        match response.status() {
            StatusCode::OK => admitted += 1,
            StatusCode::TOO_MANY_REQUESTS => denied += 1,
            _ => other += 1,
        }
    }
    [admitted, denied, other]
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
