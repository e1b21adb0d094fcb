//! Servers under load: what a request costs them, and how many they answer.
//!
//! Each server is a process of its own, this very program with `--serve`; so is the Redis that
//! some of them count in. Load comes over connections that are kept alive. All servers take turns
//! within one run; a figure is the median over the rounds. `--rounds N`, `--millis N`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

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
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::sleep};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_keep_bench::{argument, median, quantile};
use tower_keep_rate_limit::{RateLimitLayer, RateLimitLayerBuilder, Rule};
use tower_keep_redis::{Connection, RedisConfig};

/// Never reached.
const PLENTY: u64 = 1_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
/// The kernel counts processor time in hundredths of a second.
const TICK_MICROS: f64 = 10_000.0;

/// Each with the one it is compared with.
const SERVERS: [(&str, &str); 8] = [
    ("bare", "bare"),
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
    let (rounds, length) = (argument("--rounds", 5), argument("--millis", 1500));
    let length = Duration::from_millis(length as u64);
    let redis = free_port();
    let arguments = ["--port", &redis.to_string(), "--save", "", "--appendonly", "no"];
    let _redis = Process::start("redis-server", &arguments);
    answers(redis).await;
    let mut servers = Vec::new();
    for (name, peer) in SERVERS {
        let port = free_port();
        let program = std::env::current_exe().unwrap();
        let arguments = ["--serve", name, &port.to_string(), &redis.to_string()];
        let process = Process::start(program.to_str().unwrap(), &arguments);
        answers(port).await;
        servers.push(Server { name, peer, port, process, rates: vec![], costs: vec![] });
    }
    for connections in [16, 64] {
        for server in &mut servers {
            (server.rates, server.costs) = (vec![], vec![]);
            load(server.port, connections, length / 4).await;
        }
        for round in 0..rounds {
            for place in 0..servers.len() {
                let index = (round + place) % servers.len();
                servers[index].measure(connections, length).await;
            }
        }
        report(&servers, connections, rounds, length);
    }
}

fn report(servers: &[Server], connections: usize, rounds: usize, length: Duration) {
    println!("\n{connections} connections, {rounds} rounds of {length:?}:\n");
    println!(
        "| server | µs of CPU per request | requests/s (p10..p90) | beside | CPU | requests/s |"
    );
    println!("|---|---|---|---|---|---|");
    for server in servers {
        let peer = servers.iter().find(|other| other.name == server.peer).unwrap_or(server);
        // Of each round by itself: what disturbs one disturbs the other.
        let of = |own: &[f64], other: &[f64]| {
            median(&own.iter().zip(other).map(|(own, other)| own / other).collect::<Vec<_>>())
        };
        println!(
            "| {} | {:.1} | {:.0} ({:.0}..{:.0}) | {} | {:.2} | {:.2} |",
            server.name,
            median(&server.costs),
            median(&server.rates),
            quantile(&server.rates, 0.1),
            quantile(&server.rates, 0.9),
            server.peer,
            of(&server.costs, &peer.costs),
            of(&server.rates, &peer.rates),
        );
    }
    let rates =
        |name| servers.iter().find(|server| server.name == name).map(|server| &server.rates);
    let (ours, lone) = (rates("tower-keep, Redis").unwrap(), rates("INCR").unwrap());
    let ratios: Vec<f64> = ours.iter().zip(lone).map(|(ours, lone)| ours / lone).collect();
    println!("\ntower-keep on Redis has {:.2} of a lone INCR's requests/s.", median(&ratios));
}

// --- load -----------------------------------------------------------------------------------

struct Server {
    name: &'static str,
    peer: &'static str,
    port: u16,
    process: Process,
    /// Requests per second, one for each round.
    rates: Vec<f64>,
    /// Microseconds of processor time per request.
    costs: Vec<f64>,
}

impl Server {
    async fn measure(&mut self, connections: usize, length: Duration) {
        let (began, ticks) = (Instant::now(), self.process.ticks());
        let requests = load(self.port, connections, length).await as f64;
        self.costs.push((self.process.ticks() - ticks) * TICK_MICROS / requests);
        self.rates.push(requests / began.elapsed().as_secs_f64());
    }
}

/// Sends requests over so many connections, each as soon as the one before is answered.
async fn load(port: u16, connections: usize, length: Duration) -> usize {
    let end = Instant::now() + length;
    let clients: Vec<_> = (0..connections).map(|_| tokio::spawn(client(port, end))).collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await.unwrap();
    }
    requests
}

async fn client(port: u16, end: Instant) -> usize {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = 0;
    while Instant::now() < end {
        let request = Request::get("/items/7").header("host", "localhost");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        requests += 1;
    }
    connection.abort();
    requests
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

// --- processes ------------------------------------------------------------------------------

/// A process that ends with this one.
struct Process(Child);

impl Process {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        Self(command.args(arguments).stdout(Stdio::null()).spawn().expect(program))
    }

    /// How long it has worked, in the kernel and outside.
    fn ticks(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The second field is a name and may hold anything; fields 14 and 15 are looked for.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn answers(port: u16) {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody listens on port {port}");
}
