//! What requests ask of Redis: tower-sessions, axum_session and tower-keep in one run, counted with
//! `MONITOR`. Each command that is shown is a round trip that the request waits for.
//!
//! Each case is tried five times with a client of its own, and the shortest list is shown, so that
//! what a connection says for itself is left out.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, body::Body, response::Response, routing::get};
use axum_session::{
    Session as AxumSession, SessionConfig, SessionLayer as AxumLayer, SessionStore as AxumStore,
};
use axum_session_redispool::SessionRedisPool;
use fred::prelude::{Client, ClientLike as _, Config};
use http::{HeaderMap, Request, header};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tower::ServiceExt as _;
use tower_keep_bench::servers::{Process, answers, free_port};
use tower_keep_core::{TenantId, UserId};
use tower_keep_redis::{Connection, RedisConfig};
use tower_keep_session::{RedisStore, Session, SessionLayer};
use tower_sessions_before::{Expiry, Session as TheirSession, SessionManagerLayer, cookie::time};
use tower_sessions_redis_store::RedisStore as TheirStore;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// What a client has before the request that is counted.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// A session with a value.
    Visitor,
    User,
    /// A cookie of the right form that nobody has given out.
    Forged,
    /// The cookie of a session that has ended.
    Ended,
}

const CASES: [(&str, Before, &str); 18] = [
    ("no session, untouched", Before::Nothing, "/untouched"),
    ("no session, read", Before::Nothing, "/read"),
    ("no session, first write", Before::Nothing, "/write"),
    ("untouched", Before::User, "/untouched"),
    ("read", Before::User, "/read"),
    ("three reads", Before::User, "/reads"),
    ("blind write", Before::User, "/write"),
    ("read, write", Before::User, "/read-write"),
    ("read, the same value set", Before::User, "/same"),
    ("read, a missing value removed", Before::User, "/remove"),
    ("forged token, untouched", Before::Forged, "/untouched"),
    ("forged token, read", Before::Forged, "/read"),
    ("ended session, read", Before::Ended, "/read"),
    ("login, no session", Before::Nothing, "/login"),
    ("login, a visitor's values carried", Before::Visitor, "/login"),
    ("new id within a session", Before::User, "/rotate"),
    ("logout", Before::User, "/logout"),
    ("all of a user's sessions ended", Before::User, "/revoke-all"),
];

#[tokio::main]
async fn main() {
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
    let _redis = Process::start("redis-server", &arguments);
    answers(port).await;
    let stacks = [
        ("tower-keep", ours(port).await),
        ("tower-sessions", tower_sessions(port, false).await),
        ("tower-sessions, always_save", tower_sessions(port, true).await),
        ("axum_session", axum_session(port, false).await),
        ("axum_session, no memory", axum_session(port, true).await),
    ];
    let mut monitor = Monitor::open(port).await;
    print!("\nCommands per request:\n\n| request |");
    stacks.iter().for_each(|(name, _)| print!(" {name} |"));
    println!("\n|---|{}", "---|".repeat(stacks.len()));
    for (what, before, path) in CASES {
        print!("| {what} |");
        for (_, app) in &stacks {
            match least(app, &mut monitor, before, path).await {
                None => print!(" – |"),
                Some(names) if names.is_empty() => print!(" 0 |"),
                Some(names) => print!(" {} ({}) |", names.len(), names.join(" ")),
            }
        }
        println!();
    }
}

/// The shortest list of commands; `None` where the stack has no such thing.
async fn least(
    app: &Router,
    monitor: &mut Monitor,
    before: Before,
    path: &str,
) -> Option<Vec<String>> {
    let mut least: Option<Vec<String>> = None;
    for _ in 0..5 {
        let mut jar = Jar::default();
        match before {
            Before::Nothing => {}
            Before::Visitor => drop(jar.visit(app, "/write").await),
            Before::User => drop(jar.visit(app, "/login").await),
            Before::Forged => {
                jar.visit(app, "/login").await;
                jar.forge();
            }
            Before::Ended => {
                jar.visit(app, "/login").await;
                let old = jar.clone();
                jar.visit(app, "/logout").await;
                jar = old;
            }
        }
        monitor.drain().await;
        let status = jar.visit(app, path).await;
        let names = monitor.drain().await;
        match status.as_u16() {
            404 => return None,
            200 => {}
            other => eprintln!("{path}: {other}"),
        }
        if least.as_ref().is_none_or(|least| names.len() < least.len()) {
            least = Some(names);
        }
    }
    least
}

/// A browser's cookies.
#[derive(Clone, Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    async fn visit(&mut self, app: &Router, path: &str) -> http::StatusCode {
        let mut request = Request::get(path).header("host", "localhost");
        if !self.0.is_empty() {
            let pairs: Vec<_> =
                self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        self.keep(answer.headers());
        answer.status()
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Another letter in the middle of every cookie.
    fn forge(&mut self) {
        for value in self.0.values_mut() {
            let middle = value.len() / 2;
            let other = if value[middle..].starts_with('A') { "B" } else { "A" };
            value.replace_range(middle..=middle, other);
        }
    }
}

// --- stacks ---------------------------------------------------------------------------------

