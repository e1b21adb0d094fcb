//! The program as its users run it: started, asked over HTTP, and stopped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

mod limits;
mod outage;
mod program;
mod startup;
mod tenants;
