//! Every way to reach a Redis, through the whole limiter as a program sets it up.

mod databases;
mod failover;
mod logins;
mod pool;
mod rights;
mod tls;

use std::{convert::Infallible, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    Config, ConfigError, Keep, PeerAddr, PrincipalLayer, RateLimitOutcome, Rule, Scope,
};

/// Generous: a slow machine must not be taken for a slow server.
const PATIENT: &str = "20000";
const LONG: Duration = Duration::from_secs(20);

type Service = BoxCloneSyncService<Request<()>, Response<()>, Infallible>;

/// A keep as the environment would make it, with time for a slow machine.
fn keep(variables: &[(&str, &str)]) -> Result<Keep, ConfigError> {
    let lookup = |name: &str| {
        let given = variables.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
        given.or_else(|| (name == "REDIS_TIMEOUT_MS").then_some(PATIENT)).map(Into::into)
    };
    Keep::new(Config::from_lookup(lookup)?)
}

/// The same, once it is connected.
async fn connected(variables: &[(&str, &str)]) -> Keep {
    let keep = keep(variables).unwrap();
    keep.require_connection().await.unwrap();
    keep
}

/// A service that admits each address twice.
fn twice(keep: &Keep) -> Service {
    let rule = Rule::per(Scope::tenant().address(), 2, Duration::from_secs(600));
    let limit = keep.rate_limit().rule(rule).expose_outcome(true).build().unwrap();
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let stack = PrincipalLayer::fixed("acme").build().unwrap().layer(limit.layer(inner));
    BoxCloneSyncService::new(stack.map_response(|response| response.map(drop)))
}

/// What the next request of this caller gets, and who decided.
async fn ask(service: &Service, caller: u8) -> (u16, RateLimitOutcome) {
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddr(([10, 0, 0, caller], 1).into()));
    let response =
        service.clone().oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    let outcome = *response.extensions().get::<RateLimitOutcome>().unwrap();
    (response.status().as_u16(), outcome)
}

/// This caller is admitted twice and no more, and it is Redis that says so.
async fn limits(keep: &Keep, caller: u8) {
    let service = twice(keep);
    let allowed = (200, RateLimitOutcome::Allowed);
    assert_eq!(ask(&service, caller).await, allowed);
    assert_eq!(ask(&service, caller).await, allowed);
    assert_eq!(ask(&service, caller).await, (429, RateLimitOutcome::Denied));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
