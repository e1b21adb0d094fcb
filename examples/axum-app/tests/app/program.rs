//! The program, as a child of the test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, request::Builder};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use tower_keep_tests::wait_until;

/// So long that only a program that hangs takes it.
const PATIENT: Duration = Duration::from_secs(30);

pub(crate) const LIMITED: &str = "/api/test/ratelimit";

/// The program while it runs, with what it wrote to its log. Killed when it is dropped.
struct Running {
    child: Child,
    log: NamedTempFile,
}

impl Running {
    /// Starts it on a free port, with these variables and no other ones.
    fn start(variables: &[(&str, &str)], stdout: Option<Stdio>) -> Self {
        let log = NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_axum-app"))
            .env_clear()
            .envs([("PORT", "0")])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| log.reopen().unwrap().into()))
            .stderr(fs::File::options().append(true).open(log.path()).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned()
    }

    /// Waits for its end.
    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = wait_until(PATIENT, || {
            status = self.child.try_wait().unwrap();
            let ended = status.is_some();
            async move { ended }
        });
        assert!(ended.await, "the program does not end: {}", self.log());
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program with these variables until it ends by itself: its exit code, and what it
/// said.
pub(crate) async fn run(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut running = Running::start(variables, None);
    let status = running.ended().await;
    (status.code(), running.log())
}

/// The program, serving.
pub(crate) struct App {
    running: Running,
    // It would not outlive the end of its standard output.
    _stdout: BufReader<ChildStdout>,
    address: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl App {
    /// Starts it and waits until it says where it serves.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let mut running = Running::start(variables, Some(Stdio::piped()));
        let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
        let said = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (line, stdout)
        });
        let Ok(said) = timeout(PATIENT, said).await else {
            panic!("the program does not say where it serves: {}", running.log());
        };
        let (line, stdout) = said.unwrap();
        let Some((_, address)) = line.trim_end().split_once("http://") else {
            panic!("the program did not come up: {line}{}", running.log());
        };
        let address = address.to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { running, _stdout: stdout, address, client }
    }

    /// Starts it on the Redis at `url`, with patience: a slow machine is no outage.
    pub(crate) async fn on(url: &str) -> Self {
        Self::start(&[("REDIS_URL", url), ("REDIS_TIMEOUT_MS", "2000")]).await
    }

    /// Starts it on the Redis at `url`, and waits until it is connected.
    pub(crate) async fn connected(url: &str) -> Self {
        let app = Self::on(url).await;
        assert!(wait_until(PATIENT, || app.is("ok")).await, "not connected: {}", app.log());
        app
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    pub(crate) fn request(&self, path: &str) -> Builder {
        Request::get(format!("http://{}{path}", self.address))
    }

    pub(crate) async fn ask(&self, request: Builder) -> Reply {
        let request = request.body(Full::default()).unwrap();
        let response = timeout(PATIENT, self.client.request(request)).await.expect("no answer");
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
        kill_process(Pid::from_child(&self.running.child), Signal::TERM).unwrap();
    }

    /// Waits for its end: its exit code, and what it said.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let status = self.running.ended().await;
        (status.code(), self.running.log())
    }

    /// Stops it as a supervisor does.
    pub(crate) async fn stop(self) {
        self.terminate();
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log}");
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
