//! Guessing, forging, and sending nonsense.

use http::{HeaderMap, Method};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower_keep_tests::{Flavor, Server};

use super::{ADMIN, COOKIE, Client, USER, keys, login, try_login};
use crate::program::{App, Reply};

const LOGIN: &str = "/api/auth/login";

async fn guess(app: &App, email: &str) -> Reply {
    try_login(app, &json!({ "email": email, "password": "passw0rd" })).await
}

/// All but what differs by request, and by how many there were.
fn told(reply: &Reply) -> HeaderMap {
    let mut headers = reply.headers.clone();
    for name in ["date", "x-request-id", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"]
    {
        headers.remove(name);
    }
    headers
}

#[tokio::test]
async fn nobody_is_told_which_was_wrong() {
    let app = App::start(&[]).await;
    let wrong = guess(&app, USER).await;
    assert_eq!(wrong.problem(401)["title"], "wrong e-mail address or password");
    assert_eq!(wrong.header("set-cookie"), "");
    for unknown in ["nobody@example.com", "test@example.com ", "\u{0}", &"x".repeat(254)] {
        let reply = guess(&app, unknown).await;
        assert_eq!((told(&reply), &reply.body), (told(&wrong), &wrong.body), "{unknown:?}");
    }
}

#[tokio::test]
async fn what_is_no_attempt_is_refused_and_counts_for_nobody() {
    let app = App::start(&[]).await;
    let good = json!({ "email": USER, "password": "password" }).to_string();
    let long = |email: usize, password: usize| {
        json!({ "email": "x".repeat(email), "password": "x".repeat(password) }).to_string()
    };
    let nested = "[".repeat(8000);
    let huge = format!("{good}{}", " ".repeat(8 * 1024));
    for (body, kind, status) in [
        ("", "application/json", 400),
        ("{", "application/json", 400),
        ("null", "application/json", 400),
        (r#"["test@example.com","password"]"#, "application/json", 400),
        (r#"{"email":"test@example.com"}"#, "application/json", 400),
        (r#"{"email":"test@example.com","password":1}"#, "application/json", 400),
        (r#"{"email":["test@example.com"],"password":"password"}"#, "application/json", 400),
        (r#"{"email":"a","email":"b","password":"password"}"#, "application/json", 400),
        (r#"{"email":"","password":"password"}"#, "application/json", 400),
        (r#"{"email":"test@example.com","password":""}"#, "application/json", 400),
        (&long(255, 1), "application/json", 400),
        (&long(1, 1025), "application/json", 400),
        (&format!("{good}{good}"), "application/json", 400),
        (&nested, "application/json", 400),
        (&huge, "application/json", 413),
        (&good, "text/plain", 415),
        (&good, "application/x-www-form-urlencoded", 415),
        (&good, "application/jsonx", 415),
        (&good, "", 415),
    ] {
        let request = app.request(LOGIN).method(Method::POST).header("content-type", kind);
        let reply = app.send(request, body.to_owned()).await;
        let problem = reply.problem(status);
        assert!(problem["detail"].is_string(), "{problem}");
        assert!(!problem.to_string().contains("test@"), "what was sent is repeated: {problem}");
        assert_eq!(reply.header("set-cookie"), "");
    }
    let request = app.request(LOGIN).method(Method::POST).header("content-type", "text/json");
    app.send(request.header("content-type", "application/json"), good.clone()).await.problem(415);
    let request = app.request(LOGIN).method(Method::POST);
    let request = request.header("content-type", "Application/JSON; charset=utf-8");
    let reply = app.send(request, format!(" \n{good}")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("ratelimit").contains(r#""login-address";r=59"#), "the first that counts");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(app.ask(app.request(LOGIN).method(method)).await.status, 405);
    }
}

#[tokio::test]
async fn nobody_waits_for_a_body_that_is_said_to_be_too_long() {
    let app = App::start(&[]).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    let head = format!(
        "POST {LOGIN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 99999999999\r\n\r\n{{"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn attempts_are_limited_by_account_and_by_address() {
    let app = App::start(&[]).await;
    for _ in 0..20 {
        guess(&app, USER).await.problem(401);
    }
    let denied = [guess(&app, USER).await, guess(&app, "TEST@example.com").await];
    let right = try_login(&app, &json!({ "email": USER, "password": "password" })).await;
    for denied in denied.iter().chain([&right]) {
        denied.problem(429);
        let wait: u64 = denied.header("retry-after").parse().unwrap();
        // Two windows at most: what was counted in one still counts in the next.
        assert!((1..=1800).contains(&wait), "{wait}");
        assert_eq!(denied.header("set-cookie"), "");
        // Whether others try an account is nobody's business but its owner's.
        assert!(!denied.header("ratelimit-policy").contains("account"));
    }
    // An account of another tenant is another account, and another's address another one.
    login(&app, ADMIN).await;
    for attempt in 0..39 {
        guess(&app, &format!("{}@example.com", attempt % 2)).await.problem(401);
    }
    let denied = guess(&app, "somebody@example.com").await;
    assert_eq!(denied.problem(429)["violated-policies"], json!(["login-address"]));
    let request = app.request(LOGIN).method(Method::POST).header("x-tenant-id", "acme");
    let request = request.header("content-type", "application/json");
    let body = json!({ "email": USER, "password": "password" }).to_string();
    app.send(request, body).await.problem(401);
}

#[tokio::test]
async fn processes_count_attempts_together_and_the_store_knows_no_address() {
    let server = Server::start(Flavor::Redis).await;
    let (one, two) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    for app in [&one, &two] {
        for _ in 0..10 {
            guess(app, USER).await.problem(401);
        }
    }
    guess(&one, USER).await.problem(429);
    guess(&two, USER).await.problem(429);
    login(&two, ADMIN).await;
    let keys = keys(&server, "*").await;
    assert!(keys.iter().any(|key| key.contains("login-account")), "{keys:?}");
    assert!(keys.iter().all(|key| !key.contains("example") && !key.contains('@')), "{keys:?}");
}

#[tokio::test]
async fn another_site_cannot_act_for_who_is_signed_in() {
    let app = App::start(&[]).await;
    let (browser, program) = login(&app, USER).await;
    let host = app.address().to_owned();
    let logout = async |client: &Client, headers: &[(&str, &str)]| {
        let request = app.request("/api/auth/logout").method(Method::POST);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (name, value) = client.0.clone().unwrap();
        app.ask(request.header(name, value)).await
    };
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://evil.localhost")],
        &[("origin", "null")],
        // Nor by a token of its own beside the victim's cookie.
        &[("origin", "https://evil.example"), ("authorization", "Bearer x")],
    ] {
        let refused = logout(&browser, headers).await;
        refused.problem(403);
        assert_eq!(refused.header("set-cookie"), "", "{headers:?}");
        assert_eq!(browser.is(&app).await, 200, "{headers:?}");
    }
    // Nor can it log its visitors in as somebody.
    let request = app.request(LOGIN).method(Method::POST).header("origin", "https://evil.example");
    let body = json!({ "email": USER, "password": "password" }).to_string();
    let request = request.header("content-type", "application/json");
    app.send(request, body).await.problem(403);
    // A link from elsewhere is a read.
    let (name, value) = browser.0.clone().unwrap();
    let request = app.request("/api/auth/me").header(name, value);
    assert_eq!(app.ask(request.header("sec-fetch-site", "cross-site")).await.status, 200);

    assert_eq!(logout(&program, &[("origin", "https://app.example")]).await.status, 204);
    assert_eq!(browser.is(&app).await, 401, "by the token alone");
    let (browser, _) = login(&app, USER).await;
    assert_eq!(logout(&browser, &[("origin", &format!("http://{host}"))]).await.status, 204);
}

#[tokio::test]
async fn odd_cookies_and_tokens_are_nobody() {
    let app = App::start(&[]).await;
    let (browser, program) = login(&app, USER).await;
    let (_, good) = browser.0.clone().unwrap();
    let (_, bearer) = program.0.clone().unwrap();
    let (cut, long) = (good[..good.len() - 1].to_owned(), format!("{COOKIE}={}", "A".repeat(4000)));
    for (name, value) in [
        ("cookie", ""),
        ("cookie", "=;=;;"),
        ("cookie", COOKIE),
        ("cookie", &*format!("{COOKIE}=")),
        ("cookie", &*format!("{COOKIE}=\"")),
        ("cookie", &*cut),
        ("cookie", &*long),
        ("cookie", &*good.replace("__Host-", "")),
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Basic dGVzdEBleGFtcGxlLmNvbTpwYXNzd29yZA=="),
        ("authorization", &bearer[..bearer.len() - 1]),
        ("authorization", &*format!("{bearer}A")),
    ] {
        let reply = app.ask(app.request("/api/auth/me").header(name, value)).await;
        reply.problem(401);
        assert_eq!(reply.header("set-cookie"), "", "{name}: {value}");
    }
    let beside = format!("a=b; {good}; {COOKIE}=x");
    let reply = app.ask(app.request("/api/auth/me").header("cookie", beside)).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
}
