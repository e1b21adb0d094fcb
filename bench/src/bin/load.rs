//! Servers under load: what a request costs them, and how many they answer.
//!
//! Each server is a process of its own, this very program with `--serve`; so is the Redis that
//! some of them count in. Load comes over connections that are kept alive. All servers take turns
//! within one run, and right before and after each the bare one is measured: what is shown is the
//! ratio to the mean of the two, and the median of those ratios over the rounds. Where the two
//! differ by more than 30 %, the machine was busy with something else and the pair is left out.
//!
//! `--rounds N`, `--millis N`, `--only NAME` for one server beside the bare one.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use fred::prelude::{Client, ClientLike as _, Config, KeysInterface as _};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_keep_bench::{
    argument,
    servers::{Process, Server, against, answers, free_port, measure, report},
};
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule};
use tower_keep_redis::{Connection, RedisConfig};

/// Never reached.
const PLENTY: u64 = 1_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Each with the one it is compared with. The bare one is measured beside all.
const SERVERS: [(&str, &str); 7] = [
    ("tower_governor", "bare"),
    ("tower-keep, memory", "tower_governor"),
    ("tower_governor, fields", "bare"),
    ("tower-keep, memory, fields", "tower_governor, fields"),
    ("INCR", "bare"),
    ("INCR and EXPIRE", "INCR"),
    ("tower-keep, Redis", "INCR and EXPIRE"),
];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some("--serve") = arguments.get(1).map(String::as_str) {
        return serve(&arguments[2], arguments[3].parse().unwrap(), arguments[4].parse().unwrap())
            .await;
    }
    let (rounds, length) = (argument("--rounds", 5), argument("--millis", 1000));
    let length = Duration::from_millis(length as u64);
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let redis_port = free_port();
    let arguments = ["--port", &redis_port.to_string(), "--save", "", "--appendonly", "no"];
    let redis = Process::start("redis-server", &arguments);
    answers(redis_port).await;
    let bare = Server::start("bare", "", redis_port).await;
    let mut servers = Vec::new();
    for (name, peer) in SERVERS {
        if only.is_none_or(|only| only == name) {
            servers.push(Server::start(name, peer, redis_port).await);
        }
    }
    for connections in [16, 64] {
        measure(&mut servers, &bare, &redis, connections, rounds, length).await;
        report(&servers, connections, rounds, length);
        if servers.iter().any(|server| server.name == "tower-keep, Redis") {
            let ratio = against(&servers, "tower-keep, Redis", "INCR", |turn| turn.rate);
            println!("\ntower-keep on Redis has {ratio:.2} of a lone INCR's requests/s.");
        }
    }
}

// --- servers --------------------------------------------------------------------------------

async fn serve(name: &str, port: u16, redis: u16) {
    let items = || Router::new().route("/items/{id}", get(|| async { [b'x'; 256].as_slice() }));
    let limited = |builder: RateLimitLayerBuilder| {
        items().layer(builder.rule(Rule::per_address(PLENTY, MINUTE)).build().unwrap())
    };
    let ours = RateLimitLayer::builder;
    let quick = || {
        let mut config = GovernorConfigBuilder::default();
        config.per_nanosecond(1).burst_size(1_000_000_000);
        config
    };
    let app = match name {
        "bare" => items(),
        "tower_governor" => items().layer(GovernorLayer::new(quick().finish().unwrap())),
        "tower_governor, fields" => {
            items().layer(GovernorLayer::new(quick().use_headers().finish().unwrap()))
        }
        "tower-keep, memory" => limited(ours().memory().headers(false)),
        "tower-keep, memory, fields" => limited(ours().memory()),
        "tower-keep, Redis" => {
            let connection = Connection::connect(RedisConfig::new("127.0.0.1", redis)).unwrap();
            connection.require().await.unwrap();
            // Without fields, as those it is compared with.
            limited(ours().redis(&connection).headers(false))
        }
        "INCR" => items().layer(middleware::from_fn_with_state(fred(redis).await, incr)),
        "INCR and EXPIRE" => {
            items().layer(middleware::from_fn_with_state(fred(redis).await, incr_and_expire))
        }
        other => panic!("no server is called {other}"),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await.unwrap();
}

async fn fred(port: u16) -> Client {
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    let client = Client::new(config, None, None, None);
    client.init().await.unwrap();
    client
}

type Peer = ConnectInfo<SocketAddr>;

/// What many write by hand: two commands, each waited for.
async fn incr_and_expire(
    State(client): State<Client>,
    ConnectInfo(peer): Peer,
    request: Request<Body>,
    next: Next,
) -> Response {
    let key = format!("hand:{}", peer.ip());
    let count: i64 = client.incr(&key).await.unwrap();
    let _: i64 = client.expire(&key, 60, None).await.unwrap();
    go_on(count, request, next).await
}

/// The least that can be asked of Redis. It never forgets, so it limits nothing.
async fn incr(
    State(client): State<Client>,
    ConnectInfo(peer): Peer,
    request: Request<Body>,
    next: Next,
) -> Response {
    let count: i64 = client.incr(format!("lone:{}", peer.ip())).await.unwrap();
    go_on(count, request, next).await
}

async fn go_on(count: i64, request: Request<Body>, next: Next) -> Response {
    if count.unsigned_abs() > PLENTY {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    next.run(request).await
}
