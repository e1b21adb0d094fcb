//! Sessions on Redis under load: what a request that reads one value costs the server, and how many
//! it answers. Beside tower-sessions with its Redis store, and a `GET` written by hand.
//!
//! Each server is a process of its own, this very program with `--serve`; so is Redis. Load comes
//! over connections that are kept alive, of one logged-in client. All servers take turns within one
//! run, and right before and after each the bare one is measured: what is shown is the ratio to the
//! mean of the two, and the median of those ratios over the rounds. Where the two differ by more
//! than 30 %, the machine was busy with something else and the pair is left out.
//!
//! `--rounds N`, `--millis N`, `--only NAME` for one server beside the bare one.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use fred::{
    prelude::{Client, ClientLike as _, Config, Expiration, KeysInterface as _, Pool},
    types::config::ReconnectPolicy,
};
use tower_keep_bench::{
    argument,
    servers::{Process, Server, against, answers, free_port, measure, report},
};
use tower_keep_core::UserId;
use tower_keep_redis::{Connection, RedisConfig};
use tower_keep_session::{RedisStore, Session, SessionLayer};
use tower_sessions_before::{
    Expiry, Session as TheirSession, SessionManagerLayer, SessionStore, cookie::time,
};
use tower_sessions_redis_store::RedisStore as TheirStore;

const SECRET: &str = "a secret of at least thirty-two bytes";
const NAME: &str = "Ada Lovelace";
const TEXT: &str = "0123456789abcdef0123456789abcdef";
const BODY: &[u8] = &[b'x'; 256];

/// Each with the one it is compared with. The bare one is measured beside all.
const SERVERS: [(&str, &str); 6] = [
    ("GET by hand", "bare"),
    ("tower-sessions, pool of 6", "bare"),
    ("tower-sessions, 1 client", "bare"),
    ("tower-keep", "tower-sessions, pool of 6"),
    ("tower-sessions, always_save", "bare"),
    ("tower-keep, touched each time", "tower-sessions, always_save"),
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
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
    let redis = Process::start("redis-server", &arguments);
    answers(port).await;
    let bare = Server::start("bare", "", port).await;
    let mut servers = Vec::new();
    for (name, peer) in SERVERS {
        if only.is_none_or(|only| only == name) {
            let mut server = Server::start(name, peer, port).await;
            server.log_in("/login").await;
            servers.push(server);
        }
    }
    // From now on the one that touches has something to do for each request.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for connections in [16, 64] {
        measure(&mut servers, &bare, &redis, connections, rounds, length).await;
        report(&servers, connections, rounds, length);
        if only.is_none() {
            bars(&servers);
        }
    }
}

