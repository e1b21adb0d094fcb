//! One suite for the [`Cache`](tower_keep_cache::Cache), wherever it keeps its entries: what holds in
//! memory holds on a server and in a cluster, for the process that wrote and for another one.

mod backend;
mod entries;
mod fills;
mod purges;

use tower_keep_cache::CacheBuilder;
use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_redis::SharedBus;
use tower_keep_tests::Flavor;

use self::backend::Backend;
use crate::{
    limit_store::site::{Kind, Site},
    suite::{self, suite},
};

suite! { Backend:
    entries::what_is_put_is_there_for_all,
    entries::what_is_put_again_is_the_later,
    entries::any_bytes_are_kept,
    entries::names_and_tenants_share_nothing,
    entries::names_that_share_a_key_are_told_apart,
    entries::what_is_removed_is_gone_for_all,
    entries::an_entry_ends_with_its_time,
    entries::what_is_too_large_takes_away_what_was_there,
    entries::what_nobody_waits_for_is_done,
    purges::what_has_the_tag_is_gone_and_the_rest_is_not,
    purges::a_soft_purge_makes_stale_and_a_hard_one_takes_away,
    purges::everything_is_purged_of_one_tenant,
    purges::what_is_stored_after_a_purge_is_valid,
    purges::a_fill_that_began_before_a_purge_is_not,
    purges::no_tag_is_nothing,
    purges::very_many_tags_are_purged_at_once,
    purges::when_purges_are_forgotten_what_is_older_is_gone,
    fills::a_purge_while_many_fill_leaves_nothing_stale,
    fills::of_many_who_write_one_at_a_time_is_read,
}

/// Runs the whole suite at once, each behaviour with a tenant of its own.
async fn run(backend: impl Fn(&'static str) -> Backend) {
    suite::run(SUITE, backend).await;
}

/// Two processes that share a server, with what each of them is told to do differently.
async fn run_on(kind: Kind, build: impl Fn(CacheBuilder) -> CacheBuilder, bus: bool) {
    let site = Site::start(kind).await;
    let mut caches = Vec::new();
    for _ in 0..2 {
        let connection = site.connection().await;
        connection.bulk().require().await.unwrap();
        let bus = bus.then(|| SharedBus::default().get(&connection, true).unwrap());
        let cache = build(CacheBuilder::new().redis(&connection, bus.as_ref())).build().unwrap();
        caches.push(cache);
    }
    run(|behaviour| Backend::new(caches.clone(), None, behaviour)).await;
}

/// In memory there is one process, which is its own other one.
async fn run_in_memory(clock: Option<Clock>) {
    let builder = CacheBuilder::new().memory().clock(clock.clone().unwrap_or_default());
    let cache = builder.build().unwrap();
    run(|behaviour| Backend::new(vec![cache.clone(), cache.clone()], clock.clone(), behaviour))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_a_clock_set_by_hand() {
    run_in_memory(Some(Clock::manual(UnixMillis(1_700_000_000_000)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_by_the_systems_clock() {
    run_in_memory(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    run_on(Kind::Single(Flavor::Redis), |builder| builder, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_the_bus() {
    run_on(Kind::Single(Flavor::Redis), |builder| builder, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_near_copies_and_sealed() {
    let key = "k:3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=";
    let vault = tower_keep_core::Vault::parse("KEYS", key).unwrap();
    let build = |builder: CacheBuilder| builder.near(false).vault(vault.clone());
    run_on(Kind::Single(Flavor::Redis), build, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey() {
    run_on(Kind::Single(Flavor::Valkey), |builder| builder, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cluster() {
    run_on(Kind::Clustered(Flavor::Redis), |builder| builder, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_cluster() {
    run_on(Kind::Clustered(Flavor::Valkey), |builder| builder, true).await;
}
