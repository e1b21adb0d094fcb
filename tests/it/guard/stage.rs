//! Where a fault is staged: a server or a cluster, reached through links that can go bad.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_keep_tests::{Cluster, Cut, Flavor, Proxy, Sentinel, Server};

use super::{
    ms,
    relay::{Fate, Relay},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Site {
    Redis,
    Valkey,
    Cluster,
    Sentinel,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// `kill -9`, and a restart with nothing kept; with sentinels, a failover.
    Kill,
    /// SIGSTOP and SIGCONT; with sentinels, a failover.
    Stop,
    /// `CLIENT KILL TYPE normal`, every 20 ms.
    ClientKill,
    /// Reset, and refused for a while.
    CutLink,
    /// Connections swallow what is sent; new ones do too for a while, and old ones for ever.
    HalfOpen,
    /// Nobody reads the connection any more, and its sockets are full.
    Wedge,
    /// `SCRIPT FLUSH`, every 20 ms.
    ScriptFlush,
}

enum Servers {
    Single(Box<Server>),
    Cluster(Cluster),
    Sentinel(Box<Sentinel>),
}

/// The way to one server.
struct Link {
    proxy: Proxy,
    relay: Relay,
}

pub(super) struct Stage {
    servers: Servers,
    links: Vec<Link>,
    /// The node that meets the fault, and the nodes of the callers' keys.
    victim: usize,
    owners: Vec<usize>,
}

impl Stage {
    /// Sets up the site, and finds out where these keys are.
    pub(super) async fn set(site: Site, keys: &[String]) -> Self {
        let (servers, owners) = match site {
            Site::Redis => (single(Flavor::Redis).await, vec![0; keys.len()]),
            Site::Valkey => (single(Flavor::Valkey).await, vec![0; keys.len()]),
            Site::Cluster => {
                let cluster = Cluster::start(Flavor::Redis, 3).await;
                let mut owners = Vec::new();
                for key in keys {
                    owners.push(cluster.owner_of(key).await.unwrap());
                }
                (Servers::Cluster(cluster), owners)
            }
            Site::Sentinel => {
                let sentinel = Sentinel::start(Flavor::Redis).await;
                let primary = sentinel.primary().await.unwrap();
                (Servers::Sentinel(Box::new(sentinel)), vec![primary; keys.len()])
            }
        };
        let mut stage = Self { servers, links: Vec::new(), victim: owners[0], owners };
        // Sentinels would lead around the links.
        let linked = if matches!(site, Site::Sentinel) { 0 } else { stage.nodes() };
        for node in 0..linked {
            let relay = Relay::start(stage.node(node).port()).await;
            let proxy = Proxy::start(relay.port());
            if stage.is_cluster() {
                // So that clients are led through the link, whoever leads them.
                let port = proxy.port().to_string();
                let announce = ["CONFIG", "SET", "cluster-announce-port", &port];
                stage.node(node).command(&announce).await.unwrap().ok().unwrap();
            }
            stage.links.push(Link { proxy, relay });
        }
        stage.known().await;
        stage
    }

    /// Waits until every node has heard of every link.
    async fn known(&self) {
        let told = |node: usize| async move {
            let slots = self.node(node).command(&["CLUSTER", "SLOTS"]).await.unwrap();
            let ports: Vec<_> =
                slots.array().iter().map(|range| range.array()[2].array()[1].int()).collect();
            self.links.iter().all(|link| ports.contains(&i64::from(link.proxy.port())))
        };
        for node in (0..self.nodes()).filter(|_| self.is_cluster()) {
            let known = tower_keep_tests::wait_until(Duration::from_secs(10), || told(node));
            assert!(known.await, "the links were not announced");
        }
    }

    pub(super) fn url(&self) -> String {
        if let Servers::Sentinel(sentinel) = &self.servers {
            return sentinel.url();
        }
        let port = |link: &Link| link.proxy.port();
        let first = port(&self.links[self.victim]);
        if !self.is_cluster() {
            return format!("redis://127.0.0.1:{first}");
        }
        let nodes = self.links.iter().map(|link| format!("node=127.0.0.1:{}", port(link)));
        format!("redis-cluster://127.0.0.1:{first}?{}", nodes.collect::<Vec<_>>().join("&"))
    }

    /// The server of this caller's key.
    pub(super) fn server_of(&self, caller: usize) -> &Server {
        self.node(self.owners[caller])
    }

    /// Does the harm, which goes on until [`Stage::heal`].
    pub(super) async fn harm(&mut self, fault: Fault) {
        let victim = self.victim;
        match fault {
            Fault::Kill => self.node_mut(victim).kill(),
            Fault::Stop => self.node_mut(victim).pause(),
            Fault::CutLink => {
                self.links[victim].proxy.refuse();
                self.links[victim].proxy.cut(Cut::Reset);
            }
            Fault::HalfOpen => self.links[victim].relay.doom_all(Fate::Swallowed),
            Fault::Wedge => self.links[victim].relay.doom_open(Fate::Stalled),
            Fault::ClientKill => self.repeat(&["CLIENT", "KILL", "TYPE", "normal"]).await,
            Fault::ScriptFlush => self.repeat(&["SCRIPT", "FLUSH"]).await,
        }
    }

    /// Makes it good again; returns when it is.
    pub(super) async fn heal(&mut self, fault: Fault) {
        let victim = self.victim;
        if matches!(fault, Fault::Kill | Fault::Stop) && self.failed_over().await {
            return;
        }
        match fault {
            Fault::Kill => {
                self.node_mut(victim).restart().await;
                if self.is_cluster() {
                    let port = self.links[victim].proxy.port().to_string();
                    let announce = ["CONFIG", "SET", "cluster-announce-port", &port];
                    self.node(victim).command(&announce).await.unwrap().ok().unwrap();
                    self.known().await;
                    self.whole().await;
                }
            }
            Fault::Stop => {
                self.node_mut(victim).resume();
                self.whole().await;
            }
            Fault::CutLink => self.links[victim].proxy.accept(),
            Fault::HalfOpen => self.links[victim].relay.heal(),
            // New connections work all the time; repetition has ended.
            Fault::Wedge | Fault::ClientKill | Fault::ScriptFlush => {}
        }
    }

    /// Waits until sentinels, if there are any, have put another primary in the victim's place.
    async fn failed_over(&mut self) -> bool {
        let Servers::Sentinel(sentinel) = &self.servers else { return false };
        let new = sentinel.wait_until_failed_over(self.victim, Duration::from_secs(100)).await;
        self.owners.fill(new.expect("the sentinels did not fail over"));
        true
    }

    /// Waits until a cluster says itself that it is well again.
    async fn whole(&self) {
        if let Servers::Cluster(cluster) = &self.servers {
            assert!(cluster.wait_ok(Duration::from_secs(10)).await, "the cluster is still down");
        }
    }

    async fn repeat(&self, command: &[&str]) {
        let begun = Instant::now();
        while begun.elapsed() < ms(500) {
            self.node(self.victim).command(command).await.unwrap().ok().unwrap();
            sleep(ms(20)).await;
        }
    }

    fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    fn nodes(&self) -> usize {
        match &self.servers {
            Servers::Single(_) => 1,
            Servers::Cluster(cluster) => cluster.nodes().len(),
            Servers::Sentinel(sentinel) => sentinel.nodes().len(),
        }
    }

    fn node(&self, index: usize) -> &Server {
        match &self.servers {
            Servers::Single(server) => server,
            Servers::Cluster(cluster) => &cluster.nodes()[index],
            Servers::Sentinel(sentinel) => &sentinel.nodes()[index],
        }
    }

    fn node_mut(&mut self, index: usize) -> &mut Server {
        match &mut self.servers {
            Servers::Single(server) => server,
            Servers::Cluster(cluster) => cluster.node_mut(index),
            Servers::Sentinel(sentinel) => sentinel.node_mut(index),
        }
    }
}

async fn single(flavor: Flavor) -> Servers {
    Servers::Single(Box::new(Server::start(flavor).await))
}
