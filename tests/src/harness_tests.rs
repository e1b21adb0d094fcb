//! The harness on real servers: what the suites rely on.

mod clusters;
mod faults;
mod monitors;
mod starting;
