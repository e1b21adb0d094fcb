//! The example application under a load as there is one: few things are asked for often, many seldom
//! (Zipf), and a patient is added each second, which makes all pages and the summary invalid.
//!
//! Tells the median of what was loaded from the database, of hits in Redis and of hits in the process,
//! and the part of hits. The application is a process of its own, and so is Redis; it runs in memory,
//! on Redis with near copies, and on Redis alone.
//!
//! `cargo build --release -p axum-app` first, in the workspace above; `--app PATH` for another place.
//! `--seconds N` (30) for each, `--connections N` (2), `--only NAME` for one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_keep_bench::{
    argument, quantile,
    servers::{Process, answers, free_port},
};

/// What each is told beside where Redis is.
const CASES: [(&str, bool, &str); 3] = [
    ("memory", false, ""),
    ("Redis and near", true, ""),
    // Near copies are kept only while processes tell each other what was invalidated.
    ("Redis alone", true, "REDIS_PUBSUB_ENABLED=false"),
];

/// Names that are searched for, the popular ones first.
const NAMES: [&str; 40] = [
    "smith", "lee", "patel", "garcia", "nguyen", "khan", "brown", "silva", "rossi", "novak",
    "jones", "wong", "kumar", "berg", "costa", "weber", "sato", "lopez", "young", "quinn", "ada",
    "ben", "chen", "emma", "farid", "grace", "hanna", "ida", "jan", "kira", "lena", "mina", "noah",
    "omar", "paula", "rosa", "sven", "tara", "uma", "vera",
];

/// Microseconds of each request, by what was asked for and where it came from.
type Times = BTreeMap<(&'static str, String), Vec<f64>>;

#[tokio::main]
async fn main() {
    let text = |name: &str| std::env::args().skip_while(|it| it != name).nth(1);
    let app = text("--app").unwrap_or_else(|| "../target/release/axum-app".to_owned());
    let (seconds, connections) = (argument("--seconds", 30), argument("--connections", 2));
    let only = text("--only");
    for (name, on_redis, variable) in CASES {
        if only.as_ref().is_none_or(|only| only == name) {
            case(name, &app, on_redis, variable, seconds, connections).await;
        }
    }
}

async fn case(
    name: &str,
    app: &str,
    on_redis: bool,
    variable: &str,
    seconds: usize,
    connections: usize,
) {
    let (port, redis) = (free_port(), free_port());
    let arguments = ["--port", &redis.to_string(), "--save", "", "--appendonly", "no"];
    let _redis = on_redis.then(|| Process::start("redis-server", &arguments));
    let url = if on_redis { format!("REDIS_URL=redis://127.0.0.1:{redis}") } else { String::new() };
    if on_redis {
        answers(redis).await;
    }
    let port_of = format!("PORT={port}");
    let secret = format!("SESSION_SECRET={}", "secret".repeat(8));
    let mut arguments = vec!["RATE_LIMIT_MAX=1000000000", "RUST_LOG=warn", &port_of, &secret];
    arguments.extend([&*url, variable].into_iter().filter(|it| !it.is_empty()));
    arguments.push(app);
    let _app = Process::start("env", &arguments);
    answers(port).await;
    let mut first = Caller::connect(port, String::new()).await;
    let body = r#"{"email":"test@example.com","password":"password"}"#;
    let (_, answer) = first.send("POST", "/api/auth/login", body).await;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let token = format!("Bearer {}", answer["token"].as_str().unwrap());

    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds as u64);
    let readers: Vec<_> = (0..connections)
        .map(|number| tokio::spawn(read(port, token.clone(), number, end)))
        .collect();
    let writer = tokio::spawn(write(port, token, end));
    let mut all = Times::new();
    for reader in readers {
        for (what, times) in reader.await.unwrap() {
            all.entry(what).or_default().extend(times);
        }
    }
    let added = writer.await.unwrap();
    report(name, &all, added, begun.elapsed());
}

fn report(name: &str, all: &Times, added: usize, took: Duration) {
    let count = |hits: bool| -> usize {
        let are = all.iter().filter(|((_, from), _)| !hits || from != "loaded");
        are.map(|(_, times)| times.len()).sum()
    };
    let (hits, requests) = (count(true), count(false));
    println!(
        "\n{name}: {requests} requests and {added} patients added in {took:.0?}, {:.1} % hits\n",
        hits as f64 * 100.0 / requests as f64
    );
    println!("| asked for | from | requests | p50 ms | p99 ms |\n|---|---|---|---|---|");
    for ((what, from), times) in all {
        let at = |part| quantile(times, part) / 1000.0;
        println!("| {what} | {from} | {} | {:.3} | {:.3} |", times.len(), at(0.5), at(0.99));
    }
}

/// One after another until the end.
async fn read(port: u16, token: String, number: usize, end: Instant) -> Times {
    let mut caller = Caller::connect(port, token).await;
    let (names, pages, ids) = (Zipf::of(NAMES.len()), Zipf::of(5), Zipf::of(5000));
    let mut chance = Chance(number as u64 + 1);
    let mut all = Times::new();
    while Instant::now() < end {
        let (what, path) = match (chance.next() * 20.0) as usize {
            0 | 1 => ("summary", "/api/analytics/summary".to_owned()),
            2..=11 => {
                let (name, page) = (NAMES[names.pick(&mut chance)], pages.pick(&mut chance) + 1);
                ("search", format!("/api/patients?search={name}&page={page}"))
            }
            12..=16 => ("patient", format!("/api/patients/{}", ids.pick(&mut chance) + 1)),
            _ => ("prescription", format!("/api/prescriptions/{}", ids.pick(&mut chance) + 1)),
        };
        let begun = Instant::now();
        let (status, _) = caller.send("GET", &path, "").await;
        let took = begun.elapsed().as_secs_f64() * 1e6;
        let from = status.rsplit_once("detail=").filter(|(hit, _)| hit.contains("hit"));
        let from = from.map_or("loaded", |(_, detail)| detail);
        all.entry((what, from.to_owned())).or_default().push(took);
    }
    all
}

/// Adds a patient each second: how many it were.
async fn write(port: u16, token: String, end: Instant) -> usize {
    let mut caller = Caller::connect(port, token).await;
    let mut added = 0;
    while Instant::now() + Duration::from_secs(1) < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let body = r#"{"name":"Newcomer","born":"1970-12-31","ward":"Surgery"}"#;
        caller.send("POST", "/api/patients", body).await;
        added += 1;
    }
    added
}

/// A connection of somebody who is signed in.
struct Caller {
    sender: SendRequest<Full<Bytes>>,
    token: String,
}

impl Caller {
    async fn connect(port: u16, token: String) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, token }
    }

    /// What the answer says of the cache, and its body.
    async fn send(&mut self, method: &str, path: &str, body: &'static str) -> (String, Bytes) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, &self.token);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let answer =
            self.sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let status =
            answer.headers().get("cache-status").map_or("", |it| it.to_str().unwrap()).to_owned();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    }
}

/// The n-th of so many, as often as 1/n.
struct Zipf(Vec<f64>);

impl Zipf {
    fn of(places: usize) -> Self {
        let mut sum = 0.0;
        let upto = (1..=places).map(|place| {
            sum += 1.0 / place as f64;
            sum
        });
        Self(upto.collect())
    }

    fn pick(&self, chance: &mut Chance) -> usize {
        let at = chance.next() * self.0.last().unwrap();
        self.0.partition_point(|upto| *upto <= at).min(self.0.len() - 1)
    }
}

/// The same numbers in each run (SplitMix64).
struct Chance(u64);

impl Chance {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
