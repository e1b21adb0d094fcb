//! From separate servers to sentinels that know all they need for a failover.

use std::{io, time::Duration};

use super::{SERVICE, Sentinel};
use crate::{Flavor, Server, ServerBuilder, Value, wait_until};

const SENTINELS: usize = 3;
const QUORUM: usize = 2;
/// A sentinel renews a lost connection at most once a second. With less than that, it takes the new
/// primary, which it has yet to connect to, for down as well, and back it goes.
const DOWN_AFTER_MS: u16 = 2000;
/// They greet each other every two seconds, and ask for replicas every ten.
const READY: Duration = Duration::from_secs(40);

impl Sentinel {
    /// Starts a primary and one replica, and waits until a failover would work; panics if it
    /// cannot.
    pub async fn start(flavor: Flavor) -> Self {
        Self::start_with(flavor, 1, |node| node).await
    }

    /// The same with so many replicas, and with options, which each node gets. Password and TLS
    /// are the sentinels' as well.
    pub async fn start_with(
        flavor: Flavor,
        replicas: usize,
        options: impl Fn(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let node = || options(Server::builder(flavor)).replicating();
        let primary = node().start().await;
        let mut formed = Self { nodes: vec![primary], sentinels: Vec::new() };
        let port = formed.nodes[0].port();
        for _ in 0..replicas {
            let replica = node().args(&["--replicaof", "127.0.0.1", &port.to_string()]);
            formed.nodes.push(replica.start().await);
        }
        // A sentinel that comes before the replicas are in line learns of them seconds later.
        let in_line = wait_until(READY, || async { formed.is_in_line(0).await.unwrap_or(false) });
        assert!(in_line.await, "the replicas did not come up:\n{}", formed.logs());

        for _ in 0..SENTINELS {
            let like = node();
            let config = config(port, like.password.as_deref());
            let mut sentinel = Server::builder(flavor).sentinel(config);
            sentinel.tls = like.tls;
            if let Some(password) = like.password {
                sentinel = sentinel.password(&password);
            }
            formed.sentinels.push(sentinel.start().await);
        }
        assert!(formed.wait_ok(READY).await, "not ready for a failover:\n{}", formed.logs());
        formed
    }

    /// Waits until every node runs and is in line, and every sentinel runs and knows the others
    /// and all nodes, so that a failover would work.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_ok(&self, timeout: Duration) -> bool {
        wait_until(timeout, || async { self.is_ok().await.unwrap_or(false) }).await
    }

    async fn is_ok(&self) -> io::Result<bool> {
        let Some(primary) = self.agreed().await? else { return Ok(false) };
        for sentinel in &self.sentinels {
            let state = sentinel.command(&["SENTINEL", "MASTER", SERVICE]).await?.ok()?;
            let told = [
                ("flags", "master".to_owned()),
                ("num-slaves", (self.nodes.len() - 1).to_string()),
                ("num-other-sentinels", (SENTINELS - 1).to_string()),
            ];
            if !told.iter().all(|(name, value)| field(&state, name).as_ref() == Some(value)) {
                return Ok(false);
            }
            let replicas = sentinel.command(&["SENTINEL", "REPLICAS", SERVICE]).await?.ok()?;
            let fit = |replica: &Value| field(replica, "flags").as_deref() == Some("slave");
            if !replicas.array().iter().all(fit) {
                return Ok(false);
            }
        }
        self.is_in_line(primary).await
    }

    /// Whether this node is a primary and all others are its replicas, up to date.
    async fn is_in_line(&self, primary: usize) -> io::Result<bool> {
        for (index, node) in self.nodes.iter().enumerate() {
            let role = node.command(&["ROLE"]).await?.ok()?;
            let fits = match role.array() {
                [kind, ..] if index == primary => kind.text() == "master",
                [kind, _, port, link, _] => {
                    let port_fits = port.int() == i64::from(self.nodes[primary].port());
                    kind.text() == "slave" && port_fits && link.text() == "connected"
                }
                _ => false,
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn logs(&self) -> String {
        let all = self.nodes.iter().chain(&self.sentinels);
        all.map(Server::log).collect::<Vec<_>>().join("\n---\n")
    }
}

/// What a sentinel is told at first; it writes the rest itself.
fn config(port: u16, password: Option<&str>) -> String {
    let secrets = match password.map(|password| format!("{password:?}")) {
        Some(quoted) => format!(
            "sentinel auth-pass {SERVICE} {quoted}\n\
             sentinel sentinel-pass {quoted}\n"
        ),
        None => String::new(),
    };
    format!(
        "sentinel monitor {SERVICE} 127.0.0.1 {port} {QUORUM}\n\
         sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {SERVICE} 3000\n\
         {secrets}"
    )
}

/// A field of what `SENTINEL` lists: names and values in turn.
fn field(list: &Value, name: &str) -> Option<String> {
    list.array().chunks_exact(2).find(|pair| pair[0].text() == name).map(|pair| pair[1].text())
}