async fn ours(port: u16) -> Router {
    let connection = Connection::connect(RedisConfig::new("127.0.0.1", port)).unwrap();
    connection.require().await.unwrap();
    let store = Arc::new(RedisStore::new(connection));
    let layer = SessionLayer::builder().store(store).secrets([SECRET]).build().unwrap();
    let router = Router::new()
        .route("/untouched", get(async |_: Session| ()))
        .route("/read", get(async |s: Session| our_count(&s).await))
        .route(
            "/reads",
            get(async |s: Session| {
                our_count(&s).await;
                our_count(&s).await;
                our_count(&s).await;
            }),
        )
        .route("/write", get(async |s: Session| s.set("count", &8_u64).unwrap()))
        .route(
            "/read-write",
            get(async |s: Session| {
                our_count(&s).await;
                s.set("count", &8_u64).unwrap();
            }),
        )
        .route(
            "/same",
            get(async |s: Session| {
                our_count(&s).await;
                s.set("count", &7_u64).unwrap();
            }),
        )
        .route(
            "/remove",
            get(async |s: Session| {
                our_count(&s).await;
                s.remove("nothing").unwrap();
            }),
        )
        .route(
            "/login",
            get(async |s: Session| {
                s.login(&UserId::new("42").unwrap()).unwrap();
                s.set("count", &7_u64).unwrap();
            }),
        )
        .route("/rotate", get(async |s: Session| s.rotate().unwrap()))
        .route("/logout", get(async |s: Session| s.logout()))
        .route(
            "/revoke-all",
            get(async |s: Session| {
                let user = UserId::new("42").unwrap();
                s.sessions().revoke_all(&TenantId::NONE, &user).await.unwrap();
            }),
        );
    router.layer(layer)
}

async fn our_count(session: &Session) {
    session.get::<u64>("count").await.unwrap();
}

async fn tower_sessions(port: u16, always_save: bool) -> Router {
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    let client = Client::new(config, None, None, None);
    client.init().await.unwrap();
    let layer = SessionManagerLayer::new(TheirStore::new(client))
        .with_always_save(always_save)
        .with_expiry(Expiry::OnInactivity(time::Duration::days(1)));
    let router = Router::new()
        .route("/untouched", get(async |_: TheirSession| ()))
        .route("/read", get(async |s: TheirSession| their_count(&s).await))
        .route(
            "/reads",
            get(async |s: TheirSession| {
                their_count(&s).await;
                their_count(&s).await;
                their_count(&s).await;
            }),
        )
        .route("/write", get(async |s: TheirSession| s.insert("count", 8_u64).await.unwrap()))
        .route(
            "/read-write",
            get(async |s: TheirSession| {
                their_count(&s).await;
                s.insert("count", 8_u64).await.unwrap();
            }),
        )
        .route(
            "/same",
            get(async |s: TheirSession| {
                their_count(&s).await;
                s.insert("count", 7_u64).await.unwrap();
            }),
        )
        .route(
            "/remove",
            get(async |s: TheirSession| {
                their_count(&s).await;
                s.remove::<u64>("nothing").await.unwrap();
            }),
        )
        .route(
            "/login",
            get(async |s: TheirSession| {
                s.cycle_id().await.unwrap();
                s.insert("user", "42").await.unwrap();
                s.insert("count", 7_u64).await.unwrap();
            }),
        )
        .route("/rotate", get(async |s: TheirSession| s.cycle_id().await.unwrap()))
        .route("/logout", get(async |s: TheirSession| s.flush().await.unwrap()));
    router.layer(layer)
}

async fn their_count(session: &TheirSession) {
    session.get::<u64>("count").await.unwrap();
}

async fn axum_session(port: u16, no_memory: bool) -> Router {
    type Own = AxumSession<SessionRedisPool>;
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let pool = redis_pool::RedisPool::from(client);
    let table = if no_memory { "bare" } else { "kept" };
    let mut config = SessionConfig::default().with_table_name(table);
    if no_memory {
        config = config.with_memory_lifetime(time::Duration::ZERO);
    }
    let store = AxumStore::<SessionRedisPool>::new(Some(pool.into()), config).await.unwrap();
    let count = |s: &Own| {
        let _: Option<u64> = s.get("count");
    };
    let router = Router::new()
        .route("/untouched", get(async |_: Own| ()))
        .route("/read", get(async move |s: Own| count(&s)))
        .route("/reads", get(async move |s: Own| (count(&s), count(&s), count(&s)).0))
        .route("/write", get(async |s: Own| s.set("count", 8_u64)))
        .route("/read-write", get(async move |s: Own| (count(&s), s.set("count", 8_u64)).1))
        .route("/same", get(async move |s: Own| (count(&s), s.set("count", 7_u64)).1))
        .route("/remove", get(async move |s: Own| (count(&s), s.remove("nothing")).1))
        .route(
            "/login",
            get(async |s: Own| {
                s.renew();
                s.set("user", "42");
                s.set("count", 7_u64);
            }),
        )
        .route("/rotate", get(async |s: Own| s.renew()))
        .route("/logout", get(async |s: Own| s.destroy()));
    // Its own form of body, as axum wants it.
    router
        .layer(AxumLayer::new(store))
        .layer(axum::middleware::map_response(async |answer: Response| answer))
}

// --- counting -------------------------------------------------------------------------------

/// The commands that clients send.
struct Monitor {
    lines: BufReader<TcpStream>,
    hand: TcpStream,
    drained: usize,
}

impl Monitor {
    async fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"MONITOR\r\n").await.unwrap();
        let mut lines = BufReader::new(stream);
        lines.read_line(&mut String::new()).await.unwrap();
        let hand = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self { lines, hand, drained: 0 }
    }

    /// Their names since the last time. What scripts call is left out.
    async fn drain(&mut self) -> Vec<String> {
        self.drained += 1;
        let marker = format!("marker-{}", self.drained);
        self.hand.write_all(format!("ECHO {marker}\r\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; 64];
        assert!(self.hand.read(&mut reply).await.unwrap() > 0);
        let mut names = Vec::new();
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).await.unwrap();
            if line.contains(&marker) {
                return names;
            }
            let name = line.split('"').nth(1).unwrap_or_default().to_uppercase();
            if !line.contains(" lua] ") {
                names.push(name);
            }
        }
    }
}
