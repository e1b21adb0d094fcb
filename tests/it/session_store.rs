//! One suite for every [`SessionStore`](tower_keep_session::SessionStore): what holds in memory holds
//! on a server and in a cluster.

mod announced;
pub(crate) mod backend;
mod budget;
mod caps;
mod conditions;
mod golden;
mod keys;
mod lives;
mod moves;
mod names;
mod planted;
mod removals;
mod rotations;
mod twins;
mod values;

use std::sync::Arc;

use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_session::{MemoryStore, RedisStore};
use tower_keep_tests::Flavor;

use self::backend::Backend;
use crate::{
    limit_store::site::{Kind, Site},
    suite::{self, suite},
};

suite! { Backend:
    values::what_is_saved_is_there,
    values::different_names_changed_at_once_both_hold,
    values::one_goes_while_another_is_set,
    values::clearing_leaves_what_is_set_with_it,
    values::any_bytes_are_kept,
    values::too_much_changes_nothing,
    values::many_tasks_that_change_different_names_lose_nothing,
    conditions::a_value_that_is_another_changes_nothing_and_is_told,
    conditions::a_hundred_increments_at_once_are_a_hundred,
    conditions::what_is_taken_is_taken_once,
    conditions::what_is_expected_of_a_new_session_is_absence,
    lives::a_new_session_is_as_it_was_made,
    lives::one_that_goes_on_counts_as_made_when_it_began,
    lives::one_that_is_there_is_not_made_again,
    lives::it_ends_when_it_lies_idle,
    lives::use_keeps_it_and_looking_does_not,
    lives::use_never_brings_it_back,
    lives::use_never_passes_the_absolute_limit,
    lives::a_limit_that_became_shorter_ends_it,
    lives::immense_times_end_nothing_and_corrupt_nothing,
    rotations::the_new_id_has_all_and_the_old_one_is_gone,
    rotations::a_login_counts_as_made_anew,
    rotations::of_two_at_once_one_is_gone,
    rotations::an_id_that_is_there_is_not_taken,
    rotations::nobody_is_told,
    caps::one_more_takes_the_place_of_the_one_unused_for_longest,
    caps::those_that_have_ended_make_room_first,
    caps::a_cap_that_became_lower_holds_at_the_next,
    caps::who_made_room_is_told,
    removals::what_was_removed_is_gone_and_told,
    removals::all_of_a_holder_are_removed_and_no_others,
    removals::all_but_one,
    removals::what_has_ended_is_not_removed,
    removals::the_list_is_in_the_order_they_were_made,
    moves::one_that_moved_away_is_gone_and_known,
    moves::a_visitor_that_moved_away_is_known,
    moves::one_that_goes_on_under_another_id_is_known,
    moves::one_that_moved_away_takes_nobodys_place,
    moves::one_that_was_written_to_does_not_move_unseen,
    names::different_names_never_share,
    names::an_anonymous_session_is_under_its_own_key,
}

/// Runs the whole suite at once, each behaviour with holders of its own.
async fn run(backend: impl Fn(&'static str) -> Backend) {
    suite::run(SUITE, backend).await;
}

/// Each behaviour has a store of its own, because it listens to what the store tells.
async fn run_on(kind: Kind) {
    let site = Site::start(kind).await;
    let connection = site.connection().await;
    run(|behaviour| Backend::new(Arc::new(RedisStore::new(connection.clone())), None, behaviour))
        .await;
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
    run(|behaviour| Backend::new(Arc::new(MemoryStore::new()), None, behaviour)).await;
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
