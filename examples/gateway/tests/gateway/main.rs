//! The program as its users run it, between a client and an upstream that speak byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

mod ai_cache;
mod bodies;
mod failing;
mod forwarding;
mod heads;
mod layers;
mod program;
mod running;
mod targets;
mod tls;
mod tunnels;
mod wire;
