//! Commands to a cluster whose slots move.
//!
//! fred must not follow redirections itself: after `ASK` it sends `ASKING` and takes the next
//! answer on that connection for the answer to it, whosesoever it is. With commands of others in
//! flight there, their callers get each other's answers, or fred is stuck for good. So it is told
//! to follow none, and we do: a command that was redirected was not carried out.
//!
//! fred does not say where `ASK` pointed, only reads the slots anew; and so the nodes are tried
//! in turn, beginning with the one that took the last such command. A node that does not import
//! the slot refuses.

use std::time::Instant;

use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface},
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
        for _ in 0..ROUNDS {
            let last = self.importer();
            if let Some(node) = last.clone().filter(|_| is_redirected(&outcome)) {
                outcome = self.ask(client, node, &request, deadline).await;
            }
            if is_redirected(&outcome) {
                // If it was `MOVED`, fred knows by now where to.
                outcome = self.exchange(client, request.clone(), deadline).await;
            }
            if !is_redirected(&outcome) {
                return outcome;
            }
            for node in others(client, &request, last.as_ref()) {
                outcome = self.ask(client, node, &request, deadline).await;
                if !is_redirected(&outcome) {
                    return outcome;
                }
            }
        }
        outcome
    }

    /// Sends a command to a node that may be about to get its slot.
    async fn ask(
        &self,
        client: &Client,
        node: Server,
        request: &Request,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let asking = Request::plain("ASKING", Some(node.clone()));
        let request = Request { node: Some(node.clone()), ..request.clone() };
        // One behind the other: both are handed to fred before either is waited for.
        let (_, outcome) =
            join(self.exchange(client, asking, deadline), self.exchange(client, request, deadline))
                .await;
        if !is_redirected(&outcome) {
            self.set_importer(node);
        }
        outcome
    }
}

fn is_redirected(outcome: &Result<Value, Failure>) -> bool {
    outcome.as_ref().is_err_and(Failure::is_redirected)
}

/// The nodes that may be about to get the slot: all but its owner, and but the one tried already.
fn others(client: &Client, request: &Request, tried: Option<&Server>) -> Vec<Server> {
    let owner = match request.hash {
        ClusterHash::Custom(slot) => {
            client.cached_cluster_state().and_then(|state| state.get_server(slot).cloned())
        }
        _ => None,
    };
    let mut nodes = client.active_connections();
    nodes.retain(|node| Some(node) != owner.as_ref() && Some(node) != tried);
    nodes
}
