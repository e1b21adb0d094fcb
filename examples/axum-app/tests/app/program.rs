//! The program, as a child of the test.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, request::Builder};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tower_keep_tests::{Program, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_axum-app");

pub(crate) const LIMITED: &str = "/api/test/ratelimit";

/// What every program's sessions are sealed with, unless a test says otherwise.
const SECRET: &str = "the tests' secret of more than thirty-two bytes";

/// These variables, after those that they may name anew: the secret, and the folder that the
/// program's database is in, which nobody else would clear away if the program is killed.
fn with_ours<'a>(folder: &'a TempDir, variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let folder = folder.path().to_str().unwrap();
    [&[("SESSION_SECRET", SECRET), ("TMPDIR", folder)], variables].concat()
}

/// Runs the program with these variables until it ends by itself: its exit code, and what it
/// said.
pub(crate) async fn run(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    Program::run(PROGRAM, &with_ours(&folder, variables)).await
}

/// The program, serving.
pub(crate) struct App {
    program: Program,
    client: Client<HttpConnector, Full<Bytes>>,
    // It ends after the program.
    folder: TempDir,
}

impl App {
    /// Starts it and waits until it says where it serves.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let program = Program::serving(PROGRAM, &with_ours(&folder, variables)).await;
        Self { program, client: Client::builder(TokioExecutor::new()).build_http(), folder }
    }

    /// Starts it on the Redis at `url`, with patience: a slow machine is no outage.
    pub(crate) async fn on(url: &str) -> Self {
        Self::start(&[("REDIS_URL", url), ("REDIS_TIMEOUT_MS", "2000")]).await
    }

    /// Starts it on the Redis at `url`, and waits until it is connected.
    pub(crate) async fn connected(url: &str) -> Self {
        let app = Self::on(url).await;
        assert!(
            wait_until(Program::PATIENT, || app.is("ok")).await,
            "not connected: {}",
            app.log()
        );
        app
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.program.url().trim_start_matches("http://")
    }

    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    pub(crate) fn request(&self, path: &str) -> Builder {
        Request::get(format!("{}{path}", self.program.url()))
    }

    pub(crate) async fn ask(&self, request: Builder) -> Reply {
        self.send(request, "").await
    }

    pub(crate) async fn send(&self, request: Builder, body: impl Into<Bytes>) -> Reply {
        let request = request.body(Full::new(body.into())).unwrap();
        let response =
            timeout(Program::PATIENT, self.client.request(request)).await.expect("no answer");
        let (head, body) = response.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(self.request(path)).await
    }

    /// The statuses of so many calls to the limited route.
    pub(crate) async fn statuses(&self, calls: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..calls {
            statuses.push(self.get(LIMITED).await.status.as_u16());
        }
        statuses
    }

    /// What `/api/health` says of status and store.
    pub(crate) async fn health(&self) -> (String, String) {
        let reply = self.get("/api/health").await;
        assert_eq!(reply.status, 200);
        let health = reply.json();
        let text = |name: &str| health[name].as_str().unwrap().to_owned();
        (text("status"), text("store"))
    }

    pub(crate) async fn is(&self, status: &str) -> bool {
        self.health().await.0 == status
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.program.terminate();
    }

    /// Waits for its end: its exit code, and what it said.
    pub(crate) async fn ended(self) -> (Option<i32>, String) {
        self.program.ended().await
    }

    /// Stops it as a supervisor does. It leaves nothing behind.
    pub(crate) async fn stop(self) {
        self.program.stop().await;
        assert_eq!(self.folder.path().read_dir().unwrap().count(), 0, "something is left behind");
    }
}

/// An answer, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header, empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem document, with this status in head and body.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], status);
        document
    }
}
