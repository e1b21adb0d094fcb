//! From a command line to a server that answers, and that is the one we started.

use std::{
    io,
    time::{Duration, Instant},
};

use super::Server;
use crate::process::Process;

const START: Duration = Duration::from_secs(20);
const PROBE: Duration = Duration::from_secs(1);
const LOG_TAIL: usize = 20;

/// Why a server did not come up.
pub(crate) enum Launch {
    /// Another program has the port.
    Clash(String),
    /// Anything that another port does not mend.
    Failed(io::Error),
}

impl From<io::Error> for Launch {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Server {
    /// Spawns the process and waits until it is there.
    pub(crate) async fn launch(&mut self) -> Result<(), Launch> {
        let logged = self.log().len();
        let mut process = Process::spawn(&self.program, &self.args, &self.log_path())
            .map_err(|error| self.report(logged, &format!("it cannot be run: {error}")))?;
        let begun = Instant::now();
        loop {
            let exit = process.exit()?;
            if let Some(status) = exit {
                let clash = self.log().get(logged..).is_some_and(|log| log.contains("in use"));
                let report = self.report(logged, &format!("it ended with {status}"));
                return Err(if clash {
                    Launch::Clash(report.to_string())
                } else {
                    Launch::Failed(report)
                });
            }
            let last = match tokio::time::timeout(PROBE, self.probe()).await {
                Ok(Ok(info)) => {
                    own_child(&info, process.pid()).map_err(Launch::Clash)?;
                    if !self.flavor().is_told_by(&info) {
                        let text = format!("{} is not {}", self.program.display(), self.flavor());
                        return Err(self.report(logged, &text).into());
                    }
                    self.process = Some(process);
                    return Ok(());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if begun.elapsed() > START {
                return Err(self.report(logged, &format!("not ready in {START:?}: {last}")).into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The same, waiting for the port should another program have it at this moment.
    pub(super) async fn relaunch(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            match self.launch().await {
                Ok(()) => return Ok(()),
                Err(Launch::Failed(error)) => return Err(error),
                Err(Launch::Clash(why)) if begun.elapsed() > START => {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
                }
                Err(Launch::Clash(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The server section of `INFO`, once commands are served.
    async fn probe(&self) -> io::Result<String> {
        let mut resp = self.connect_unseen().await?;
        resp.command(&["PING"]).await?.ok()?;
        Ok(resp.command(&["INFO", "server"]).await?.ok()?.text())
    }

    /// What went wrong, with the end of what this launch logged.
    fn report(&self, logged: usize, what: &str) -> io::Error {
        let log = self.log();
        let lines: Vec<&str> = log.get(logged..).unwrap_or(&log).lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n");
        io::Error::other(format!("{what}\n--- end of its log ---\n{tail}"))
    }
}

/// Whether the server that answered is the process we started, and not another one on its port.
fn own_child(info: &str, child: u32) -> Result<(), String> {
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).map(str::trim);
    match pid.and_then(|pid| pid.parse::<u32>().ok()) {
        Some(pid) if pid == child => Ok(()),
        Some(pid) => Err(format!("process {pid} answers on the port of our process {child}")),
        None => Err("the server on our port does not tell its process id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::own_child;

    #[test]
    fn only_our_own_child_is_accepted() {
        let info = "# Server\r\nos:Linux\r\nprocess_id:4711\r\nrun_id:a\r\n";
        assert_eq!(own_child(info, 4711), Ok(()));
        let foreign = own_child(info, 4712).unwrap_err();
        assert!(foreign.contains("4711") && foreign.contains("4712"), "{foreign}");
        for silent in ["", "process_id:\r\n", "process_id:x\r\n"] {
            assert!(own_child(silent, 4711).is_err(), "{silent:?}");
        }
    }
}
