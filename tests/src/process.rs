//! A child process: started, signalled and reaped, never anyone else's.

use std::{
    fs::File,
    io,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Killed and reaped when dropped, stopped or not.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Runs the program with everything it says appended to the log.
    ///
    /// It stays in the test's process group, so that a runner that kills the group gets it too.
    pub(crate) fn spawn(program: &Path, args: &[String], log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn exit(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Stops it, and returns once it is stopped.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        let pid = self.signal(Signal::STOP)?;
        // NOWAIT: should it have died instead, its end is left for `exit` to find.
        let seen = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), seen)?;
        Ok(())
    }

    /// Lets a stopped process go on.
    pub(crate) fn go_on(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Signals it while it is ours: a reaped pid may already be somebody else's.
    fn signal(&mut self, signal: Signal) -> io::Result<Pid> {
        if let Some(status) = self.exit()? {
            return Err(io::Error::other(format!("the process has ended by itself: {status}")));
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)?;
        Ok(pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do about a failure here: it means that the process is gone already.
        let _ = self.go_on();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
