//! What a cached response costs without any network: axum-response-cache, which looks at no field
//! of a response, and tower-keep in memory, around a service that says how long its answer is
//! fresh; and what one costs that is not there yet.
//!
//! All cases take turns within one run, in batches, timed by the thread's CPU clock; a figure is
//! the median over the rounds. `--rounds N`, `--batch N`; `--only TEXT` runs the case whose name is
//! the text, to be profiled; `--entries N` tells how much memory so many responses take.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::body::Body;
use axum_response_cache::CacheLayer;
use bytes::Bytes;
use http::{Request, Response, header};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_bench::{
    argument, median,
    turns::{Case, Figure, measure},
};
use tower_keep_core::{Principal, TenantId};
use tower_keep_response_cache::ResponseCacheLayer;

static BODY: [u8; 1024] = [b'x'; 1024];

type Answer = Result<Response<Body>, Infallible>;

fn answer() -> Answer {
    let answer = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "public, max-age=3600")
        .header(header::ETAG, "\"5f3a\"");
    Ok(answer.body(Body::from(Bytes::from_static(&BODY))).unwrap())
}

fn request(path: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "localhost")
        .header("accept", "*/*")
        .header("user-agent", "bench")
        .body(Body::empty())
        .unwrap()
}

/// One that is asked for the first time.
fn fresh() -> Request<Body> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    request(&format!("/fresh/{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn known() -> Request<Body> {
    request("/items/7")
}

fn told() -> Request<Body> {
    let mut request = known();
    request.extensions_mut().insert(Principal::new(TenantId::new("acme").unwrap()));
    request
}

fn main() {
    let entries = argument("--entries", 0);
    let rounds = argument("--rounds", 401);
    let batch = argument("--batch", 200);
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    if entries > 0 {
        return memory(&runtime, entries);
    }
    let bare = || service_fn(async |_: Request<Body>| answer());
    let ours = |layer: &ResponseCacheLayer| {
        layer.layer(service_fn(async |_: Request<tower_keep_core::RequestBody<Body>>| answer()))
    };
    let layer = ResponseCacheLayer::builder().memory().build().unwrap();
    // Small, so that misses do not fill the memory.
    let passing = ResponseCacheLayer::builder().memory().capacity(8 << 20).build().unwrap();
    let hour = Duration::from_secs(3600);
    let theirs = CacheLayer::with_lifespan(hour).layer(bare());
    let their_misses = CacheLayer::with_lifespan(hour).layer(bare());
    for request in [known(), told()] {
        runtime.block_on(ours(&layer).oneshot(request)).unwrap();
    }
    runtime.block_on(theirs.clone().oneshot(known())).unwrap();
    let mut cases = vec![
        Case::sender("bare", bare(), known),
        Case::sender("axum-response-cache, hit", theirs, known),
        Case::sender("tower-keep, hit", ours(&layer), known),
        Case::sender("tower-keep, hit, tenant", ours(&layer), told),
        Case::sender("axum-response-cache, miss", their_misses, fresh),
        Case::sender("tower-keep, miss", ours(&passing), fresh),
    ];
    cases.retain(|case| only.as_ref().is_none_or(|only| case.name == only));
    let figures = measure(&mut cases, rounds, batch, 400);
    if only.is_none() {
        report(&figures, rounds, batch);
    }
}

fn report(figures: &[Figure], rounds: usize, batch: usize) {
    println!("\nOne request, {rounds} rounds of {batch}:\n");
    println!("| case | ns | allocations | of axum-response-cache |");
    println!("|---|---|---|---|");
    for figure in figures {
        let kind = if figure.name.ends_with("miss") { "miss" } else { "hit" };
        let peer = figures.iter().find(|it| it.name == format!("axum-response-cache, {kind}"));
        let ratio = peer.map_or(f64::NAN, |peer| figure.ratio(peer, None));
        println!(
            "| {} | {:.0} | {} | {ratio:.2} |",
            figure.name,
            median(&figure.nanos),
            figure.allocations
        );
    }
}

/// How much memory an entry takes, as the system counts it.
fn memory(runtime: &tokio::runtime::Runtime, entries: usize) {
    let layer = ResponseCacheLayer::builder().memory().capacity(1 << 34).build().unwrap();
    let service =
        layer.layer(service_fn(async |_: Request<tower_keep_core::RequestBody<Body>>| {
            // Each with a body of its own.
            answer().map(|answer| answer.map(|_| Body::from(BODY.to_vec())))
        }));
    let before = resident();
    for _ in 0..entries {
        runtime.block_on(service.clone().oneshot(fresh())).unwrap();
    }
    let each = (resident() - before) as f64 / entries as f64;
    println!("{entries} responses of 1024 bytes: {each:.0} bytes of memory each");
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
