//! A query's result that is kept: in memory beside `cached` and `moka::future::get_with`, on Redis
//! beside a `GET` and `SETEX` written by hand, with `serde_json`.
//!
//! What is kept is a page of twenty patients. In memory it is hit by one thread, in batches that
//! take turns, timed by the thread's CPU clock, and allocations are counted; then by several tasks
//! on two threads at once. On Redis it is hit by 1, 16 and 64 tasks at once, of a thousand keys at
//! random. Of what several tasks do the rate is told, and the CPU time of this process for each
//! hit. All peers take turns within one run, and a figure is the median of the ratios in each round
//! to the peer that is named beside it.
//!
//! `--rounds N`, `--millis N`, `--keys N`, `--rows N`; `--only TEXT` runs the peers in whose name
//! the text is; `--memory` or `--redis` runs one half.

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use cached::macros::cached;
use fred::{
    prelude::{Client, ClientLike as _, Config, Expiration, KeysInterface as _},
    types::config::ReconnectPolicy,
};
use serde::{Deserialize, Serialize};
use tower_keep_bench::{
    argument, flag, median,
    servers::{Process, answers, free_port},
    together::{Work, together},
    turns::{Case, measure},
};
use tower_keep_core::TenantId;
use tower_keep_query_cache::{CacheBuilder, QueryCache, QueryKey, TtlClass};
use tower_keep_redis::{Connection, RedisConfig, SharedBus};

const HOUR: Duration = Duration::from_secs(3600);
const SEARCH: &str = "select id, name, born, ward, doctor from patients where name like ?1 \
                      order by name limit 20 offset ?2";

#[derive(Clone, Deserialize, Serialize)]
struct Page {
    total: u64,
    patients: Vec<Patient>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Patient {
    id: u64,
    name: String,
    born: String,
    ward: u16,
    doctor: Option<String>,
}

/// What the database would answer.
async fn load(page: usize) -> Result<Page, std::io::Error> {
    let patient = |row| Patient {
        id: (page * 20 + row) as u64,
        name: format!("Lovelace, Ada {row}"),
        born: "1815-12-10".into(),
        ward: 7,
        doctor: (row % 3 > 0).then(|| format!("Dr. Babbage {row}")),
    };
    let patients = (0..argument("--rows", 20)).map(patient).collect();
    Ok(Page { total: 4711, patients })
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    if !flag("--redis") {
        let peers = runtime.block_on(in_memory());
        alone(&peers);
        for tasks in [2, 16] {
            println!("\nHits in memory, two threads");
            runtime.block_on(together(&peers, tasks, None));
        }
    }
    if !flag("--memory") {
        runtime.block_on(on_redis());
    }
}

// --- peers ----------------------------------------------------------------------------------

/// Something that gives the page of a number, each time as it would be asked for by a handler.
struct Peer {
    name: &'static str,
    beside: &'static str,
    hit: Hit,
}

enum Hit {
    Cached,
    Moka(moka::future::Cache<String, Arc<Page>>),
    /// The same with keys that are there already.
    MokaKnown(moka::future::Cache<String, Arc<Page>>, Vec<String>),
    Ours(Ours),
    OursKnown(Ours, Vec<QueryKey>),
    ByHand(Client),
}

struct Ours {
    cache: QueryCache,
    tenant: TenantId,
    class: TtlClass,
}

impl Work for Peer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn beside(&self) -> &'static str {
        self.beside
    }

    async fn once(&self, number: usize) {
        let page = match &self.hit {
            Hit::Cached => by_cached(number).await,
            Hit::Moka(cache) => {
                let key = key_by_hand(number);
                cache.get_with(key, async { Arc::new(load(number).await.unwrap()) }).await
            }
            Hit::MokaKnown(cache, keys) => {
                let key = &keys[number % keys.len()];
                let load = async { Arc::new(load(number).await.unwrap()) };
                cache.get_with_by_ref(key, load).await
            }
            Hit::Ours(ours) => {
                let key = ours.key(number);
                let load = move || load(number);
                ours.cache.get_or_load(&key, &ours.class, load).await.unwrap().value
            }
            Hit::OursKnown(ours, keys) => {
                let key = &keys[number % keys.len()];
                let load = move || load(number);
                ours.cache.get_or_load(key, &ours.class, load).await.unwrap().value
            }
            Hit::ByHand(client) => Arc::new(by_hand(client, number).await),
        };
        assert_eq!(black_box(page).total, 4711);
    }
}

impl Ours {
    fn new(cache: QueryCache) -> Self {
        let (tenant, class) = (TenantId::new("acme").unwrap(), TtlClass::new("query", HOUR));
        Self { cache, tenant, class }
    }

    fn key(&self, number: usize) -> QueryKey {
        QueryKey::query(&self.tenant, SEARCH, &("smith%", number)).unwrap()
    }
}

/// What tells queries apart, where somebody writes it by hand.
fn key_by_hand(number: usize) -> String {
    format!("query:acme:patients:smith%:{number}")
}

