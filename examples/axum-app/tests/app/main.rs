//! The program as its users run it: started, asked over HTTP, and stopped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

mod assistant;
mod auth;
mod cache_test;
mod clinic;
mod database;
mod limits;
mod load;
mod outage;
mod products;
mod program;
mod startup;
mod tenants;
