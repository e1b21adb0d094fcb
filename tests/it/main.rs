//! Integration tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails where it meets what it did not expect, and prints what it measured"
)]

mod budget;
mod bus;
mod connection;
mod containers;
mod deployments;
mod exactness;
mod guard;
mod harness;
mod invariants;
mod limit_known;
mod limit_script;
mod limit_store;
mod limit_twins;
mod outage;
mod rate_limit;
mod soak;
mod stacks;
