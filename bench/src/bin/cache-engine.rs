//! What the cache engine's own part of a hit in memory costs: one entry looked at, one of a thousand,
//! and the same with a look at the clock and with making the name; nanoseconds of the thread's CPU
//! time, and allocations.
//!
//! `--rounds N`, `--batch N`.

use std::{sync::Arc, time::Duration};

use tower_keep_bench::{
    argument,
    body::Body,
    turns::{Case, measure},
};
use tower_keep_cache::{Cache, CacheBuilder, Name};
use tower_keep_core::TenantId;

const NAMES: usize = 1000;

fn main() {
    let (rounds, batch) = (argument("--rounds", 101), argument("--batch", 1000));
    let cache: Cache<Body> = CacheBuilder::new().memory().build().unwrap();
    let tenant = TenantId::new("acme").unwrap();
    let name = |number| Name::new(&tenant, format!("GET https://example.com/items/{number}"));
    let names: Vec<Name> = (0..NAMES).map(name).collect();
    for name in &names {
        let body = Arc::new(Body(vec![0; 4096].into()));
        cache.put(name, body, Duration::from_secs(3600)).now().unwrap().unwrap();
    }
    let now = cache.clock().now();
    let found = |name: &Name| assert!(cache.peek_at(name, now).unwrap().value.is_some());
    let mut cases = vec![
        Case::new("one entry", |_| found(&names[0])),
        Case::new("one of a thousand", |turn| found(&names[turn % NAMES])),
        Case::new("with the clock", |turn| {
            assert!(cache.peek(&names[turn % NAMES]).unwrap().value.is_some());
        }),
        Case::new("with the name", |_| {
            found(&Name::new(&tenant, "GET https://example.com/items/7"))
        }),
    ];
    let figures = measure(&mut cases, rounds, batch, 1000);
    println!(
        "\n{rounds} rounds of {batch}:\n\n| case | ns (10..90 %) | allocations |\n|---|---|---|"
    );
    for figure in &figures {
        println!("| {} | {} | {} |", figure.name, figure.spread(), figure.allocations);
    }
}
