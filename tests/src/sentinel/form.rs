//! From separate servers to sentinels that know all they need for a failover.

use std::{io, time::Duration};

use super::{SERVICE, Sentinel};
use crate::{Flavor, Server, ServerBuilder, Value, wait_until};

const SENTINELS: usize = 3;
const QUORUM: usize = 2;
/// A sentinel renews a lost connection at most once a second. With less than that, it takes the new
/// primary, which it has yet to connect to, for down as well, and back it goes.
const DOWN_AFTER: Duration = Duration::from_secs(2);
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
        Self::form(flavor, replicas, DOWN_AFTER, options, async |port| port).await
    }

    /// A primary and one replica that are known to each other, to the sentinels and to clients by
    /// ports that `lead` gives them: those of links to the ports that they have. The sentinels
    /// wait for `patience`, as they do not see a link fail that comes back before.
    pub async fn start_led(
        flavor: Flavor,
        patience: Duration,
        lead: impl AsyncFnMut(u16) -> u16,
    ) -> Self {
        Self::form(flavor, 1, patience, |node| node, lead).await
    }

    async fn form(
        flavor: Flavor,
        replicas: usize,
        patience: Duration,
        options: impl Fn(ServerBuilder) -> ServerBuilder,
        mut lead: impl AsyncFnMut(u16) -> u16,
    ) -> Self {
        let node = || options(Server::builder(flavor)).replicating();
        let mut formed = Self { nodes: Vec::new(), known: Vec::new(), sentinels: Vec::new() };
        for index in 0..=replicas {
            let node = node().start().await;
            formed.known.push(lead(node.port()).await);
            formed.nodes.push(node);
            formed.announce(index).await.expect("the node could not be told its port");
        }
        let port = formed.known[0];
        for replica in &formed.nodes[1..] {
            let follow = ["REPLICAOF", "127.0.0.1", &port.to_string()];
            replica.command(&follow).await.and_then(Value::ok).expect("it follows nobody");
        }
        // A sentinel that comes before the replicas are in line learns of them seconds later.
        let in_line = wait_until(READY, || async { formed.is_in_line(0).await.unwrap_or(false) });
        assert!(in_line.await, "the replicas did not come up:\n{}", formed.logs());

        for _ in 0..SENTINELS {
            let like = node();
            let config = config(port, patience, like.password.as_deref());
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

    /// Tells a node by which port it is known to others.
    pub(super) async fn announce(&self, index: usize) -> io::Result<()> {
        let (node, known) = (&self.nodes[index], self.known[index]);
        for (name, value) in
            [("replica-announce-ip", "127.0.0.1"), ("replica-announce-port", &known.to_string())]
        {
            if known != node.port() {
                node.command(&["CONFIG", "SET", name, value]).await?.ok()?;
            }
        }
        Ok(())
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
                    let port_fits = port.int() == i64::from(self.known[primary]);
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
fn config(port: u16, patience: Duration, password: Option<&str>) -> String {
    let secrets = match password.map(|password| format!("{password:?}")) {
        Some(quoted) => format!(
            "sentinel auth-pass {SERVICE} {quoted}\n\
             sentinel sentinel-pass {quoted}\n"
        ),
        None => String::new(),
    };
    format!(
        "sentinel monitor {SERVICE} 127.0.0.1 {port} {QUORUM}\n\
         sentinel down-after-milliseconds {SERVICE} {}\n\
         sentinel failover-timeout {SERVICE} 3000\n\
         {secrets}",
        patience.as_millis()
    )
}

/// A field of what `SENTINEL` lists: names and values in turn.
fn field(list: &Value, name: &str) -> Option<String> {
    list.array().chunks_exact(2).find(|pair| pair[0].text() == name).map(|pair| pair[1].text())
}
