//! One suite for every [`LimitStore`](tower_keep_rate_limit::LimitStore): what holds in memory holds on a
//! server and in a cluster.

pub(crate) mod backend;
mod behaviours;
mod names;
pub(crate) mod site;
mod windows;

use std::{pin::Pin, sync::Arc};

use tokio::task::{LocalSet, spawn_local};
use tower_keep::Connection;
use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_rate_limit::MemoryStore;
use tower_keep_rate_limit::RedisStore;
use tower_keep_tests::Flavor;

use self::{
    backend::Backend,
    site::{Kind, Site},
};

type Behaviour = fn(Backend) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! suite {
    ($($module:ident :: $behaviour:ident),* $(,)?) => {
        const SUITE: &[(&str, Behaviour)] =
            &[$((stringify!($behaviour), |backend| Box::pin($module::$behaviour(backend)))),*];
    };
}

suite![
    behaviours::admits_exactly_the_limit_then_denies,
    behaviours::a_denial_consumes_nothing,
    behaviours::eight_limits_are_decided_at_once,
    behaviours::more_limits_than_eight_are_refused,
    behaviours::counts_survive_a_change_of_the_limit,
    behaviours::many_tasks_are_admitted_exactly_to_the_limit,
    names::different_names_never_share,
    windows::the_window_opens_with_the_first_hit,
    windows::limits_of_one_check_have_windows_of_their_own,
    windows::hammering_extends_nothing,
    windows::waiting_as_long_as_told_is_enough,
    windows::another_length_of_the_window_keeps_its_begin,
];

/// Runs the whole suite at once, each behaviour with tenants of its own.
async fn run(backend: impl Fn(&'static str) -> Backend) {
    let local = LocalSet::new();
    let start = |(name, behaviour): &(&'static str, Behaviour)| {
        (*name, local.spawn_local(behaviour(backend(name))))
    };
    let running: Vec<_> = SUITE.iter().map(start).collect();
    let join = async {
        let mut failed = Vec::new();
        for (name, behaviour) in running {
            if behaviour.await.is_err() {
                failed.push(name);
            }
        }
        failed
    };
    let failed = local.run_until(async { spawn_local(join).await.unwrap() }).await;
    assert!(failed.is_empty(), "these failed, their reasons are above: {failed:#?}");
}

async fn run_on(kind: Kind) {
    let site = Site::start(kind).await;
    run_through(site.connection().await).await;
}

/// Runs it on the server or cluster that this leads to.
pub(crate) async fn run_through(connection: Connection) {
    let store = Arc::new(RedisStore::new(connection));
    run(|behaviour| Backend::new(store.clone(), None, behaviour)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_a_clock_set_by_hand() {
    run(|behaviour| {
        let clock = Clock::manual(UnixMillis(1_700_000_000_000));
        let store = MemoryStore::new().with_clock(clock.clone());
        Backend::new(Arc::new(store), Some(clock), behaviour)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_the_systems_clock() {
    let store = Arc::new(MemoryStore::new());
    run(|behaviour| Backend::new(store.clone(), None, behaviour)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    run_on(Kind::Single(Flavor::Redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey() {
    run_on(Kind::Single(Flavor::Valkey)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cluster() {
    run_on(Kind::Clustered(Flavor::Redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_cluster() {
    run_on(Kind::Clustered(Flavor::Valkey)).await;
}
