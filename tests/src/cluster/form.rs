//! From separate nodes to a cluster that serves every slot.

use std::{io, time::Duration};

use super::Cluster;
use crate::{Flavor, Server, ServerBuilder, Value, wait_until};

const SLOTS: usize = 16_384;
/// The servers themselves wait two seconds before they accept writes.
const JOIN: Duration = Duration::from_secs(6);
const TRIES: usize = 4;
/// For the first copy, and for the word to get around.
const REPLICATE: Duration = Duration::from_secs(30);

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
        Self::start_with_replicas(flavor, primaries, 0, options).await
    }

    /// The same with so many replicas of each primary, every one ready to take its place.
    pub async fn start_with_replicas(
        flavor: Flavor,
        primaries: usize,
        replicas: usize,
        options: impl Fn(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let count = primaries * (1 + replicas);
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            let node = options(Server::builder(flavor).clustered());
            nodes.push(node.replicating().start().await);
        }
        let cluster = Self { nodes, primaries };
        cluster.share_slots().await.expect("the slots could not be shared");
        assert!(cluster.join().await, "the {flavor} cluster did not come up:\n{}", cluster.logs());
        cluster.replicate().await.expect("the replicas were not taken");
        let ready = cluster.wait_ok(REPLICATE).await;
        assert!(ready, "the {flavor} replicas did not come up:\n{}", cluster.logs());
        cluster
    }

    /// Waits until every node knows all nodes and finds all slots served, each by a primary and
    /// as many replicas as there were at first.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_ok(&self, timeout: Duration) -> bool {
        let replicas = self.nodes.len() / self.primaries - 1;
        self.wait_all(timeout, self.nodes.iter().collect(), move |ranges| {
            ranges.iter().all(|range| range.array().len() == 3 + replicas)
        })
        .await
    }

    /// Waits until every node that runs finds all slots served, and none by the node `old`.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_until_failed_over(&self, old: usize, timeout: Duration) -> bool {
        let old = i64::from(self.nodes[old].port());
        let running = self.nodes.iter().filter(|node| node.pid().is_some()).collect();
        self.wait_all(timeout, running, move |ranges| {
            ranges.iter().all(|range| range.array()[2].array()[1].int() != old)
        })
        .await
    }

    /// Has this node send clients to another port than its own, until it is restarted.
    pub async fn announce(&self, node: usize, port: u16) -> io::Result<()> {
        let announce = ["CONFIG", "SET", "cluster-announce-port", &port.to_string()];
        self.nodes[node].command(&announce).await?.ok().map(drop)
    }

    /// Waits until every node sends clients to each of these ports.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_announced(&self, ports: &[u16], timeout: Duration) -> bool {
        self.wait_all(timeout, self.nodes.iter().collect(), |ranges| {
            let told: Vec<_> =
                ranges.iter().map(|range| range.array()[2].array()[1].int()).collect();
            ports.iter().all(|port| told.contains(&i64::from(*port)))
        })
        .await
    }

    /// Waits until these find all slots served, in a way that `fits`.
    async fn wait_all(
        &self,
        timeout: Duration,
        nodes: Vec<&Server>,
        fits: impl Fn(&[Value]) -> bool,
    ) -> bool {
        let ask = async |node: &Server| -> io::Result<bool> {
            let info = node.command(&["CLUSTER", "INFO"]).await?.ok()?;
            let ranges = node.command(&["CLUSTER", "SLOTS"]).await?.ok()?;
            let whole = is_ok(&info.text(), self.nodes.len(), self.primaries);
            Ok(whole && fits(ranges.array()))
        };
        wait_until(timeout, || async {
            for node in &nodes {
                if !ask(node).await.unwrap_or(false) {
                    return false;
                }
            }
            true
        })
        .await
    }

    async fn join(&self) -> bool {
        for _ in 0..TRIES {
            // A handshake that a busy machine let run out of time is begun again.
            self.meet().await.expect("the nodes could not be introduced");
            if self.wait_all(JOIN, self.nodes.iter().collect(), |_| true).await {
                return true;
            }
        }
        false
    }

    async fn share_slots(&self) -> io::Result<()> {
        let count = self.primaries;
        for (index, node) in self.nodes[..count].iter().enumerate() {
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

    /// Gives the nodes without slots to the primaries in turn.
    async fn replicate(&self) -> io::Result<()> {
        for (index, node) in self.nodes.iter().enumerate().skip(self.primaries) {
            let primary = self.node_id(index % self.primaries).await?;
            node.command(&["CLUSTER", "REPLICATE", &primary]).await?.ok()?;
        }
        Ok(())
    }

    fn logs(&self) -> String {
        self.nodes.iter().map(Server::log).collect::<Vec<_>>().join("\n---\n")
    }
}

/// Whether this `CLUSTER INFO` is of a whole cluster of so many nodes, so many of them with slots.
fn is_ok(info: &str, nodes: usize, primaries: usize) -> bool {
    let wanted = [
        "cluster_state:ok".to_owned(),
        format!("cluster_slots_ok:{SLOTS}"),
        format!("cluster_known_nodes:{nodes}"),
        format!("cluster_size:{primaries}"),
    ];
    wanted.iter().all(|wanted| info.lines().any(|line| line.trim_end() == wanted))
}
