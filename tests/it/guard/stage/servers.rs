//! The servers of a stage, and the links to them.

use std::time::Duration;

use tower_keep_tests::{Cluster, Flavor, Proxy, Sentinel, Server};

use super::{super::relay::Relay, Place, Site};

/// Time for what servers do among themselves.
const LONG: Duration = Duration::from_secs(100);

pub(super) enum Servers {
    Single(Box<Server>),
    Cluster(Cluster),
    Sentinel(Box<Sentinel>),
}

/// The way of all clients to one server.
pub(super) struct Link {
    pub(super) proxy: Proxy,
    pub(super) relay: Relay,
}

impl Link {
    async fn to(port: u16) -> Self {
        let relay = Relay::start(port).await;
        Self { proxy: Proxy::start(relay.port()), relay }
    }

    fn port(&self) -> u16 {
        self.proxy.port()
    }
}

impl Servers {
    /// Starts them, and a link to each node; whoever leads clients leads them through these. Also
    /// says where these keys are.
    pub(super) async fn start(
        site: Site,
        patience: Duration,
        keys: &[String],
    ) -> (Self, Vec<Link>, Vec<usize>) {
        let (mut links, mut owners) = (Vec::new(), Vec::new());
        let servers = match site.place {
            Place::Single => {
                let server = Server::start(site.flavor).await;
                links.push(Link::to(server.port()).await);
                owners.resize(keys.len(), 0);
                Self::Single(Box::new(server))
            }
            Place::Cluster => {
                let cluster = Cluster::start(site.flavor, 3).await;
                for key in keys {
                    owners.push(cluster.owner_of(key).await.unwrap());
                }
                for node in cluster.nodes() {
                    links.push(Link::to(node.port()).await);
                }
                Self::Cluster(cluster)
            }
            Place::Sentinel => {
                let sentinel = Sentinel::start_led(site.flavor, patience, async |port| {
                    let link = Link::to(port).await;
                    let port = link.port();
                    links.push(link);
                    port
                });
                let sentinel = sentinel.await;
                owners.resize(keys.len(), sentinel.primary().await.unwrap());
                Self::Sentinel(Box::new(sentinel))
            }
        };
        for node in 0..links.len() {
            servers.announce(node, &links).await;
        }
        servers.await_announced(&links).await;
        (servers, links, owners)
    }

    /// Where clients are sent to, with this link first.
    pub(super) fn url(&self, links: &[Link], first: usize) -> String {
        let first = links[first].port();
        match self {
            Self::Single(_) => format!("redis://127.0.0.1:{first}"),
            Self::Cluster(_) => {
                let nodes = links.iter().map(|link| format!("node=127.0.0.1:{}", link.port()));
                let nodes = nodes.collect::<Vec<_>>().join("&");
                format!("redis-cluster://127.0.0.1:{first}?{nodes}")
            }
            Self::Sentinel(sentinel) => sentinel.url(),
        }
    }

    /// Starts a node that was killed, known by its link as before.
    pub(super) async fn restart(&mut self, node: usize, links: &[Link]) {
        match self {
            Self::Single(server) => server.restart().await,
            Self::Cluster(cluster) => {
                cluster.node_mut(node).restart().await;
                self.announce(node, links).await;
                self.await_announced(links).await;
            }
            Self::Sentinel(sentinel) => sentinel.restart(node).await,
        }
    }

    /// Has a cluster's node lead through its link.
    async fn announce(&self, node: usize, links: &[Link]) {
        if let Self::Cluster(cluster) = self {
            cluster.announce(node, links[node].port()).await.unwrap();
        }
    }

    /// Waits until every node of a cluster has heard of every link.
    async fn await_announced(&self, links: &[Link]) {
        if let Self::Cluster(cluster) = self {
            let ports: Vec<_> = links.iter().map(Link::port).collect();
            assert!(cluster.wait_announced(&ports, LONG).await, "the links were not announced");
        }
    }

    /// Waits until sentinels, if there are any, have put another in this primary's place.
    pub(super) async fn failed_over(&self, old: usize) -> Option<usize> {
        let Self::Sentinel(sentinel) = self else { return None };
        let new = sentinel.wait_until_failed_over(old, LONG).await;
        Some(new.expect("the sentinels did not fail over"))
    }

    /// Waits until they say themselves that all is well; answers a node that matters, this one if
    /// several do.
    pub(super) async fn whole(&self, node: usize) -> usize {
        match self {
            Self::Single(_) => 0,
            Self::Cluster(cluster) => {
                assert!(cluster.wait_ok(LONG).await, "the cluster is still down");
                node % cluster.nodes().len()
            }
            Self::Sentinel(sentinel) => {
                assert!(sentinel.wait_ok(LONG).await, "the sentinels are not content");
                sentinel.primary().await.unwrap()
            }
        }
    }

    pub(super) fn node(&self, index: usize) -> &Server {
        match self {
            Self::Single(server) => server,
            Self::Cluster(cluster) => &cluster.nodes()[index],
            Self::Sentinel(sentinel) => &sentinel.nodes()[index],
        }
    }

    pub(super) fn node_mut(&mut self, index: usize) -> &mut Server {
        match self {
            Self::Single(server) => server,
            Self::Cluster(cluster) => cluster.node_mut(index),
            Self::Sentinel(sentinel) => sentinel.node_mut(index),
        }
    }
}

impl Site {
    pub(crate) const fn new(place: Place, flavor: Flavor) -> Self {
        Self { place, flavor }
    }
}
