//! Where slots are moving to, as their owners say.
//!
//! fred drops the text of `ASK`, and with it the node that it names. The owner of the slot tells
//! it as well, in its own line of `CLUSTER NODES`; and nobody else does: a node that is left in
//! the belief that it imports a slot would take commands that are lost to all others.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface},
    types::config::Server,
};
use tokio::time::timeout_at;

use crate::{
    error::Failure,
    shared::{Request, Shared},
};

/// An owner is asked again after this long: it may have changed its mind.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// By slot, with when the owner said so.
    targets: Mutex<HashMap<u16, (Server, Instant)>>,
    /// Whoever has it asks for all who wait.
    asking: tokio::sync::Mutex<()>,
}

impl Moving {
    fn get(&self, slot: u16, now: Instant) -> Option<Server> {
        let targets = self.lock();
        let (server, since) = targets.get(&slot)?;
        (now.saturating_duration_since(*since) < FRESH).then(|| server.clone())
    }

    fn set(&self, slot: u16, server: Server, now: Instant) {
        let mut targets = self.lock();
        targets.retain(|_, (_, since)| now.saturating_duration_since(*since) < FRESH);
        targets.insert(slot, (server, now));
    }

    pub(crate) fn forget(&self, slot: u16) {
        self.lock().remove(&slot);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, (Server, Instant)>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Where the slot is known to be moving to. Only a node that fred is connected to: sent to any
    /// other, it would end all its connections.
    pub(crate) fn target(&self, client: &Client, slot: u16) -> Option<Server> {
        let known = self.moving.get(slot, Instant::now())?;
        client.active_connections().contains(&known).then_some(known)
    }

    /// Asks the slot's owner where it is moving to. `None` if it is not, or to a node that has no
    /// slot yet, which fred is not connected to.
    ///
    /// # Errors
    ///
    /// When the owner does not tell.
    pub(crate) async fn learn_target(
        &self,
        client: &Client,
        slot: u16,
        deadline: Instant,
    ) -> Result<Option<Server>, Failure> {
        let Ok(_turn) = timeout_at(deadline.into(), self.moving.asking.lock()).await else {
            return Err(Failure::late());
        };
        if let Some(known) = self.target(client, slot) {
            return Ok(Some(known));
        }
        let Some(state) = client.cached_cluster_state() else { return Ok(None) };
        let connected = client.active_connections();
        let owner = state.get_server(slot).filter(|owner| connected.contains(owner));
        let Some(owner) = owner.cloned() else { return Ok(None) };
        let mut request = Request::plain("CLUSTER", Some(owner));
        request.args.push("NODES".into());
        let nodes = self.exchange(client, request, deadline).await?;
        let nodes = nodes.as_str().unwrap_or_default();
        let target = target_of(&nodes, slot).and_then(|id| {
            let range = state.slots().iter().find(|range| *range.id == *id)?;
            connected.contains(&range.primary).then(|| range.primary.clone())
        });
        if let Some(target) = &target {
            self.moving.set(slot, target.clone(), Instant::now());
        }
        Ok(target)
    }
}

/// The id of the node that the asked one moves the slot to, out of its `CLUSTER NODES`: there
/// `[93->-ID]` is among the slots of the line of `myself`.
fn target_of(nodes: &str, slot: u16) -> Option<&str> {
    let myself = nodes.lines().find(|line| {
        line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"))
    })?;
    myself.split(' ').skip(8).find_map(|range| {
        let (moving, id) = range.strip_prefix('[')?.strip_suffix(']')?.split_once("->-")?;
        (moving.parse() == Ok(slot)).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_says_where_a_slot_goes() {
        let nodes = "\
            aaaa 127.0.0.1:7001@17001 master - 0 1426238317239 2 connected 0-99 [93->-zzzz]\n\
            bbbb 127.0.0.1:7002@17002,name,shard-id=s myself,master - 0 0 1 connected \
             100-200 5461-10922 [93->-cccc] [94-<-aaaa] [95->-aaaa]\n\
            cccc 127.0.0.1:7003@17003 master - 0 1426238318243 3 connected 10923-16383\n";
        let told = [(93, Some("cccc")), (94, None), (95, Some("aaaa")), (96, None), (9, None)];
        for (slot, expected) in told {
            assert_eq!(target_of(nodes, slot), expected, "{slot}");
        }
        for odd in ["", "\n", "x y", "a b myself", "a b myself - 0 0 1 connected [", "txt:"] {
            assert_eq!(target_of(odd, 93), None, "{odd:?}");
        }
    }

    #[test]
    fn what_was_learnt_is_soon_old() {
        let (moving, start) = (Moving::default(), Instant::now());
        let server = Server::new("127.0.0.1", 7001);
        moving.set(93, server.clone(), start);
        assert_eq!(moving.get(93, start + FRESH / 2), Some(server.clone()));
        assert_eq!(moving.get(94, start), None);
        assert_eq!(moving.get(93, start + FRESH), None);
        moving.set(94, server, start + FRESH);
        assert_eq!(moving.lock().len(), 1, "the old is dropped");
        moving.forget(94);
        assert_eq!(moving.get(94, start + FRESH), None);
    }
}
