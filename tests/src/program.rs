//! A program of the workspace, as a child of a test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::wait_until;

/// A program while it runs. Killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: NamedTempFile,
    // It would not outlive the end of its standard output.
    stdout: Option<BufReader<ChildStdout>>,
    said: String,
}

impl Program {
    /// So long that only a program that hangs takes it.
    pub const PATIENT: Duration = Duration::from_secs(30);

    /// Starts a program, `env!("CARGO_BIN_EXE_…")`, on a free port, with these variables and no
    /// other ones, and waits until it says where it serves.
    pub async fn serving(program: &str, variables: &[(&str, &str)]) -> Self {
        let mut program = Self::spawn(program, variables, Some(Stdio::piped()));
        let mut stdout = BufReader::new(program.child.stdout.take().unwrap());
        let said = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (line, stdout)
        });
        let Ok(said) = timeout(Self::PATIENT, said).await else {
            panic!("the program does not say where it serves: {}", program.log());
        };
        let (line, stdout) = said.unwrap();
        assert!(line.contains("http://"), "the program did not come up: {line}{}", program.log());
        (program.said, program.stdout) = (line, Some(stdout));
        program
    }

    /// Runs a program until it ends by itself: its exit code, and what it said.
    pub async fn run(program: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        Self::spawn(program, variables, None).ended().await
    }

    fn spawn(program: &str, variables: &[(&str, &str)], stdout: Option<Stdio>) -> Self {
        let log = NamedTempFile::new().unwrap();
        let child = Command::new(program)
            .env_clear()
            .envs([("PORT", "0")])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| log.reopen().unwrap().into()))
            .stderr(fs::File::options().append(true).open(log.path()).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, stdout: None, said: String::new() }
    }

    /// The first line it said.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        let at = self.said.find("http://").unwrap();
        self.said.trim_end().split_at(at).1
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end: its exit code, and what it said.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let mut status: Option<ExitStatus> = None;
        let ended = wait_until(Self::PATIENT, || {
            status = self.child.try_wait().unwrap();
            std::future::ready(status.is_some())
        });
        assert!(ended.await, "the program does not end: {}", self.log());
        (status.unwrap().code(), self.log())
    }

    /// Stops it as a supervisor does: it ends with 0, and in good order.
    pub async fn stop(self) {
        self.terminate();
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped") && !log.contains("not finished in time"), "{log}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
