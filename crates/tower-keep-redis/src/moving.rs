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
    /// By slot.
    targets: Mutex<HashMap<u16, Move>>,
    /// Slots whose keys were waited for in vain, with when.
    apart: Mutex<HashMap<u16, Instant>>,
    /// Whoever has it asks for all who wait.
    asking: tokio::sync::Mutex<()>,
}

/// What the owner of a slot has said.
#[derive(Clone, Debug)]
struct Move {
    owner: Server,
    target: Server,
    since: Instant,
}

impl Moving {
    fn get(&self, slot: u16, owner: &Server, now: Instant) -> Option<Server> {
        let targets = lock(&self.targets);
        let known = targets.get(&slot).filter(|known| known.owner == *owner)?;
        is_fresh(known.since, now).then(|| known.target.clone())
    }

    fn set(&self, slot: u16, known: Move) {
        let mut targets = lock(&self.targets);
        targets.retain(|_, old| is_fresh(old.since, known.since));
        targets.insert(slot, known);
    }

    pub(crate) fn forget(&self, slot: u16) {
        lock(&self.targets).remove(&slot);
    }

    /// Whether there is hope that the slot's keys come together within moments.
    pub(crate) fn may_join(&self, slot: u16, now: Instant) -> bool {
        lock(&self.apart).get(&slot).is_none_or(|since| !is_fresh(*since, now))
    }

    /// They have not: keys that are new stay away until the whole slot has moved. Nobody waits for
    /// them for a while.
    pub(crate) fn stay_apart(&self, slot: u16, now: Instant) {
        let mut apart = lock(&self.apart);
        apart.retain(|_, since| is_fresh(*since, now));
        apart.insert(slot, now);
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < FRESH
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Where its owner says that the slot is moving to. `None` if it says that it is not, or to a
    /// node that has no slot yet, which fred is not connected to: sent to that one, it would make
    /// all its connections anew.
    ///
    /// # Errors
    ///
    /// When the owner does not tell.
    pub(crate) async fn target(
        &self,
        client: &Client,
        slot: u16,
        owner: &Server,
        deadline: Instant,
    ) -> Result<Option<Server>, Failure> {
        let known = |now| {
            let target = self.moving.get(slot, owner, now)?;
            client.active_connections().contains(&target).then_some(target)
        };
        if let Some(known) = known(Instant::now()) {
            return Ok(Some(known));
        }
        let Ok(_turn) = timeout_at(deadline.into(), self.moving.asking.lock()).await else {
            return Err(Failure::late());
        };
        if let Some(known) = known(Instant::now()) {
            return Ok(Some(known));
        }
        let mut request = Request::plain("CLUSTER", Some(owner.clone()));
        request.args.push("NODES".into());
        let nodes = self.exchange(client, request, deadline).await?;
        let nodes = nodes.as_str().unwrap_or_default();
        let Some(state) = client.cached_cluster_state() else { return Ok(None) };
        let connected = client.active_connections();
        let target = target_of(&nodes, slot).and_then(|id| {
            let range = state.slots().iter().find(|range| *range.id == *id)?;
            connected.contains(&range.primary).then(|| range.primary.clone())
        });
        if let Some(target) = target.clone() {
            let (owner, since) = (owner.clone(), Instant::now());
            self.moving.set(slot, Move { owner, target, since });
        }
        Ok(target)
    }
}

/// The id of the node that the asked one moves the slot to, out of its `CLUSTER NODES`, if it has
/// the slot: `[93->-ID]` is among the slots of the line of `myself` then, and the slot as well.
fn target_of(nodes: &str, slot: u16) -> Option<&str> {
    let myself = nodes.lines().find(|line| {
        line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"))
    })?;
    let slots = || myself.split(' ').skip(8);
    let holds = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse().ok().zip(last.parse().ok());
        bounds.is_some_and(|(first, last): (u16, u16)| (first..=last).contains(&slot))
    };
    let target = slots().find_map(|range| {
        let (moving, id) = range.strip_prefix('[')?.strip_suffix(']')?.split_once("->-")?;
        (moving.parse() == Ok(slot)).then_some(id)
    });
    target.filter(|_| slots().any(holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_says_where_a_slot_goes() {
        let nodes = "\
            aaaa 127.0.0.1:7001@17001 master - 0 1426238317239 2 connected 0-99 [93->-zzzz]\n\
            bbbb 127.0.0.1:7002@17002,name,shard-id=s myself,master - 0 0 1 connected \
             90-95 200 5461-10922 [93->-cccc] [94-<-aaaa] [95->-aaaa] [200->-aaaa] [201->-cccc]\n\
            cccc 127.0.0.1:7003@17003 master - 0 1426238318243 3 connected 10923-16383\n";
        let told = [(93, Some("cccc")), (94, None), (95, Some("aaaa")), (96, None), (9, None)];
        // 201 is not its own (any more), whatever it wants to do with it.
        for (slot, expected) in told.into_iter().chain([(200, Some("aaaa")), (201, None)]) {
            assert_eq!(target_of(nodes, slot), expected, "{slot}");
        }
        for odd in ["", "\n", "x y", "a b myself", "a b myself - 0 0 1 connected [", "txt:"] {
            assert_eq!(target_of(odd, 93), None, "{odd:?}");
        }
    }

    #[test]
    fn what_was_learnt_is_soon_old_and_only_of_who_said_it() {
        let (moving, start) = (Moving::default(), Instant::now());
        let [owner, target] = [7001, 7002].map(|port| Server::new("127.0.0.1", port));
        let told = |since| Move { owner: owner.clone(), target: target.clone(), since };
        moving.set(93, told(start));
        assert_eq!(moving.get(93, &owner, start + FRESH / 2), Some(target.clone()));
        assert_eq!(moving.get(93, &target, start + FRESH / 2), None, "another one owns it now");
        assert_eq!(moving.get(94, &owner, start), None);
        assert_eq!(moving.get(93, &owner, start + FRESH), None);
        moving.set(94, told(start + FRESH));
        assert_eq!(lock(&moving.targets).len(), 1, "the old is dropped");
        moving.forget(94);
        assert_eq!(moving.get(94, &owner, start + FRESH), None);
    }

    #[test]
    fn keys_that_stay_apart_are_not_waited_for_again_at_once() {
        let (moving, start) = (Moving::default(), Instant::now());
        assert!(moving.may_join(93, start));
        moving.stay_apart(93, start);
        assert!(!moving.may_join(93, start + FRESH / 2));
        assert!(moving.may_join(94, start));
        assert!(moving.may_join(93, start + FRESH));
        moving.stay_apart(94, start + FRESH);
        assert_eq!(lock(&moving.apart).len(), 1, "the old is dropped");
    }
}
