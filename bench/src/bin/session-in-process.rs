//! What a session costs without any network: tower-sessions and tower-keep in memory, around a
//! service that does nothing, for the same request with a cookie of their own.
//!
//! All cases take turns within one run, in batches, timed by the thread's CPU clock; a figure is
//! the median over the rounds, less the bare service's. `--rounds N`, `--batch N`; `--only TEXT`
//! runs the case whose name is the text, to be profiled.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{body::Body, extract::ConnectInfo};
use http::{HeaderValue, Request, Response, header};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_keep_bench::{
    argument, median, quantile,
    turns::{Case, Figure, measure},
};
use tower_keep_core::{Principal, TenantId, UserId};
use tower_keep_session::{Session as OurSession, SessionLayer};
use tower_sessions::{
    Expiry, MemoryStore, Session as TheirSession, SessionManagerLayer,
    cookie::time::Duration as TheirDuration,
};

const SECRET: &str = "a secret of at least thirty-two bytes";
const NAME: &str = "Ada Lovelace";
const TEXT: &str = "0123456789abcdef0123456789abcdef";

/// What is done, each of it by the peer first.
const CASES: [(Work, &str, &str); 4] = [
    (Work::Nothing, "tower-sessions, untouched", "tower-keep, untouched"),
    (Work::Read, "tower-sessions, one read", "tower-keep, one read"),
    (Work::Write, "tower-sessions, blind write", "tower-keep, blind write"),
    (Work::ReadWrite, "tower-sessions, read and write", "tower-keep, read and write"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Seeds the session that the others find.
    Login,
    Nothing,
    Read,
    Write,
    ReadWrite,
}

/// A value that is another each time.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn main() {
    let rounds = argument("--rounds", 401);
    let batch = argument("--batch", 200);
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let their_layer = their_layer();
    let our_layer = our_layer();
    let their_cookie = cookie(their(&their_layer, Work::Login));
    let our_cookie = cookie(ours(&our_layer, Work::Login));
    let with = |cookie: &HeaderValue, told: bool| {
        let (cookie, principal) = (cookie.clone(), told.then(|| Principal::new(TenantId::NONE)));
        move || request(&cookie, principal.as_ref())
    };
    let mut cases = vec![Case::sender("bare", bare(), with(&our_cookie, false))];
    for (work, peer, own) in CASES {
        cases.push(Case::sender(peer, their(&their_layer, work), with(&their_cookie, false)));
        cases.push(Case::sender(own, ours(&our_layer, work), with(&our_cookie, false)));
    }
    // Behind a layer that says who asks, as in a whole stack.
    cases.push(Case::sender("bare, principal", bare(), with(&our_cookie, true)));
    for (work, name) in [
        (Work::Nothing, "tower-keep, untouched, principal"),
        (Work::Read, "tower-keep, one read, principal"),
    ] {
        cases.push(Case::sender(name, ours(&our_layer, work), with(&our_cookie, true)));
    }
    cases.retain(|case| only.as_ref().is_none_or(|only| case.name == only));
    let figures = measure(&mut cases, rounds, batch, 400);
    if only.is_none() {
        report(&figures, rounds, batch);
    }
}

fn report(figures: &[Figure], rounds: usize, batch: usize) {
    let of = |name: &str| figures.iter().find(|figure| figure.name == name).expect(name);
    println!("\nOne request, {rounds} rounds of {batch}; what is added to bare:\n");
    println!("| case | ns | added ns (p10..p90) | added allocations | of tower-sessions |");
    println!("|---|---|---|---|---|");
    for figure in figures {
        let bare = of(if figure.name.ends_with("principal") { "bare, principal" } else { "bare" });
        let added = figure.over(bare);
        let work = figure.name.split(", ").nth(1).unwrap_or_default();
        let peer = figures.iter().find(|peer| peer.name == format!("tower-sessions, {work}"));
        let ratio = peer.map_or(f64::NAN, |peer| median(&added) / median(&peer.over(of("bare"))));
        println!(
            "| {} | {:.0} | {:.0} ({:.0}..{:.0}) | {} | {ratio:.2} |",
            figure.name,
            median(&figure.nanos),
            median(&added),
            quantile(&added, 0.1),
            quantile(&added, 0.9),
            figure.allocations - bare.allocations,
        );
    }
}

// --- services -------------------------------------------------------------------------------

type Answer = Result<Response<Body>, Infallible>;

fn answer() -> Response<Body> {
    Response::new(Body::empty())
}

fn bare() -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    service_fn(async |_: Request<Body>| -> Answer { Ok(answer()) })
}

fn their_layer() -> SessionManagerLayer<MemoryStore> {
    let expiry = Expiry::OnInactivity(TheirDuration::hours(1));
    SessionManagerLayer::new(MemoryStore::default()).with_expiry(expiry)
}

fn their(
    layer: &SessionManagerLayer<MemoryStore>,
    work: Work,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + use<> {
    layer.layer(service_fn(move |request: Request<Body>| async move {
        let session = request.extensions().get::<TheirSession>().unwrap();
        if work == Work::Login {
            session.insert("user_id", 7_u64).await.unwrap();
            session.insert("name", NAME).await.unwrap();
            session.insert("csrf", TEXT).await.unwrap();
        }
        if matches!(work, Work::Read | Work::ReadWrite) {
            assert_eq!(session.get::<u64>("user_id").await.unwrap(), Some(7));
        }
        if matches!(work, Work::Write | Work::ReadWrite) {
            session.insert("count", fresh()).await.unwrap();
        }
        Answer::Ok(answer())
    }))
}

fn our_layer() -> SessionLayer {
    SessionLayer::builder().memory().secrets([SECRET]).build().unwrap()
}

fn ours(
    layer: &SessionLayer,
    work: Work,
) -> impl Service<
    Request<Body>,
    Response = Response<tower_keep_core::ResponseBody<Body>>,
    Error = Infallible,
> + Clone
+ use<> {
    layer.layer(service_fn(move |request: Request<Body>| async move {
        let session = OurSession::of(request.extensions()).unwrap();
        if work == Work::Login {
            session.login(&UserId::new("7").unwrap()).unwrap();
            session.set("user_id", &7_u64).unwrap();
            session.set("name", NAME).unwrap();
            session.set("csrf", TEXT).unwrap();
        }
        if matches!(work, Work::Read | Work::ReadWrite) {
            assert_eq!(session.get::<u64>("user_id").await.unwrap(), Some(7));
        }
        if matches!(work, Work::Write | Work::ReadWrite) {
            session.set("count", &fresh()).unwrap();
        }
        Answer::Ok(answer())
    }))
}

/// The cookie that a service gives to who comes without.
fn cookie<S, B>(service: S) -> HeaderValue
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(service.oneshot(Request::new(Body::empty()))).unwrap();
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().parse().unwrap()
}

// --- requests -------------------------------------------------------------------------------

/// The same for all but for the cookie.
fn request(cookie: &HeaderValue, principal: Option<&Principal>) -> Request<Body> {
    let mut request = Request::get("/items/7")
        .header("host", "localhost")
        .header("accept", "*/*")
        .header(header::COOKIE, cookie)
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))))
        .body(Body::empty())
        .unwrap();
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal.clone());
    }
    request
}
