//! The program, as a child of the test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use tower_keep_tests::wait_until;

/// So long that only a program that hangs takes it.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// The program while it serves. Killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    log: NamedTempFile,
    // It would not outlive the end of its standard output.
    _stdout: BufReader<ChildStdout>,
    /// `http://host:port`.
    pub(crate) url: String,
    /// The first line it said.
    pub(crate) said: String,
}

impl Program {
    /// Starts it on a free port, with these variables and no other ones, and waits until it says
    /// where it serves.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tonic-service"))
            .env_clear()
            .envs([("PORT", "0")])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (line, stdout)
        });
        let line = timeout(PATIENT, line).await;
        let Ok(Ok((said, stdout))) = line else {
            drop(child.kill());
            panic!("the program does not say where it serves");
        };
        let at = said.find("http://").expect("the program did not come up");
        let url = said.trim_end().split_at(at).1.to_owned();
        Self { child, log, _stdout: stdout, url, said }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap()).into_owned()
    }

    /// Stops it as a supervisor does: it ends with 0.
    pub(crate) async fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut status = None;
        let ended = wait_until(PATIENT, || {
            status = self.child.try_wait().unwrap();
            std::future::ready(status.is_some())
        });
        assert!(ended.await, "the program does not end: {}", self.log());
        assert_eq!(status.unwrap().code(), Some(0), "{}", self.log());
        let log = self.log();
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