#[cached(max_size = 10_000, ttl_secs = 3600, key = "String", convert = "{ key_by_hand(number) }")]
async fn by_cached(number: usize) -> Arc<Page> {
    Arc::new(load(number).await.unwrap())
}

/// Without a word about purges, failures, or who else asks the same.
async fn by_hand(client: &Client, number: usize) -> Page {
    let key = key_by_hand(number);
    let found: Option<bytes::Bytes> = client.get(&key).await.unwrap();
    if let Some(page) = found.and_then(|found| serde_json::from_slice(&found).ok()) {
        return page;
    }
    let page = load(number).await.unwrap();
    let text = serde_json::to_string(&page).unwrap();
    let _: () = client.set(&key, text, Some(Expiration::EX(3600)), None, false).await.unwrap();
    page
}

// --- memory ---------------------------------------------------------------------------------

async fn in_memory() -> Vec<Arc<Peer>> {
    let moka = || moka::future::Cache::builder().max_capacity(10_000).time_to_live(HOUR).build();
    let ours = || Ours::new(QueryCache::builder().memory().build().unwrap());
    let keys = argument("--keys", 1000);
    let known = ours();
    let our_keys = (0..keys).map(|number| known.key(number)).collect();
    let peers = vec![
        Peer { name: "cached", beside: "moka", hit: Hit::Cached },
        Peer { name: "moka", beside: "moka", hit: Hit::Moka(moka()) },
        Peer { name: "tower-keep", beside: "moka", hit: Hit::Ours(ours()) },
        Peer {
            name: "moka, known key",
            beside: "moka, known key",
            hit: Hit::MokaKnown(moka(), (0..keys).map(key_by_hand).collect()),
        },
        Peer {
            name: "tower-keep, known key",
            beside: "moka, known key",
            hit: Hit::OursKnown(known, our_keys),
        },
    ];
    chosen(peers, keys).await
}

/// Those that are wanted, with all that is asked for.
async fn chosen(mut peers: Vec<Peer>, keys: usize) -> Vec<Arc<Peer>> {
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    peers.retain(|peer| only.as_ref().is_none_or(|only| peer.name.contains(&**only)));
    for peer in &peers {
        for number in 0..keys {
            peer.once(number).await;
        }
    }
    peers.into_iter().map(Arc::new).collect()
}

/// One thread, by its own clock.
fn alone(peers: &[Arc<Peer>]) {
    let (rounds, batch) = (argument("--rounds", 21) * 5, 500);
    let keys = argument("--keys", 1000);
    let case = |peer: &Arc<Peer>| {
        let peer = Arc::clone(peer);
        Case::new(peer.name, move |turn| {
            let mut context = Context::from_waker(Waker::noop());
            let told = pin!(peer.once(turn % keys)).poll(&mut context);
            assert_eq!(told, Poll::Ready(()), "it is in memory");
        })
    };
    let mut cases: Vec<Case<'_>> = peers.iter().map(case).collect();
    let figures = measure(&mut cases, rounds, batch, 1000);
    println!("\nA hit in memory, one thread, {rounds} rounds of {batch}, {keys} keys:\n");
    println!("| peer | ns of CPU (10..90 %) | allocations | beside | ratio |");
    println!("|---|---|---|---|---|");
    for (figure, peer) in figures.iter().zip(peers) {
        let beside = figures.iter().find(|figure| figure.name == peer.beside);
        let ratio = beside.map_or(f64::NAN, |beside| {
            let each = figure.nanos.iter().zip(&beside.nanos).map(|(own, its)| own / its);
            median(&each.collect::<Vec<_>>())
        });
        println!(
            "| {} | {} | {} | {} | {ratio:.2} |",
            peer.name,
            figure.spread(),
            figure.allocations,
            peer.beside
        );
    }
}

// --- Redis ----------------------------------------------------------------------------------

async fn on_redis() {
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
    let redis = Process::start("redis-server", &arguments);
    answers(port).await;
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    let client = Client::new(config, None, None, Some(ReconnectPolicy::default()));
    client.init().await.unwrap();
    // Whoever waits too long loads otherwise.
    let config = RedisConfig::new("127.0.0.1", port).with_timeout(Duration::from_secs(30));
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let bus = SharedBus::default().get(&connection, true).unwrap();
    let ours = |change: fn(CacheBuilder) -> CacheBuilder| {
        let cache = QueryCache::builder();
        let cache = cache.store(|cache| change(cache.redis(&connection, Some(&bus))));
        Hit::Ours(Ours::new(cache.build().unwrap()))
    };
    let peers = vec![
        Peer { name: "by hand", beside: "by hand", hit: Hit::ByHand(client) },
        Peer {
            name: "tower-keep, no near",
            beside: "by hand",
            hit: ours(|cache| cache.near(false)),
        },
        Peer { name: "tower-keep, near", beside: "by hand", hit: ours(|cache| cache) },
    ];
    let peers = chosen(peers, argument("--keys", 1000)).await;
    for tasks in [1, 16, 64] {
        println!("\nHits on Redis, {} keys", argument("--keys", 1000));
        together(&peers, tasks, Some(&redis)).await;
    }
}
