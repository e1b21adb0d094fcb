//! What is done to callers is done, and told to all processes, whether or not somebody waits for it
//! or hears that it was done.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tower_keep::{Config, ErrorClass, Keep, RateLimitOutcome, RedisConfig, Rule, StoreError};
use tower_keep_tests::Proxy;

use super::{HOUR, becomes, caller, layer, process};
use crate::limit_store::site::{Kind, Site};

/// Begins it, and goes away.
async fn begin(doing: impl Future<Output = Result<(), StoreError>>) {
    let mut doing = pin!(doing);
    let _is_done = poll_fn(|context| Poll::Ready(doing.as_mut().poll(context).is_ready())).await;
}

#[tokio::test]
async fn what_nobody_waits_for() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let (one, other) = (process(&site).await, process(&site).await);
        let (here, there) = (&layer(&one, per_user()), &layer(&other, per_user()));
        let somebody = &caller("acme", "42");
        for layer in [there, here] {
            becomes(layer, "acme", "42", RateLimitOutcome::DeniedKnown).await;
        }
        begin(async { here.limits().reset(somebody).await.map(drop) }).await;
        becomes(there, "acme", "42", RateLimitOutcome::Allowed).await;

        // Until it holds they may be let in.
        let generous = || Rule::per_user(100_000, HOUR).named("generous");
        let (here, there) = (&layer(&one, generous()), &layer(&other, generous()));
        let somebody = &caller("acme", "43");
        begin(async { here.limits().block(somebody, HOUR).await }).await;
        for layer in [there, here] {
            becomes(layer, "acme", "43", RateLimitOutcome::Blocked).await;
        }
        begin(async { here.limits().unblock(somebody).await }).await;
        becomes(there, "acme", "43", RateLimitOutcome::Allowed).await;
    }
}

/// The answer comes too late, so whoever asked is told that nobody knows.
#[tokio::test]
async fn what_nobody_hears_of() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let site = Site::start(Kind::SINGLE[0]).await;
    let proxy = Proxy::start(site.nodes()[0].port());
    let mut config = Config::default();
    config.redis = Some(RedisConfig::from_url(&proxy.url()).unwrap().with_timeout(TIMEOUT));
    let far = Keep::new(config).unwrap();
    far.require_connection().await.unwrap();
    let near = process(&site).await;
    let (here, there) = (layer(&far, per_user()), layer(&near, per_user()));
    becomes(&there, "acme", "42", RateLimitOutcome::DeniedKnown).await;

    proxy.delay(Duration::ZERO, 20 * TIMEOUT);
    let error = here.limits().reset(&caller("acme", "42")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unknown, "{error}");
    becomes(&there, "acme", "42", RateLimitOutcome::Allowed).await;
}

fn per_user() -> Rule {
    Rule::per_user(1, HOUR)
}
