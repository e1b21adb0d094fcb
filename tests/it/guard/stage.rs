//! Where a fault is staged: a server, a cluster or a primary with sentinels, reached through links
//! that can go bad.

mod servers;

use std::{
    fmt,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tower_keep_tests::{Cut, Flavor, Server};

use self::servers::{Link, Servers};
use super::{ms, relay::Fate};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Single,
    Cluster,
    Sentinel,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) flavor: Flavor,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Single => write!(f, "{}", self.flavor),
            place => write!(f, "{place:?}, {}", self.flavor),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
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
    /// The same, and attempts to connect are dropped: no new ones.
    Vanish,
    /// Nobody reads the connection any more, and its sockets are full.
    Wedge,
    /// `SCRIPT FLUSH`, every 20 ms.
    ScriptFlush,
    /// Slower than the deadline of the rate limits.
    Slow,
}

impl Fault {
    /// Whether the server itself is gone, so that sentinels put another in its place.
    pub(crate) fn takes_the_server(self) -> bool {
        matches!(self, Self::Kill | Self::Stop)
    }
}

pub(crate) struct Stage {
    servers: Servers,
    links: Vec<Link>,
    /// The node that meets the fault, and the nodes of the callers' keys.
    victim: usize,
    owners: Vec<usize>,
    /// What sentinels have replaced, and what is still wrong with it.
    replaced: Option<(usize, Fault)>,
}

impl Stage {
    /// Sets up the site, and finds out where these keys are. Sentinels, which use the links as
    /// well, put up with a failure for `patience`.
    pub(crate) async fn set(site: Site, patience: Duration, keys: &[String]) -> Self {
        let (servers, links, owners) = Servers::start(site, patience, keys).await;
        let victim = owners.first().copied().unwrap_or_default();
        Self { servers, links, victim, owners, replaced: None }
    }

    pub(crate) fn url(&self) -> String {
        self.servers.url(&self.links, self.victim)
    }

    /// The server of this caller's key.
    pub(super) fn server_of(&self, caller: usize) -> &Server {
        self.servers.node(self.owners[caller])
    }

    /// Does the harm, which goes on until [`Stage::heal`].
    pub(crate) async fn harm(&mut self, fault: Fault) {
        let Link { proxy, relay } = &self.links[self.victim];
        match fault {
            Fault::Kill => self.servers.node_mut(self.victim).kill(),
            Fault::Stop => self.servers.node_mut(self.victim).pause(),
            Fault::CutLink => {
                proxy.refuse();
                proxy.cut(Cut::Reset);
            }
            Fault::HalfOpen => relay.doom_all(Fate::Swallowed),
            Fault::Vanish => {
                relay.doom_open(Fate::Swallowed);
                proxy.swallow();
            }
            Fault::Wedge => relay.doom_open(Fate::Stalled),
            Fault::Slow => proxy.delay(ms(60), ms(60)),
            Fault::ClientKill => self.repeat(&["CLIENT", "KILL", "TYPE", "normal"]).await,
            Fault::ScriptFlush => self.repeat(&["SCRIPT", "FLUSH"]).await,
        }
    }

    /// Makes it good again; returns when it is.
    pub(crate) async fn heal(&mut self, fault: Fault) {
        if fault.takes_the_server()
            && let Some(new) = self.servers.failed_over(self.victim).await
        {
            self.owners.fill(new);
            self.replaced = Some((self.victim, fault));
            return;
        }
        let Link { proxy, relay } = &self.links[self.victim];
        match fault {
            Fault::Kill => {
                self.servers.restart(self.victim, &self.links).await;
                self.servers.whole(0).await;
            }
            Fault::Stop => {
                self.servers.node_mut(self.victim).resume();
                self.servers.whole(0).await;
            }
            Fault::CutLink | Fault::Vanish | Fault::Slow => proxy.heal(),
            Fault::HalfOpen => relay.heal(),
            // New connections work all the time; repetition has ended.
            Fault::Wedge | Fault::ClientKill | Fault::ScriptFlush => {}
        }
    }

    /// Brings back what was replaced, and waits until another fault can be borne. That one meets
    /// the node of this number if it is one of several.
    pub(crate) async fn settle(&mut self, next: usize) {
        match self.replaced.take() {
            Some((old, Fault::Stop)) => self.servers.node_mut(old).resume(),
            Some((old, _)) => self.servers.restart(old, &self.links).await,
            None => {}
        }
        self.victim = self.servers.whole(next).await;
    }

    async fn repeat(&self, command: &[&str]) {
        let begun = Instant::now();
        while begun.elapsed() < ms(500) {
            self.servers.node(self.victim).command(command).await.unwrap().ok().unwrap();
            sleep(ms(20)).await;
        }
    }
}
