//! How a server is to be started.

use std::{fs, io, path::Path};

use crate::{Certificates, Flavor, Server, binary, free_port, server::Launch, tls::Tls};

/// How often another port is tried when one was taken in between.
const PORTS: usize = 10;
const SENTINEL_CONFIG: &str = "sentinel.conf";

/// Options of a server; [`Server::builder`] makes one.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    pub(crate) flavor: Flavor,
    pub(crate) password: Option<String>,
    pub(crate) users: Vec<(String, String)>,
    pub(crate) tls: Option<Tls>,
    /// The configuration of a sentinel.
    sentinel: Option<String>,
    clustered: bool,
    args: Vec<String>,
}

impl ServerBuilder {
    pub(crate) fn new(flavor: Flavor) -> Self {
        Self {
            flavor,
            password: None,
            users: Vec::new(),
            tls: None,
            sentinel: None,
            clustered: false,
            args: Vec::new(),
        }
    }

    /// The password of the `default` user (`requirepass`).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.arg("--requirepass", password)
    }

    /// One more ACL user, switched on; rules as in `ACL SETUSER`, such as `~app:* &* +@all`.
    /// The `default` user stays what it was: the harness works through it.
    #[must_use]
    pub fn acl_user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self.args.extend(["--user", name, "on"].map(str::to_owned));
        self.args.push(format!(">{password}"));
        self.args.extend(rules.split_whitespace().map(str::to_owned));
        self
    }

    /// TLS on its only port, with the certificate for `127.0.0.1` and `localhost`. Clients need
    /// the CA, and no certificate.
    ///
    /// Not every server binary has TLS: see [`Flavor::has_tls`].
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(Tls { certificates: certificates.clone(), mutual: false });
        self
    }

    /// The same, and clients must show a certificate of that CA.
    #[must_use]
    pub fn mutual_tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(Tls { certificates: certificates.clone(), mutual: true });
        self
    }

    /// One more configuration directive, such as `("--maxmemory", "2mb")`; overrides the harness's
    /// own.
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name, value].map(str::to_owned));
        self
    }

    /// A cluster node that knows no other yet.
    pub(crate) fn clustered(mut self) -> Self {
        self.clustered = true;
        self
    }

    /// Able to follow a primary that is like it, without delay.
    pub(crate) fn replicating(mut self) -> Self {
        if let Some(password) = self.password.clone() {
            self = self.arg("--masterauth", &password);
        }
        self.arg("--repl-diskless-sync-delay", "0")
    }

    /// A sentinel with this configuration, which it keeps up to date itself.
    pub(crate) fn sentinel(mut self, config: String) -> Self {
        self.sentinel = Some(config);
        self
    }

    /// Starts the server; panics with the reason (and its log) if it does not come up.
    pub async fn start(self) -> Server {
        let flavor = self.flavor;
        match self.try_start().await {
            Ok(server) => server,
            Err(error) => panic!("{flavor} did not start: {error}"),
        }
    }

    /// Starts the server.
    pub async fn try_start(self) -> io::Result<Server> {
        let program = binary::find(self.flavor)?;
        let mut clash = String::new();
        for _ in 0..PORTS {
            let mut server = Server::prepare(&self, program.clone(), free_port()?)?;
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(Launch::Clash(why)) => clash = why,
                Err(Launch::Failed(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, clash))
    }

    /// The command line of a server on this port with its files in this folder.
    pub(crate) fn command_line(&self, port: u16, folder: &str) -> io::Result<Vec<String>> {
        let number = port.to_string();
        let plain = if self.tls.is_some() { "0" } else { number.as_str() };
        let mut line: Vec<String> = Vec::new();
        if self.sentinel.is_some() {
            line.extend([format!("{folder}/{SENTINEL_CONFIG}"), "--sentinel".to_owned()]);
        }
        let common = [
            ["--port", plain],
            ["--bind", "127.0.0.1"],
            ["--protected-mode", "no"],
            ["--daemonize", "no"],
            ["--save", ""],
            ["--appendonly", "no"],
            ["--dir", folder],
        ];
        line.extend(common.concat().into_iter().map(str::to_owned));
        if let Some(tls) = &self.tls {
            line.extend(tls.args(port));
        }
        if self.clustered {
            let bus = free_port()?.to_string();
            let cluster = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", bus.as_str()],
                ["--cluster-announce-ip", "127.0.0.1"],
                ["--cluster-node-timeout", "2000"],
            ];
            line.extend(cluster.concat().into_iter().map(str::to_owned));
        }
        line.extend(self.args.iter().cloned());
        Ok(line)
    }

    /// Writes the files that the command line names.
    pub(crate) fn write_config(&self, folder: &Path) -> io::Result<()> {
        match &self.sentinel {
            Some(config) => fs::write(folder.join(SENTINEL_CONFIG), config),
            None => Ok(()),
        }
    }
}
