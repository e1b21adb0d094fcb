//! One server of our own.

mod launch;

pub(crate) use launch::Launch;

use std::{fs, io, path::PathBuf, sync::Arc};

use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::{
    AnyServer, Flavor, Monitor, Resp, ServerBuilder, Value, address::url_of, hidden::Hidden,
    process::Process,
};

/// A Redis or Valkey server, child of this process, on a loopback port of its own.
///
/// Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Server {
    options: ServerBuilder,
    program: PathBuf,
    args: Vec<String>,
    port: u16,
    // Before the folder: the process goes first.
    process: Option<Process>,
    folder: TempDir,
    pub(crate) hidden: Hidden,
}

impl Server {
    /// Starts a plain server; panics if it cannot.
    pub async fn start(flavor: Flavor) -> Self {
        Self::builder(flavor).start().await
    }

    /// The server that `REDIS_URL` names if it is set, else one of our own; panics if neither
    /// answers. For suites that only need a plain server: it cannot be killed or paused.
    pub async fn external_or_start(flavor: Flavor) -> AnyServer {
        AnyServer::take(flavor).await
    }

    /// Options first.
    pub fn builder(flavor: Flavor) -> ServerBuilder {
        ServerBuilder::new(flavor)
    }

    pub(crate) fn prepare(
        options: &ServerBuilder,
        program: PathBuf,
        port: u16,
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tower-keep-").tempdir()?;
        options.write_config(folder.path())?;
        let args = options.command_line(port, &folder.path().to_string_lossy())?;
        let hidden = Hidden::default();
        Ok(Self { options: options.clone(), program, args, port, process: None, folder, hidden })
    }

    /// `redis://[:password@]127.0.0.1:port`, as the `default` user; `rediss://` with TLS.
    pub fn url(&self) -> String {
        url_of(self.scheme(), "", self.options.password.as_deref(), self.port)
    }

    /// The same as a user named in [`ServerBuilder::acl_user`].
    pub fn url_as(&self, user: &str) -> String {
        let known = self.options.users.iter().find(|(name, _)| name == user);
        let (name, password) = known.unwrap_or_else(|| panic!("no user {user:?} was given"));
        url_of(self.scheme(), name, Some(password), self.port)
    }

    /// The port, the same for life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it runs.
    pub fn flavor(&self) -> Flavor {
        self.options.flavor
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.options.tls.is_some() { "rediss" } else { "redis" }
    }

    /// The process id; `None` after [`Server::kill`].
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Everything that the server logged so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Kills it with `SIGKILL` and waits for its end. Harmless if it is down already.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Kills it if it runs, starts it again with the same port, arguments and folder, and waits
    /// until it answers.
    pub async fn restart(&mut self) {
        self.kill();
        if let Err(error) = self.relaunch().await {
            panic!("the server did not restart: {error}");
        }
    }

    /// Stops it with `SIGSTOP`: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.running().stop().expect("the server could not be paused");
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.running().go_on().expect("the server could not be resumed");
    }

    /// A new connection, authenticated if the server wants it. A [`Monitor`] counts its commands
    /// like any client's, apart from the `AUTH` sent here.
    pub async fn connect(&self) -> io::Result<Resp> {
        let mut resp = Resp::connect(self.port).await?.secured(self.tls()).await?;
        if let Some(password) = self.password() {
            self.hidden.setup_of(&resp)?;
            resp.auth(None, password).await?;
        }
        Ok(resp)
    }

    /// Sends one command on a connection of its own. The test's own hand: no [`Monitor`] counts
    /// it.
    pub async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> io::Result<Value> {
        self.connect_unseen().await?.command(args).await
    }

    /// Watches the commands of all clients from here on.
    pub async fn monitor(&self) -> Monitor {
        Monitor::over([self]).await
    }

    pub(crate) async fn connect_unseen(&self) -> io::Result<Resp> {
        let mut resp = Resp::connect_unseen(self.port).await?.secured(self.tls()).await?;
        self.hidden.all_of(&resp)?;
        if let Some(password) = self.password() {
            resp.auth(None, password).await?;
        }
        Ok(resp)
    }

    /// What the harness's own connections need; a client certificate is shown to all.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.options.tls.as_ref().map(|tls| tls.certificates.client_config())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server is down")
    }
}
