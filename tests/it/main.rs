//! Integration tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails where it meets what it did not expect, and prints what it measured"
)]

mod ai_cache;
mod budget;
mod bus;
mod cache_redis;
mod cache_store;
mod connection;
mod containers;
mod deployments;
mod exactness;
mod guard;
mod harness;
mod invariants;
mod keep_cache;
mod limit_known;
mod limit_script;
mod limit_store;
mod limit_twins;
mod outage;
mod query_cache;
mod rate_limit;
mod response_cache;
mod session;
mod session_budget;
mod session_link;
mod session_outage;
mod session_races;
mod session_redis;
mod session_store;
mod soak;
mod stacks;
mod suite;
