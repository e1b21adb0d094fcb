//! A cluster of our own.

mod form;

use std::io;

use crate::{Monitor, Server, Value, address::url_of};

const HOPS: usize = 5;

/// Primaries that share the slots evenly, and their replicas if there are to be any; the nodes are
/// [`Server`]s.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    primaries: usize,
}

impl Cluster {
    /// `redis-cluster://[:password@]127.0.0.1:port?node=127.0.0.1:port…`, with every node.
    pub fn url(&self) -> String {
        let first = &self.nodes[0];
        let scheme = format!("{}-cluster", first.scheme());
        let url = url_of(&scheme, "", first.password(), first.port());
        let more: Vec<_> =
            self.nodes[1..].iter().map(|node| format!("node=127.0.0.1:{}", node.port())).collect();
        if more.is_empty() { url } else { format!("{url}?{}", more.join("&")) }
    }

    /// The nodes: those that began as primaries first.
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
        self.owner_of_slot(self.slot_of(key).await?).await
    }

    /// The index of the node that holds a slot.
    pub async fn owner_of_slot(&self, slot: i64) -> io::Result<usize> {
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

    /// The first node that runs.
    fn asked(&self) -> &Server {
        self.nodes.iter().find(|node| node.pid().is_some()).expect("all nodes are down")
    }
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
