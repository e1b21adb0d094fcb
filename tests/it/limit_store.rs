//! One suite for every [`LimitStore`](tower_keep_rate_limit::LimitStore): what holds in memory holds on a
//! server and in a cluster.

pub(crate) mod backend;
mod behaviours;
mod blocks;
mod bounds;
mod costs;
mod names;
mod settlements;
mod shadows;
pub(crate) mod site;
mod windows;

use std::{sync::Arc, time::Duration};

use tower_keep::{BusState, Connection};
use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_rate_limit::MemoryStore;
use tower_keep_rate_limit::RedisStore;
use tower_keep_redis::Bus;
use tower_keep_tests::{Flavor, wait_until};

use self::{
    backend::Backend,
    site::{Kind, Site},
};
use crate::suite::{self, suite};

suite! { Backend:
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
    bounds::nothing_is_admitted_over_the_bound_wherever_windows_meet,
    bounds::waiting_is_enough_whatever_the_algorithm_and_the_cost,
    bounds::a_sliding_window_remembers_and_a_fixed_one_forgets,
    bounds::gcra_gives_back_evenly_and_as_much_at_once_as_the_burst,
    costs::costs_are_counted_in_full_or_not_at_all,
    costs::what_can_never_fit_is_told_so_and_consumes_nothing,
    costs::no_cost_counts_nothing,
    costs::a_limit_of_0_forgets_nothing,
    costs::one_limit_that_is_too_small_for_a_cost_spares_the_others,
    costs::many_tasks_at_different_costs_never_exceed_the_limit,
    shadows::a_watched_limit_denies_nothing_and_counts_what_fits,
    shadows::a_watched_limit_counts_nothing_that_another_denies,
    settlements::more_and_less_is_corrected,
    settlements::never_below_nothing,
    settlements::what_is_used_beyond_a_burst_is_owed,
    settlements::another_window_is_left_alone,
    settlements::each_counter_is_corrected_by_itself,
    settlements::a_settlement_of_what_has_expired_leaves_a_full_limit,
    settlements::a_sliding_window_that_has_become_the_one_before_is_left_alone,
    blocks::a_blocked_user_is_denied_and_counted_by_none,
    blocks::a_block_of_the_tenant_holds_for_every_user,
    blocks::a_block_ends_by_itself_when_told_and_when_ended,
}

/// Runs the whole suite at once, each behaviour with tenants of its own.
async fn run(backend: impl Fn(&'static str) -> Backend) {
    suite::run(SUITE, backend).await;
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

/// What is told by a store that remembers whom it has denied is told as if it had asked.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_is_enough_where_denials_are_remembered() {
    for flavor in Flavor::ALL {
        let site = Site::start(Kind::Single(flavor)).await;
        let connection = site.connection().await;
        let bus = Bus::new(&connection).unwrap();
        let live = || async { bus.state() == BusState::Live };
        assert!(wait_until(Duration::from_secs(10), live).await, "{:?}", bus.state());
        let store = RedisStore::new(connection).remember_denials(&bus).unwrap();
        let backend = Backend::new(Arc::new(store), None, "remembered");
        bounds::waiting_is_enough_whatever_the_algorithm_and_the_cost(backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cluster() {
    run_on(Kind::Clustered(Flavor::Redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_cluster() {
    run_on(Kind::Clustered(Flavor::Valkey)).await;
}