fn bars(servers: &[Server]) {
    println!();
    for (own, peer, cost, rate) in [
        ("tower-keep", "tower-sessions, pool of 6", Some(0.85), Some(1.2)),
        ("tower-keep", "tower-sessions, 1 client", Some(0.85), Some(1.2)),
        ("tower-keep", "GET by hand", None, Some(0.95)),
        ("tower-keep", "tower-sessions, always_save", Some(0.75), None),
        ("tower-keep, touched each time", "tower-sessions, always_save", Some(0.75), None),
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

async fn serve(name: &str, port: u16, redis: u16) {
    let url = format!("redis://127.0.0.1:{redis}");
    let config = || Config::from_url(&url).unwrap();
    let client = async || {
        let client = Client::new(config(), None, None, Some(ReconnectPolicy::default()));
        client.init().await.unwrap();
        client
    };
    let app = match name {
        "bare" => Router::new().route("/items/{id}", get(async || BODY)),
        "GET by hand" => {
            let client = client().await;
            let own = middleware::from_fn_with_state(client.clone(), by_hand);
            let items = Router::new().route("/items/{id}", get(async || BODY)).layer(own);
            items.route("/login", get(log_in_by_hand)).with_state(client)
        }
        "tower-sessions, pool of 6" => {
            let pool =
                Pool::new(config(), None, None, Some(ReconnectPolicy::default()), 6).unwrap();
            pool.init().await.unwrap();
            tower_sessions(TheirStore::new(pool), false)
        }
        "tower-sessions, 1 client" => tower_sessions(TheirStore::new(client().await), false),
        "tower-sessions, always_save" => tower_sessions(TheirStore::new(client().await), true),
        "tower-keep" => ours(redis, Duration::from_secs(300)).await,
        "tower-keep, touched each time" => ours(redis, Duration::from_secs(1)).await,
        other => panic!("no server is called {other}"),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}

// --- tower-keep -----------------------------------------------------------------------------

async fn ours(port: u16, touch_every: Duration) -> Router {
    // Whoever waits too long is refused otherwise; the others wait for as long as it takes.
    let config = RedisConfig::new("127.0.0.1", port).with_timeout(Duration::from_secs(30));
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let store = Arc::new(RedisStore::new(connection));
    let layer = SessionLayer::builder().store(store).secrets([SECRET]).touch_every(touch_every);
    let items = Router::new().route("/items/{id}", get(our_item)).route("/login", get(our_login));
    items.layer(layer.build().unwrap())
}

async fn our_item(session: Session) -> Response {
    match session.get::<u64>("user_id").await {
        Ok(Some(7)) => BODY.into_response(),
        other => {
            eprintln!("{other:?}");
            StatusCode::UNAUTHORIZED.into_response()
        }
    }
}

async fn our_login(session: Session) {
    session.login(&UserId::new("7").unwrap()).unwrap();
    session.set("user_id", &7_u64).unwrap();
    session.set("name", NAME).unwrap();
    session.set("csrf", TEXT).unwrap();
}

// --- tower-sessions -------------------------------------------------------------------------

fn tower_sessions<S: SessionStore + Clone>(store: S, always_save: bool) -> Router {
    let layer = SessionManagerLayer::new(store)
        .with_always_save(always_save)
        .with_expiry(Expiry::OnInactivity(time::Duration::days(1)));
    let items =
        Router::new().route("/items/{id}", get(their_item)).route("/login", get(their_login));
    items.layer(layer)
}

async fn their_item(session: TheirSession) -> Response {
    match session.get::<u64>("user_id").await {
        Ok(Some(7)) => BODY.into_response(),
        other => {
            eprintln!("{other:?}");
            StatusCode::UNAUTHORIZED.into_response()
        }
    }
}

async fn their_login(session: TheirSession) {
    session.insert("user_id", 7_u64).await.unwrap();
    session.insert("name", NAME).await.unwrap();
    session.insert("csrf", TEXT).await.unwrap();
}

// --- by hand --------------------------------------------------------------------------------

/// What a hand-written session reads.
#[derive(serde::Deserialize, serde::Serialize)]
struct ByHand {
    user_id: u64,
    name: String,
    csrf: String,
}

async fn log_in_by_hand(State(client): State<Client>) -> Response {
    let value = ByHand { user_id: 7, name: NAME.into(), csrf: TEXT.into() };
    let value = serde_json::to_string(&value).unwrap();
    let expiry = Some(Expiration::EX(86_400));
    let _: () = client.set(format!("hand:{TEXT}"), value, expiry, None, false).await.unwrap();
    ([(header::SET_COOKIE, format!("sid={TEXT}"))], ()).into_response()
}

async fn by_hand(State(client): State<Client>, request: Request<Body>, next: Next) -> Response {
    let cookie = request.headers().get(header::COOKIE).and_then(|cookie| cookie.to_str().ok());
    let id = cookie.and_then(|all| all.split("; ").find_map(|pair| pair.strip_prefix("sid=")));
    let Some(id) = id else { return StatusCode::UNAUTHORIZED.into_response() };
    let found: Option<bytes::Bytes> = client.get(format!("hand:{id}")).await.unwrap();
    let session = found.and_then(|found| serde_json::from_slice::<ByHand>(&found).ok());
    match session {
        Some(session) if session.user_id == 7 => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}
