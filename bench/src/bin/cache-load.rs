//! Cached responses under load: what a hit costs the server, and how many it answers. In memory
//! beside axum-response-cache, which looks at no field of a response; on Redis beside a `GET`
//! written by hand, and beside tower-http-cache.
//!
//! Each server is a process of its own, this very program with `--serve`; so is Redis. All servers
//! take turns within one run, and right before and after each the bare one is measured: what is
//! shown is the ratio to the mean of the two, and the median of those ratios over the rounds. Where
//! the two differ by more than 30 %, the machine was busy with something else and the pair is left
//! out.
//!
//! `--rounds N`, `--millis N`, `--bytes N` for the length of a body, `--only NAME` for one server
//! beside the bare one.

use std::{
    pin::Pin,
    sync::{Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use axum_response_cache::CacheLayer;
use bytes::Bytes;
use fred::{
    prelude::{Client, ClientLike as _, Config, Expiration, KeysInterface as _},
    types::config::ReconnectPolicy,
};
use http_body::{Frame, SizeHint};
use tower::ServiceBuilder;
use tower_http_cache::prelude::{CacheLayer as TheirLayer, RedisBackend};
use tower_keep_bench::{
    argument,
    servers::{Process, Server, against, answers, free_port, measure, report},
};
use tower_keep_redis::{Connection, RedisConfig, SharedBus};
use tower_keep_response_cache::{CacheBuilder, ResponseCacheLayer};

/// Each with the one it is compared with. The bare one is measured beside all.
const SERVERS: [(&str, &str); 6] = [
    ("axum-response-cache", "bare"),
    ("tower-keep, memory", "axum-response-cache"),
    ("GET by hand", "bare"),
    ("tower-http-cache, Redis", "bare"),
    ("tower-keep, Redis", "GET by hand"),
    ("tower-keep, Redis and near", "bare"),
];

fn main() {
    // As the servers are told it.
    let bytes = argument("--bytes", 1024);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(bytes));
}

async fn run(bytes: usize) {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some("--serve") = arguments.get(1).map(String::as_str) {
        let (name, port) = (&arguments[2], arguments[3].parse().unwrap());
        return serve(name, port, arguments[4].parse().unwrap()).await;
    }
    let (rounds, length) = (argument("--rounds", 5), argument("--millis", 1000));
    let length = Duration::from_millis(length as u64);
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
    let redis = Process::start("redis-server", &arguments);
    answers(port).await;
    // Servers that are started from here on take it from there.
    let length_of_body = format!("/tmp/tower-keep-bench-{}", std::process::id());
    std::fs::write(&length_of_body, bytes.to_string()).unwrap();
    let bare = Server::start("bare", "", port).await;
    let mut servers = Vec::new();
    for (name, peer) in SERVERS {
        if only.is_none_or(|only| only == name) {
            servers.push(Server::start(name, peer, port).await);
        }
    }
    for connections in [16, 64] {
        println!("\nBodies of {bytes} bytes");
        measure(&mut servers, &bare, &redis, connections, rounds, length).await;
        report(&servers, connections, rounds, length);
        if only.is_none() {
            bars(&servers);
        }
    }
    std::fs::remove_file(length_of_body).unwrap();
}

fn bars(servers: &[Server]) {
    println!();
    for (own, peer, cost, rate) in [
        ("tower-keep, memory", "axum-response-cache", Some(1.0), None),
        ("tower-keep, memory", "bare", Some(1.05), None),
        ("tower-keep, Redis", "GET by hand", None, Some(0.95)),
        ("tower-keep, Redis", "tower-http-cache, Redis", None, Some(1.15)),
    ] {
        let of = |of| against(servers, own, peer, of);
        println!(
            "{own} beside {peer}: CPU {:.2}{}, with Redis {:.2}, requests/s {:.2}{}",
            of(|turn| turn.cost),
            cost.map_or(String::new(), |bar| format!(" (at most {bar})")),
            of(|turn| turn.cost_with_redis),
            of(|turn| turn.rate),
            rate.map_or(String::new(), |bar| format!(" (at least {bar})")),
        );
    }
}

/// What all servers answer with.
fn body() -> Bytes {
    static BODY: OnceLock<Bytes> = OnceLock::new();
    let length = || {
        let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
        let path = format!("/tmp/tower-keep-bench-{}", parent.unwrap());
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    };
    BODY.get_or_init(|| vec![b'x'; length()].into()).clone()
}

async fn item() -> Response {
    let fields = [(header::CACHE_CONTROL, "public, max-age=3600"), (header::ETAG, "\"5f3a\"")];
    (fields, body()).into_response()
}

async fn serve(name: &str, port: u16, redis: u16) {
    let items = Router::new().route("/items/{id}", get(item));
    let app = match name {
        "bare" => items,
        "axum-response-cache" => items.layer(CacheLayer::with_lifespan(Duration::from_secs(3600))),
        "tower-keep, memory" => {
            items.layer(ResponseCacheLayer::builder().memory().build().unwrap())
        }
        "GET by hand" => {
            let config = Config::from_url(&format!("redis://127.0.0.1:{redis}")).unwrap();
            let client = Client::new(config, None, None, Some(ReconnectPolicy::default()));
            client.init().await.unwrap();
            items.layer(middleware::from_fn_with_state(client, by_hand))
        }
        "tower-http-cache, Redis" => {
            let client = redis::Client::open(format!("redis://127.0.0.1:{redis}")).unwrap();
            let backend = RedisBackend::new(client.get_connection_manager().await.unwrap());
            let layer = TheirLayer::builder(backend).ttl(Duration::from_secs(3600)).build();
            let failed =
                async |error: BoxError| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
            // It takes no body that is not `Sync`.
            let sync = |answer: Response| answer.map(|body| SyncBody(Mutex::new(body)));
            items.layer(
                ServiceBuilder::new()
                    .layer(HandleErrorLayer::new(failed))
                    .layer(layer)
                    .map_response(sync),
            )
        }
        "tower-keep, Redis" => items.layer(ours(redis, |cache| cache.near(false)).await),
        "tower-keep, Redis and near" => items.layer(ours(redis, |cache| cache).await),
        other => panic!("no server is called {other}"),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}

async fn ours(port: u16, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> ResponseCacheLayer {
    // Whoever waits too long fetches otherwise.
    let config = RedisConfig::new("127.0.0.1", port).with_timeout(Duration::from_secs(30));
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let bus = SharedBus::default().get(&connection, true).unwrap();
    let builder =
        ResponseCacheLayer::builder().store(|cache| change(cache.redis(&connection, Some(&bus))));
    builder.build().unwrap()
}

/// A body that may be looked at from several threads.
struct SyncBody(Mutex<Body>);

impl http_body::Body for SyncBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(self.0.get_mut().unwrap()).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap().size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap().is_end_stream()
    }
}

/// The body alone, without a word about its head.
async fn by_hand(State(client): State<Client>, request: Request<Body>, next: Next) -> Response {
    let key = format!("page:{}", request.uri().path());
    let found: Option<Bytes> = client.get(&key).await.unwrap();
    if let Some(body) = found {
        let fields = [(header::CACHE_CONTROL, "public, max-age=3600"), (header::ETAG, "\"5f3a\"")];
        return (fields, body).into_response();
    }
    let expiry = Some(Expiration::EX(3600));
    let _: () = client.set(key, body(), expiry, None, false).await.unwrap();
    next.run(request).await
}
