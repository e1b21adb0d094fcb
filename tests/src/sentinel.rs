//! A primary, its replicas, and the sentinels that watch them.

mod form;

use std::{cell::Cell, io, time::Duration};

use crate::{
    Flavor, Server, Value,
    address::{escape, url_of},
    wait_until,
};

/// The name that the sentinels give to what they watch.
const SERVICE: &str = "mymaster";

/// A primary with replicas behind three sentinels. They take two seconds of silence for a failure
/// and then need one to a few seconds to put a replica in its place.
///
/// The nodes are [`Server`]s; `node_mut` kills, pauses and restarts them. One that is restarted
/// takes itself for a primary, until the sentinels make it a replica again some ten seconds later.
#[derive(Debug)]
pub struct Sentinel {
    nodes: Vec<Server>,
    /// The ports under which all others know the nodes.
    known: Vec<u16>,
    sentinels: Vec<Server>,
}

impl Sentinel {
    /// `redis-sentinel://[:password@]127.0.0.1:port?node=127.0.0.1:port…&sentinelServiceName=…`
    /// with every sentinel; `rediss-sentinel://` with TLS. The password is that of the nodes and
    /// of the sentinels, and said once more as `sentinelPassword` for a client that keeps the two
    /// apart.
    pub fn url(&self) -> String {
        let first = &self.sentinels[0];
        let scheme = format!("{}-sentinel", first.scheme());
        let url = url_of(&scheme, "", first.password(), first.port());
        let nodes =
            self.sentinels[1..].iter().map(|more| format!("node=127.0.0.1:{}", more.port()));
        let service = format!("sentinelServiceName={SERVICE}");
        let password =
            first.password().map(|password| format!("sentinelPassword={}", escape(password)));
        let query: Vec<_> = nodes.chain([service]).chain(password).collect();
        format!("{url}?{}", query.join("&"))
    }

    /// The primary and its replicas; which is which changes with a failover.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// One of these, to kill or pause it.
    pub fn node_mut(&mut self, index: usize) -> &mut Server {
        &mut self.nodes[index]
    }

    /// Restarts one, known again under the port that it had been given.
    pub async fn restart(&mut self, index: usize) {
        self.nodes[index].restart().await;
        self.announce(index).await.expect("the node could not be told its port");
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// One sentinel, to kill or pause it.
    pub fn sentinel_mut(&mut self, index: usize) -> &mut Server {
        &mut self.sentinels[index]
    }

    /// The index of the primary, as the first sentinel that runs has it.
    pub async fn primary(&self) -> io::Result<usize> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.pid().is_some());
        self.named_by(sentinel.ok_or_else(|| io::Error::other("all sentinels are down"))?).await
    }

    /// Kills the primary with `SIGKILL`; answers which it was.
    pub async fn kill_primary(&mut self) -> usize {
        let primary = self.primary().await.expect("no sentinel told the primary");
        self.nodes[primary].kill();
        primary
    }

    /// Sends one command to the primary. The test's own hand: no [`crate::Monitor`] counts it.
    pub async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> io::Result<Value> {
        self.nodes[self.primary().await?].command(args).await
    }

    /// Waits until all sentinels that run name another primary than `old`, and it is one; answers
    /// its index, or `None` if the time ran out.
    #[must_use = "a wait that ran out of time is a failed test"]
    pub async fn wait_until_failed_over(&self, old: usize, timeout: Duration) -> Option<usize> {
        let new = Cell::new(None);
        let failed_over = wait_until(timeout, || async {
            new.set(self.agreed().await.ok().flatten().filter(|new| *new != old));
            match new.get() {
                Some(new) => self.role_of(new).await.is_ok_and(|role| role == "master"),
                None => false,
            }
        });
        if failed_over.await { new.get() } else { None }
    }

    /// The primary on which all sentinels that run agree, if they do.
    async fn agreed(&self) -> io::Result<Option<usize>> {
        let mut agreed = None;
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.pid().is_some()) {
            let named = self.named_by(sentinel).await?;
            if *agreed.get_or_insert(named) != named {
                return Ok(None);
            }
        }
        Ok(agreed)
    }

    async fn named_by(&self, sentinel: &Server) -> io::Result<usize> {
        let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        let address = sentinel.command(&command).await?.ok()?;
        let port = address.array()[1].text();
        self.known
            .iter()
            .position(|known| known.to_string() == port)
            .ok_or_else(|| io::Error::other(format!("the primary is a stranger: {address:?}")))
    }

    /// `master`, or `slave`.
    async fn role_of(&self, node: usize) -> io::Result<String> {
        Ok(self.nodes[node].command(&["ROLE"]).await?.ok()?.array()[0].text())
    }

    /// The flavour of all of it.
    pub fn flavor(&self) -> Flavor {
        self.nodes[0].flavor()
    }
}
