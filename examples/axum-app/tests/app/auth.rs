//! Logging in, being known, and being known no more.

use http::{Method, request::Builder};
use serde_json::{Value, json};
use tower_keep_tests::{Flavor, Server};

use crate::program::{App, Reply};

mod abuse;
mod outage;
mod revoking;

pub(crate) const USER: &str = "test@example.com";
pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const PUBLIC: &str = "public";
pub(crate) const GLOBEX: &str = "globex";
const ME: &str = "/api/auth/me";
const COOKIE: &str = "__Host-session";

/// Who asks: what is shown, in which header.
#[derive(Clone, Debug)]
pub(crate) struct Client(Option<(&'static str, String)>, &'static str);

impl Client {
    /// One that has nothing to show.
    pub(crate) const NOBODY: Self = Self(None, PUBLIC);

    pub(crate) async fn ask(&self, app: &App, method: Method, path: &str) -> Reply {
        app.ask(self.sign(app.request(path).method(method))).await
    }

    /// The request, with what this client shows.
    pub(crate) fn sign(&self, request: Builder) -> Builder {
        let request = match &self.0 {
            Some((name, value)) => request.header(*name, value),
            None => request,
        };
        if self.1 == PUBLIC { request } else { request.header("x-tenant-id", self.1) }
    }

    /// Sends a document.
    pub(crate) async fn post(&self, app: &App, path: &str, body: &Value) -> Reply {
        let request = self.sign(app.request(path).method(Method::POST));
        app.send(request.header("content-type", "application/json"), body.to_string()).await
    }

    pub(crate) async fn get(&self, app: &App, path: &str) -> Reply {
        self.ask(app, Method::GET, path).await
    }

    pub(crate) async fn me(&self, app: &App) -> Reply {
        self.ask(app, Method::GET, ME).await
    }

    /// The status of `/api/auth/me`.
    pub(crate) async fn is(&self, app: &App) -> u16 {
        self.me(app).await.status.as_u16()
    }
}

pub(crate) async fn try_login(app: &App, body: &Value) -> Reply {
    Client::NOBODY.post(app, "/api/auth/login", body).await
}

/// The user's new session, as a browser knows it, and as a program does.
pub(crate) async fn login(app: &App, email: &str) -> (Client, Client) {
    login_to(app, PUBLIC, email).await
}

/// The same in another tenant.
pub(crate) async fn login_to(app: &App, tenant: &'static str, email: &str) -> (Client, Client) {
    let body = json!({ "email": email, "password": "password" });
    let reply = Client(None, tenant).post(app, "/api/auth/login", &body).await;
    assert_eq!(reply.status, 200, "{:?} {}", reply.body, app.log());
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with(&format!("{COOKIE}=")), "{cookie}");
    let client = |name, value| Client(Some((name, value)), tenant);
    (client("cookie", cookie), client("authorization", format!("Bearer {token}")))
}

/// The keys in the server that are like `pattern`.
pub(crate) async fn keys(server: &Server, pattern: &str) -> Vec<String> {
    let text = |key: &tower_keep_tests::Value| match key {
        tower_keep_tests::Value::Bulk(Some(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("no key: {other:?}"),
    };
    match server.command(&["KEYS", pattern]).await.unwrap() {
        tower_keep_tests::Value::Array(Some(keys)) => keys.iter().map(text).collect(),
        other => panic!("no keys: {other:?}"),
    }
}

async fn in_and_out(app: &App) {
    let problem = Client::NOBODY.me(app).await;
    assert_eq!(problem.problem(401)["title"], "not signed in");
    assert_eq!(problem.header("www-authenticate"), "Bearer");
    assert_eq!(problem.header("set-cookie"), "", "a visitor is given nothing");

    let reply =
        try_login(app, &json!({ "email": "Test@Example.com", "password": "password" })).await;
    let (answer, cookie) = (reply.json(), reply.header("set-cookie"));
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"));
    assert_eq!((&answer["user"]["email"], &answer["expires_in"]), (&json!(USER), &json!(86400)));
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
    }
    assert!(!answer["user"]["id"].as_str().unwrap().contains('@'), "an id is opaque");

    for (email, role) in [(USER, Value::Null), (ADMIN, json!("admin"))] {
        let (browser, program) = login(app, email).await;
        for client in [&browser, &program] {
            let me = client.me(app).await;
            let user = &me.json()["user"];
            assert_eq!((&user["email"], &user["role"]), (&json!(email), &role), "{client:?}");
            let varies: Vec<_> = me.headers.get_all("vary").iter().collect();
            assert!(format!("{varies:?}").contains("Cookie"), "{varies:?}");
        }
        let leaver = if role.is_null() { &browser } else { &program };
        let left = leaver.ask(app, Method::POST, "/api/auth/logout").await;
        assert_eq!(left.status, 204);
        assert_eq!(left.header("set-cookie").contains("Max-Age=0"), role.is_null());
        // One session: whoever shows it.
        assert_eq!((browser.is(app).await, program.is(app).await), (401, 401));
    }
    let again = Client::NOBODY.ask(app, Method::POST, "/api/auth/logout").await;
    assert_eq!(again.status, 204, "who is not here may go");
}

#[tokio::test]
async fn a_user_logs_in_is_known_and_logs_out() {
    in_and_out(&App::start(&[]).await).await;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        in_and_out(&App::connected(&server.url()).await).await;
    }
}

#[tokio::test]
async fn a_session_survives_a_restart_and_two_processes_share_it() {
    let server = Server::start(Flavor::Redis).await;
    let app = App::connected(&server.url()).await;
    let (browser, program) = login(&app, USER).await;
    app.stop().await;
    let (one, other) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    for app in [&one, &other] {
        assert_eq!((browser.is(app).await, program.is(app).await), (200, 200));
    }
    assert_eq!(browser.ask(&one, Method::POST, "/api/auth/logout").await.status, 204);
    assert_eq!((browser.is(&other).await, program.is(&other).await), (401, 401));
}

#[tokio::test]
async fn a_login_leaves_the_session_before_it_worthless() {
    let app = App::start(&[]).await;
    let (before, _) = login(&app, USER).await;
    let request = app.request("/api/auth/login").method(Method::POST);
    let (name, value) = before.0.as_ref().unwrap();
    let request = request.header(*name, value).header("content-type", "application/json");
    let body = json!({ "email": ADMIN, "password": "password" }).to_string();
    assert_eq!(app.send(request, body).await.status, 200);
    assert_eq!(before.is(&app).await, 401);
}

#[tokio::test]
async fn a_tenant_has_its_own_users_and_sessions() {
    let app = App::start(&[]).await;
    let elsewhere = |path| app.request(path).header("x-tenant-id", "acme");
    let body = json!({ "email": USER, "password": "password" }).to_string();
    let request = elsewhere("/api/auth/login").method(Method::POST);
    let request = request.header("content-type", "application/json");
    app.send(request, body).await.problem(401);
    for client in <[Client; 2]>::from(login(&app, USER).await) {
        let (name, value) = client.0.clone().unwrap();
        app.ask(elsewhere(ME).header(name, value)).await.problem(401);
        assert_eq!(client.is(&app).await, 200);
    }
}
