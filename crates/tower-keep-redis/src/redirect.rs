//! Commands to a cluster whose slots move.
//!
//! fred must not follow redirections itself: after `ASK` it sends `ASKING` and takes the next
//! answer on that connection for the answer to it, whosesoever it is. With commands of others in
//! flight there, their callers get each other's answers, or fred is stuck for good. So it is told
//! to follow none, and we do: a command that was redirected was not carried out.
//!
//! fred does not tell `MOVED` from `ASK`. After `MOVED` it reads the slots anew, so that the same
//! command goes to the new owner. After `ASK` the owner is asked where the slot is moving to.

use std::time::Instant;

use fred::{
    clients::Client,
    types::{ClusterHash, Value, config::Server},
};
use futures_util::future::join;

use crate::{
    error::Failure,
    shared::{Request, Shared},
};

/// A command of another task may slip in behind our `ASKING`, and use it up.
const ROUNDS: usize = 3;

impl Shared {
    /// Sends a command, and once more to where it belongs if it was redirected.
    pub(crate) async fn deliver(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let again = self.clustered.then(|| request.clone());
        let outcome = self.exchange(client, request, deadline).await;
        match again {
            // Rare, and large: not a part of every command's future.
            Some(request) if is_redirected(&outcome) => {
                Box::pin(self.follow(client, request, deadline, outcome)).await
            }
            _ => outcome,
        }
    }

    async fn follow(
        &self,
        client: &Client,
        request: Request,
        deadline: Instant,
        mut outcome: Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let ClusterHash::Custom(slot) = request.hash else { return outcome };
        for _ in 0..ROUNDS {
            if let Some(node) = self.target(client, slot) {
                outcome = self.ask(client, node, slot, &request, deadline).await;
            }
            if is_redirected(&outcome) {
                // If it was `MOVED`, fred knows by now where to.
                outcome = self.exchange(client, request.clone(), deadline).await;
            }
            if !is_redirected(&outcome) {
                return outcome;
            }
            if let Some(node) = self.learn_target(client, slot, deadline).await? {
                outcome = self.ask(client, node, slot, &request, deadline).await;
            }
            if !is_redirected(&outcome) {
                return outcome;
            }
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
        let request = Request { node: Some(node), ..request.clone() };
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

fn is_redirected(outcome: &Result<Value, Failure>) -> bool {
    outcome.as_ref().is_err_and(Failure::is_redirected)
}
