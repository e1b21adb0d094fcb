//! A cluster of our own.

use std::{io, time::Duration};

use crate::{Flavor, Monitor, Server, ServerBuilder, Value, address::url_of, wait_until};

const SLOTS: usize = 16_384;
/// The servers themselves wait two seconds before they accept writes.
const JOIN: Duration = Duration::from_secs(6);
const TRIES: usize = 4;
const HOPS: usize = 5;

/// Primaries without replicas that share the slots evenly; the nodes are [`Server`]s.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster and waits until every node is ready; panics if it cannot.
    pub async fn start(flavor: Flavor, primaries: usize) -> Self {
        Self::start_with(flavor, primaries, |node| node).await
    }

    /// The same with options, which each node gets: `|node| node.password("secret")`.
    pub async fn start_with(
        flavor: Flavor,
        primaries: usize,
        options: impl Fn(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let mut nodes = Vec::with_capacity(primaries);
        for _ in 0..primaries {
            nodes.push(options(Server::builder(flavor).clustered()).start().await);
        }
        let cluster = Self { nodes };
        cluster.share_slots().await.expect("the slots could not be shared");
        for _ in 0..TRIES {
            // A handshake that a busy machine let run out of time is begun again.
            cluster.meet().await.expect("the nodes could not be introduced");
            if cluster.wait_ok(JOIN).await {
                return cluster;
            }
        }
        let logs: Vec<_> = cluster.nodes.iter().map(Server::log).collect();
        panic!("the {flavor} cluster did not come up:\n{}", logs.join("\n---\n"));
    }

    /// `redis-cluster://[:password@]127.0.0.1:port?node=127.0.0.1:port…`, with every node.
    pub fn url(&self) -> String {
        let first = &self.nodes[0];
        let url = url_of("redis-cluster", "", first.password(), first.port());
        let more: Vec<_> =
            self.nodes[1..].iter().map(|node| format!("node=127.0.0.1:{}", node.port())).collect();
        if more.is_empty() { url } else { format!("{url}?{}", more.join("&")) }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// One node, to kill or pause it.
    pub fn node_mut(&mut self, index: usize) -> &mut Server {
        &mut self.nodes[index]
    }

    /// The node's id in the cluster, as `CLUSTER SETSLOT` wants it.
    pub async fn node_id(&self, index: usize) -> io::Result<String> {
        Ok(self.nodes[index].command(&["CLUSTER", "MYID"]).await?.ok()?.text())
    }

    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> io::Result<i64> {
        Ok(self.asked().command(&["CLUSTER", "KEYSLOT", key]).await?.ok()?.int())
    }

    /// The index of the node that holds a key.
    pub async fn owner_of(&self, key: &str) -> io::Result<usize> {
        let slot = self.slot_of(key).await?;
        let ranges = self.asked().command(&["CLUSTER", "SLOTS"]).await?.ok()?;
        let range = ranges
            .array()
            .iter()
            .map(Value::array)
            .find(|range| (range[0].int()..=range[1].int()).contains(&slot));
        let port = range.map(|range| range[2].array()[1].int());
        self.nodes
            .iter()
            .position(|node| port == Some(node.port().into()))
            .ok_or_else(|| io::Error::other(format!("nobody holds slot {slot}")))
    }

    /// Sends one command where its key is, following `MOVED` and `ASK`. The test's own hand: no
    /// [`Monitor`] counts it.
    pub async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> io::Result<Value> {
        let mut node = self.asked();
        let mut asking = false;
        for _ in 0..HOPS {
            let mut resp = node.connect_unseen().await?;
            if asking {
                resp.command(&["ASKING"]).await?.ok()?;
            }
            let value = resp.command(args).await?;
            let Some((kind, port)) = redirection(&value) else { return Ok(value) };
            asking = kind == "ASK";
            node = self
                .nodes
                .iter()
                .find(|node| node.port() == port)
                .ok_or_else(|| io::Error::other(format!("sent to a stranger: {value:?}")))?;
        }
        Err(io::Error::other(format!("sent on more than {HOPS} times")))
    }

    /// Watches the commands of all clients on all nodes from here on.
    pub async fn monitor(&self) -> Monitor {
        Monitor::over(&self.nodes).await
    }

    /// Waits until every node knows all nodes and finds all slots served.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_ok(&self, timeout: Duration) -> bool {
        wait_until(timeout, || async {
            for node in &self.nodes {
                let info = node.command(&["CLUSTER", "INFO"]).await.and_then(Value::ok);
                if !info.is_ok_and(|info| is_ok(&info.text(), self.nodes.len())) {
                    return false;
                }
            }
            true
        })
        .await
    }

    /// The first node that runs.
    fn asked(&self) -> &Server {
        self.nodes.iter().find(|node| node.pid().is_some()).expect("all nodes are down")
    }

    async fn share_slots(&self) -> io::Result<()> {
        let count = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let first = (SLOTS * index / count).to_string();
            let last = (SLOTS * (index + 1) / count - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?.ok()?;
            let epoch = (index + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?.ok()?;
        }
        Ok(())
    }

    /// Introduces each to each: by hearsay alone it takes them seconds longer at times.
    async fn meet(&self) -> io::Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            let bus = node.command(&["CONFIG", "GET", "cluster-port"]).await?.ok()?;
            let (port, bus) = (node.port().to_string(), bus.array()[1].text());
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            for earlier in &self.nodes[..index] {
                earlier.command(&meet).await?.ok()?;
            }
        }
        Ok(())
    }
}

/// Whether this `CLUSTER INFO` is of a whole cluster of so many primaries.
fn is_ok(info: &str, nodes: usize) -> bool {
    let wanted = [
        "cluster_state:ok".to_owned(),
        format!("cluster_slots_ok:{SLOTS}"),
        format!("cluster_known_nodes:{nodes}"),
        format!("cluster_size:{nodes}"),
    ];
    wanted.iter().all(|wanted| info.lines().any(|line| line.trim_end() == wanted))
}

/// `MOVED 3999 127.0.0.1:6381` is `("MOVED", 6381)`.
fn redirection(value: &Value) -> Option<(&str, u16)> {
    let Value::Error(text) = value else { return None };
    let kind = ["MOVED", "ASK"].into_iter().find(|kind| text.split(' ').next() == Some(kind))?;
    let port = text.rsplit_once(':')?.1.parse().ok()?;
    Some((kind, port))
}

#[cfg(test)]
mod tests {
    use super::redirection;
    use crate::Value;

    #[test]
    fn redirections_are_understood() {
        let redirection = |text: &str| {
            redirection(&Value::Error(text.to_owned())).map(|(kind, port)| (kind.to_owned(), port))
        };
        assert_eq!(redirection("MOVED 3999 127.0.0.1:6381"), Some(("MOVED".into(), 6381)));
        assert_eq!(redirection("ASK 1 :7"), Some(("ASK".into(), 7)));
        assert_eq!(redirection("ERR unknown command 'a:1'"), None);
        assert_eq!(redirection("MOVEDX 1 h:1"), None);
    }
}
