//! Commands to a cluster whose slots move.
//!
//! fred must not follow redirections itself: after `ASK` it sends `ASKING` and takes the next
//! answer on that connection for the answer to it, whosesoever it is. With commands of others in
//! flight there, their callers get each other's answers, or fred is stuck for good. So it is told
//! to follow none, and we do: a command that was redirected was not carried out.
//!
//! fred does not tell `MOVED` from `ASK`, and sends a command to any node when it has lost the
//! owner of its slot for a moment: `MOVED` is what that one says. So a redirection is believed to
//! be `ASK` only if the owner itself, asked by its name, says it and is the owner still: after
//! `MOVED` fred reads the slots anew. Then the owner is asked where the slot is moving to. Whoever
//! goes there without need makes a key a second time, and its counter starts anew.
//!
//! A script over several keys is refused with `TRYAGAIN` while they are apart: it is tried again a
//! few times, within half of its deadline.

use std::time::{Duration, Instant};

use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface},
    types::{ClusterHash, Value, config::Server},
};
use futures_util::future::join;
use tokio::time::sleep;

use crate::{
    error::Failure,
    shared::{Request, Shared},
};

/// A command of another task may slip in behind our `ASKING`, and use it up: where many ask at once,
/// several times in a row.
const ASKS: usize = 16;
/// While fred reads the slots anew, nobody may know the owner, or it is taken for the owner which
/// was: the first wait for it; each further one is twice as long.
const UNSETTLED: Duration = Duration::from_millis(1);
/// How often it is waited for, if the deadline allows it.
const WAITS: usize = 10;
/// The first wait for keys that are apart; each further one is twice as long.
const APART: Duration = Duration::from_millis(5);

impl Shared {
    /// Sends a command, and once more to where it belongs if it was redirected.
    pub(crate) async fn deliver(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let pooled = self.clients.load().is_pool();
        let again = (self.clustered || pooled).then(|| request.clone());
        let outcome = self.exchange(client, request, deadline).await;
        match again {
            // Rare, and large: not a part of every command's future.
            Some(request) if is_redirected(&outcome) || is_apart(&outcome) => {
                Box::pin(self.pursue(client, request, deadline, outcome)).await
            }
            // Its client has ended since it was picked: nothing has left it.
            Some(request) if pooled && outcome.as_ref().is_err_and(Failure::is_unsent) => {
                let other = self.client();
                if other.id() == client.id() {
                    return outcome;
                }
                Box::pin(self.exchange(&other, request, deadline)).await
            }
            _ => outcome,
        }
    }

    /// Sends a command again to where its slot is, and a few times if its keys are apart.
    async fn pursue(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
        outcome: Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let ClusterHash::Custom(slot) = request.hash else { return outcome };
        let begun = Instant::now();
        let latest = begun + deadline.saturating_duration_since(begun) / 2;
        let mut outcome = self.follow(client, slot, &request, deadline, outcome).await;
        let mut wait = APART;
        while is_apart(&outcome) && self.moving.may_join(slot, Instant::now()) {
            if Instant::now() + wait >= latest {
                self.moving.stay_apart(slot, Instant::now());
                break;
            }
            sleep(wait).await;
            wait *= 2;
            outcome = self.exchange(client, request.clone(), deadline).await;
            outcome = self.follow(client, slot, &request, deadline, outcome).await;
        }
        outcome
    }

    /// Sends a command to where it belongs for as long as it is redirected.
    async fn follow(
        &self,
        client: &Client,
        slot: u16,
        request: &Request,
        deadline: Instant,
        mut outcome: Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let (mut asks, mut waits, mut wait) = (0, 0, UNSETTLED);
        while is_redirected(&outcome) && asks < ASKS && waits < WAITS {
            let owner = owner(client, slot);
            let named = Request { node: owner.clone().map(Box::new), ..request.clone() };
            outcome = self.exchange(client, named, deadline).await;
            if !is_redirected(&outcome) {
                break;
            }
            let owner = owner.filter(|it| self::owner(client, slot).as_ref() == Some(it));
            if let Some(owner) = owner
                && let Some(node) = self.target(client, slot, &owner, deadline).await?
            {
                asks += 1;
                outcome = self.ask(client, node, slot, request, deadline).await;
                continue;
            }
            // It was `MOVED`: fred knows by now where to, or will in a moment.
            if waits > 0 {
                if Instant::now() + wait >= deadline {
                    break;
                }
                sleep(wait).await;
                wait *= 2;
            }
            waits += 1;
        }
        outcome
    }

    /// Sends a command to the node that is about to get its slot.
    async fn ask(
        &self,
        client: &Client,
        node: Server,
        slot: u16,
        request: &Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let asking = Request::plain("ASKING", Some(node.clone()));
        let request = Request { node: Some(Box::new(node)), ..request.clone() };
        // One behind the other: both are handed to fred before either is waited for.
        let (_, outcome) =
            join(self.exchange(client, asking, deadline), self.exchange(client, request, deadline))
                .await;
        let answered = outcome.as_ref().err().is_none_or(Failure::is_refused);
        if !answered || is_redirected(&outcome) {
            self.moving.forget(slot);
        }
        outcome
    }
}

/// Who has the slot, as far as fred knows, and if it is connected to it: sent to any other node by
/// its name, fred would make all its connections anew.
fn owner(client: &Client, slot: u16) -> Option<Server> {
    let state = client.cached_cluster_state()?;
    let owner = state.get_server(slot)?;
    client.active_connections().contains(owner).then(|| owner.clone())
}

fn is_redirected(outcome: &Result<Value, Failure>) -> bool {
    outcome.as_ref().is_err_and(Failure::is_redirected)
}

fn is_apart(outcome: &Result<Value, Failure>) -> bool {
    outcome.as_ref().is_err_and(Failure::is_apart)
}
