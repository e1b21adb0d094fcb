//! Servers under load: each is a process of its own, and has its turns with the bare one right
//! before and after.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};

use crate::{TICK_MICROS, median, quantile, ticks};

/// Two measurements of the bare server that differ by more than this were disturbed.
const STEADY: f64 = 1.3;

/// A server, and what was measured of it.
pub struct Server {
    pub name: &'static str,
    /// The one that it is compared with.
    peer: &'static str,
    port: u16,
    process: Process,
    cookie: Option<HeaderValue>,
    /// One for each round; `None` for one that was disturbed.
    turns: Vec<Option<Turn>>,
}

/// What was measured of one server.
struct Measured {
    /// Requests per second.
    rate: f64,
    /// Microseconds of its processor time per request.
    cost: f64,
    /// The same of Redis.
    redis: f64,
}

/// What was measured, beside the bare server.
pub struct Turn {
    pub rate: f64,
    pub cost: f64,
    pub cost_with_redis: f64,
    /// How many microseconds more a request costs.
    more: f64,
}

impl Measured {
    fn beside(&self, before: &Self, after: &Self) -> Turn {
        let mean = |of: fn(&Self) -> f64| f64::midpoint(of(before), of(after));
        let bare = mean(|it| it.cost);
        Turn {
            rate: self.rate / mean(|it| it.rate),
            cost: self.cost / bare,
            cost_with_redis: (self.cost + self.redis) / bare,
            more: self.cost - bare,
        }
    }
}

impl Server {
    /// Starts this very program as `--serve NAME PORT REDIS`.
    pub async fn start(name: &'static str, peer: &'static str, redis: u16) -> Self {
        let port = free_port();
        let program = std::env::current_exe().unwrap();
        let arguments = ["--serve", name, &port.to_string(), &redis.to_string()];
        let process = Process::start(program.to_str().unwrap(), &arguments);
        answers(port).await;
        Self { name, peer, port, process, cookie: None, turns: vec![] }
    }

    /// Asks for `path` and sends the cookie that it gives from then on.
    pub async fn log_in(&mut self, path: &str) {
        let (mut sender, connection) = connect(self.port).await;
        let request = Request::get(path).header("host", "localhost");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        self.cookie = Some(cookie.split(';').next().unwrap().parse().unwrap());
        connection.abort();
    }

    fn steady(&self) -> impl Iterator<Item = &Turn> {
        self.turns.iter().flatten()
    }

    async fn measure(&self, redis: &Process, connections: usize, length: Duration) -> Measured {
        let (began, own, of_redis) = (Instant::now(), self.process.ticks(), redis.ticks());
        let requests = self.load(connections, length).await as f64;
        let micros = |ticks: f64| ticks * TICK_MICROS / requests;
        Measured {
            rate: requests / began.elapsed().as_secs_f64(),
            cost: micros(self.process.ticks() - own),
            redis: micros(redis.ticks() - of_redis),
        }
    }

    /// Sends requests over so many connections, each as soon as the one before is answered.
    async fn load(&self, connections: usize, length: Duration) -> usize {
        let end = Instant::now() + length;
        let client = |_| tokio::spawn(client(self.port, self.cookie.clone(), end));
        let clients: Vec<_> = (0..connections).map(client).collect();
        let mut requests = 0;
        for client in clients {
            requests += client.await.unwrap();
        }
        requests
    }
}

/// Lets all have their turns in so many rounds.
pub async fn measure(
    servers: &mut [Server],
    bare: &Server,
    redis: &Process,
    connections: usize,
    rounds: usize,
    length: Duration,
) {
    for server in &mut *servers {
        server.turns.clear();
        server.load(connections, length / 4).await;
    }
    let mut before = bare.measure(redis, connections, length).await;
    for round in 0..rounds {
        for place in 0..servers.len() {
            let index = (round + place) % servers.len();
            let own = servers[index].measure(redis, connections, length).await;
            let after = bare.measure(redis, connections, length).await;
            let steady = before.rate.max(after.rate) < STEADY * before.rate.min(after.rate);
            let turn = own.beside(&before, &after);
            servers[index].turns.push(Some(turn).filter(|_| steady));
            before = after;
        }
    }
}

pub fn report(servers: &[Server], connections: usize, rounds: usize, length: Duration) {
    println!(
        "\n{connections} connections, {rounds} rounds of {length:?}, beside the bare server:\n"
    );
    println!(
        "| server | steady | CPU per request (min..max) | more µs | the same with Redis | \
         requests/s (min..max) | beside | CPU | requests/s |\n|---|---|---|---|---|---|---|---|---|"
    );
    for server in servers {
        let all = |of: fn(&Turn) -> f64| -> Vec<f64> { server.steady().map(of).collect() };
        let (cost, rate) = (all(|turn| turn.cost), all(|turn| turn.rate));
        println!(
            "| {} | {} | {:.2} ({:.2}..{:.2}) | {:+.1} | {:.2} | {:.2} ({:.2}..{:.2}) | {} | {:.2} | {:.2} |",
            server.name,
            cost.len(),
            median(&cost),
            quantile(&cost, 0.0),
            quantile(&cost, 1.0),
            median(&all(|turn| turn.more)),
            median(&all(|turn| turn.cost_with_redis)),
            median(&rate),
            quantile(&rate, 0.0),
            quantile(&rate, 1.0),
            server.peer,
            against(servers, server.name, server.peer, |turn| turn.cost),
            against(servers, server.name, server.peer, |turn| turn.rate),
        );
    }
}

/// The median of one server's ratios over that of another's; the bare server's are 1.
pub fn against(servers: &[Server], name: &str, peer: &str, of: fn(&Turn) -> f64) -> f64 {
    let middle = |name: &str| {
        let server = servers.iter().find(|server| server.name == name)?;
        Some(median(&server.steady().map(of).collect::<Vec<_>>()))
    };
    middle(name).unwrap_or(f64::NAN) / middle(peer).unwrap_or(1.0)
}

async fn client(port: u16, cookie: Option<HeaderValue>, end: Instant) -> usize {
    let (mut sender, connection) = connect(port).await;
    let mut requests = 0;
    while Instant::now() < end {
        let mut request = Request::get("/items/7").header("host", "localhost");
        if let Some(cookie) = &cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        requests += 1;
    }
    connection.abort();
    requests
}

type Sender = SendRequest<Empty<bytes::Bytes>>;

async fn connect(port: u16) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

/// A process that ends with this one.
pub struct Process(Child);

impl Process {
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        Self(command.args(arguments).stdout(Stdio::null()).spawn().expect(program))
    }

    /// How long it has worked, in the kernel and outside.
    pub fn ticks(&self) -> f64 {
        ticks(self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens on this port.
pub async fn answers(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody listens on port {port}");
}
