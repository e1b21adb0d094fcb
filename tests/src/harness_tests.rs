//! The harness on real servers: what the suites rely on.

mod clusters;
mod faults;
mod migrations;
mod monitors;
mod proxies;
mod sentinels;
mod slow_links;
mod starting;
mod tls_ports;
