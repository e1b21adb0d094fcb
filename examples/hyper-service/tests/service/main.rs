//! The program as its users run it: started, asked by a hyper client, and stopped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tower_keep_tests::Program;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client(http2: bool) -> HttpClient {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

async fn get(
    client: &HttpClient,
    program: &Program,
    path: &str,
    address: &str,
) -> (u16, HeaderMap, Bytes) {
    let request = Request::get(format!("{}{path}", program.url()));
    let request = request.header("x-forwarded-for", address).body(Full::default()).unwrap();
    let response = timeout(Program::PATIENT, client.request(request)).await.expect("no answer");
    let (head, body) = response.unwrap().into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
}

async fn start(variables: &[(&str, &str)]) -> Program {
    Program::serving(env!("CARGO_BIN_EXE_hyper-service"), variables).await
}

const NOBODY: &str = "unknown";

#[tokio::test]
async fn over_the_limit_is_429_with_fields_on_http_1_and_2() {
    for http2 in [false, true] {
        let program = start(&[("RATE_LIMIT_MAX", "3")]).await;
        assert!(program.said().contains("in memory"), "{}", program.said());
        let client = client(http2);
        for remaining in [2, 1, 0] {
            let (status, fields, body) = get(&client, &program, "/hello", NOBODY).await;
            assert_eq!((status, &*body), (200, &b"hello\n"[..]));
            assert_eq!(fields["ratelimit-policy"], r#""default";q=3;w=900"#);
            let told = fields["ratelimit"].to_str().unwrap();
            assert!(told.starts_with(&format!(r#""default";r={remaining};t="#)), "{told}");
        }
        for _ in 0..2 {
            let (status, fields, body) = get(&client, &program, "/hello", NOBODY).await;
            assert_eq!(status, 429);
            assert_eq!(fields["content-type"], "application/problem+json");
            assert!(fields["ratelimit"].to_str().unwrap().starts_with(r#""default";r=0;t="#));
            let seconds: u64 = fields["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=900).contains(&seconds));
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["violated-policies"], serde_json::json!(["default"]));
        }
        // The client keeps its connection open meanwhile.
        program.stop().await;
    }
}

#[tokio::test]
async fn routes_count_apart_and_what_is_one_route_together() {
    let program = start(&[("RATE_LIMIT_MAX", "1")]).await;
    let client = client(false);
    for (path, expected) in [
        ("/hello", 200),
        ("/items/1", 200),
        ("/items/2", 429),
        ("/nowhere", 404),
        ("/elsewhere", 429),
        ("/hello", 429),
    ] {
        assert_eq!(get(&client, &program, path, NOBODY).await.0, expected, "{path}");
    }
}

/// That a trusted proxy is known by its socket shows that the accept loop tells the peer.
#[tokio::test]
async fn clients_behind_the_peer_that_is_trusted_count_apart() {
    let limit = ("RATE_LIMIT_MAX", "1");
    for (variables, expected) in [
        (&[limit][..], [200, 429, 429]),
        (&[limit, ("TRUSTED_PROXIES", "127.0.0.0/8")], [200, 200, 429]),
        (&[limit, ("TRUSTED_PROXIES", "192.0.2.0/24")], [200, 429, 429]),
    ] {
        let program = start(variables).await;
        let client = client(false);
        let mut statuses = Vec::new();
        for address in ["203.0.113.1", "203.0.113.2", "203.0.113.1"] {
            statuses.push(get(&client, &program, "/hello", address).await.0);
        }
        assert_eq!(statuses, expected, "{variables:?}");
        // Everybody has an address; who tells it and is not trusted is warned of, once.
        let warnings = program.log().matches("WARN").count();
        assert_eq!(warnings, usize::from(expected[1] == 429), "{}", program.log());
    }
}

#[tokio::test]
async fn sigterm_ends_it_though_somebody_says_nothing() {
    let program = start(&[]).await;
    let address = program.url().strip_prefix("http://").unwrap().to_owned();
    let mut silent = TcpStream::connect(address).await.unwrap();
    // Once another is served, the silent one has been accepted.
    assert_eq!(get(&client(false), &program, "/hello", NOBODY).await.0, 200);
    program.stop().await;
    let read = timeout(Program::PATIENT, silent.read(&mut [0])).await.expect("it is still open");
    assert!(matches!(read, Ok(0) | Err(_)));
}
