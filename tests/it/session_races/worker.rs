//! Another process that has the same sessions.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::session::SECRET;

/// A process of its own; it ends with this value at the latest.
pub(super) struct Worker {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// What came of one request.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) status: u16,
    pub(super) outcome: String,
    /// The cookie that it set; empty behind the `=` if it took it away.
    pub(super) cookie: Option<String>,
    pub(super) found: Option<String>,
}

impl Worker {
    /// Starts one and waits until it is connected.
    pub(super) async fn start(url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_session-worker"))
            .args([url, SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut worker = Self { _child: child, input, output };
        assert_eq!(worker.read().await, "ready");
        worker
    }

    /// Does this to each of these sessions at the same time, each put off for so many microseconds
    /// at most.
    pub(super) async fn all(&mut self, action: &str, latest: u64, cookies: &[String]) -> Vec<Done> {
        let line = format!("{action} {latest} {}\n", cookies.join(" "));
        self.input.write_all(line.as_bytes()).await.unwrap();
        let line = self.read().await;
        let done: Vec<_> = line.split(' ').map(Done::read).collect();
        assert_eq!(done.len(), cookies.len());
        done
    }

    async fn read(&mut self) -> String {
        self.output.next_line().await.unwrap().expect("the worker failed; it said why above")
    }
}

impl Done {
    fn read(text: &str) -> Self {
        let parts: Vec<_> = text.splitn(4, ',').collect();
        let part = |index: usize| Some(parts[index]).filter(|part| *part != "-").map(str::to_owned);
        let outcome = part(1).unwrap_or_default();
        Self { status: parts[0].parse().unwrap(), outcome, cookie: part(2), found: part(3) }
    }

    /// Whether it is no failure, and said nothing of the session to the client.
    pub(super) fn is_quiet(&self) -> bool {
        self.status == 200 && self.cookie.is_none()
    }
}
