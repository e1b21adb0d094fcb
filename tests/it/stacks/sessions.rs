//! Sessions under each server, between the tenant and a limit for each user, asked by real clients.

mod axum_router;
mod bounds;
mod hyper_service;
mod tonic_server;

use http::{Request, header};
use tower_keep::RedisConfig;
use tower_keep_rate_limit::{RateLimitLayer, Rule};
use tower_keep_redis::Connection;
use tower_keep_session::{Session, SessionError, SessionLayer, SessionLayerBuilder};

use super::{HOUR, HttpClient, Reply, Served, ask};
use crate::session::SECRET;

/// What each user may ask for, and all visitors at one address together.
const LIMIT: u64 = 3;

/// The layers in their order: the tenant, the session, the limit that is told the session's user.
macro_rules! layers {
    ($session:expr) => {
        tower::ServiceBuilder::new()
            .layer(crate::stacks::tenant_by_header())
            .layer($session)
            .layer(crate::stacks::sessions::per_user())
    };
}
use layers;

fn per_user() -> RateLimitLayer {
    let builder = RateLimitLayer::builder().memory().rule(Rule::per_user(LIMIT, HOUR));
    builder.skip_nothing_by_default().build().unwrap()
}

fn in_memory() -> SessionLayerBuilder {
    SessionLayer::builder().memory().secrets([SECRET])
}

/// On a server that is not there.
fn nowhere() -> SessionLayer {
    let connection = Connection::connect(RedisConfig::from_url("redis://127.0.0.1:1").unwrap());
    SessionLayer::builder().redis(&connection.unwrap()).secrets([SECRET]).build().unwrap()
}

/// What an application does, whatever serves it.
async fn count(session: &Session) -> Result<String, SessionError> {
    let add = |visits: Option<u64>| visits.unwrap_or(0) + 1;
    Ok(session.update("visits", add).await?.to_string())
}

async fn whose(session: &Session) -> Result<String, SessionError> {
    let user = session.user().await?;
    Ok(user.map_or_else(|| "nobody".to_owned(), |user| user.as_str().to_owned()))
}

/// A browser with one cookie.
#[derive(Clone, Debug, Default)]
struct Jar(Option<String>);

impl Jar {
    /// Asks with the cookie that it has, and keeps the one that it is given.
    async fn post(&mut self, client: &HttpClient, served: &Served, path: &str) -> Reply {
        self.send(client, Request::post(served.url(path))).await
    }

    async fn send(&mut self, client: &HttpClient, request: http::request::Builder) -> Reply {
        let request = match &self.0 {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let reply = ask(client, request).await;
        let told: Vec<_> = reply.headers.get_all(header::SET_COOKIE).iter().collect();
        assert!(told.len() <= 1, "{told:?}");
        if let Some(cookie) = told.first() {
            assert_eq!(reply.header("cache-control"), "no-store");
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.0 = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        reply
    }
}

fn text(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), str::from_utf8(&reply.body).unwrap())
}

/// What every HTTP stack does: `/count` counts a client's visits, `/login/NAME`, `/whose`,
/// `/logout`.
async fn sessions_as_told(served: &Served, client: &HttpClient) {
    let (mut alice, mut bob) = (Jar::default(), Jar::default());
    let reply = alice.post(client, served, "/count").await;
    assert_eq!(text(&reply), (200, "1"));
    let cookie = reply.header("set-cookie");
    assert!(cookie.starts_with("__Host-session=") && cookie.contains("; HttpOnly"), "{cookie}");
    let varies = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap());
    let varies = varies.collect::<Vec<_>>().join(", ").to_lowercase();
    for name in ["x-tenant-id", "cookie", "authorization"] {
        assert!(varies.contains(name), "{varies}");
    }
    let visitor = alice.clone();
    assert_eq!(alice.post(client, served, "/login/alice").await.status, 200);
    assert_eq!(bob.post(client, served, "/login/bob").await.status, 200);
    // Three times nobody from here.
    let mut nobody = Jar::default();
    assert_eq!(nobody.post(client, served, "/count").await.status, 429);
    assert!(nobody.0.is_none());

    // Each user has a limit of their own, at the same address.
    assert_eq!(text(&alice.post(client, served, "/count").await), (200, "2"));
    let reply = alice.post(client, served, "/whose").await;
    assert_eq!(text(&reply), (200, "alice"));
    assert!(reply.header("ratelimit").contains(";r=1;"), "{:?}", reply.headers);
    assert_eq!(text(&bob.post(client, served, "/whose").await), (200, "bob"));
    let kept = alice.clone();
    assert_eq!(alice.post(client, served, "/logout").await.status, 200);
    assert!(alice.0.is_none(), "the cookie is taken away");
    // The cookie still says whose it was, and that one's limit is reached. To refuse it costs no
    // look at the session.
    assert_eq!(kept.clone().post(client, served, "/whose").await.status, 429);
    assert_eq!(bob.post(client, served, "/count").await.status, 200);

    // In another tenant these cookies are nobody's.
    for mut jar in [bob.clone(), kept, visitor] {
        let request = Request::post(served.url("/whose")).header("x-tenant-id", "other");
        assert_eq!(text(&jar.send(client, request).await), (200, "nobody"));
    }
}

/// What every HTTP stack does with a session whose store is away.
async fn refuses_as_told(served: &Served, client: &HttpClient) {
    let other = Jar::default().post(client, served, "/else").await;
    assert_eq!(other.status, 200, "who asks for no session notices nothing");
    // Read or written, by a visitor.
    let reply = Jar::default().post(client, served, "/login/alice").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("retry-after"), "1");
    assert!(!reply.headers.contains_key("set-cookie"));
}
