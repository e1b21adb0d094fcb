//! Sending commands and scripts.

use std::{sync::Arc, time::Instant};

use fred::{
    clients::Client,
    types::{ClusterHash, Value},
    util::redis_keyslot,
};
use futures_util::future::join;
use tower_keep_core::StoreError;

use crate::{
    connection::Connection,
    error::Failure,
    script::Script,
    shared::{Request, Shared},
};

impl Connection {
    /// Runs a script by its hash, and once in full where the server does not have it.
    ///
    /// In a cluster all keys must be on one node: give them the same hash tag.
    ///
    /// # Errors
    ///
    /// See the crate's "When Redis fails". A script that raises an error after a write has done
    /// that write, though it is `Refused`.
    pub fn run_script(
        &self,
        script: &'static Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            let pass = shared.enter(deadline).await?;
            let client = shared.client();
            let hash = shared.slot(keys.first().map(String::as_str));
            let mut full = script.arguments(keys, args);
            let request = |name, args| Request { name, hash: hash.clone(), node: None, args };
            let by_hash = request("EVALSHA", full.clone());
            let mut outcome = shared.deliver(&client, by_hash, deadline).await;
            if outcome.as_ref().is_err_and(Failure::is_noscript) {
                script.spell_out(&mut full);
                // Boxed: it is rare, and not to be a part of every script's future.
                let in_full = shared.deliver(&client, request("EVAL", full), deadline);
                outcome = Box::pin(in_full).await;
            }
            pass.finish(outcome)
        }
    }

    /// Sends one command; in a cluster, to the node that has `key`, or to any if there is none.
    ///
    /// `key` only chooses the node: it is to be among `args` as well.
    ///
    /// # Errors
    ///
    /// See the crate's "When Redis fails".
    pub fn command(
        &self,
        name: &'static str,
        key: Option<&str>,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let request = shared.request(Command { name, key, args });
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            shared.send(request, None, deadline).await
        }
    }

    /// Sends two commands at once, within one deadline, the first before the second where both go
    /// to the same node. Each has its own outcome.
    ///
    /// `GET`, `GETRANGE`, `HGET`, `HMGET`, `HGETALL` and `SET … PX` leave together in one write to
    /// the socket, in one round trip; any other one goes by itself.
    ///
    /// # Errors
    ///
    /// See the crate's "When Redis fails".
    pub fn both(
        &self,
        first: Command<'_>,
        second: Command<'_>,
    ) -> impl Future<Output = (Result<Value, StoreError>, Result<Value, StoreError>)> + Send + use<>
    {
        let shared = Arc::clone(&self.shared);
        let (first, second) = (shared.request(first), shared.request(second));
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            // Of a pool both are given the same, or they would not go together.
            let client = Some(shared.client());
            // Both are handed to fred before either is waited for.
            join(
                shared.send(first, client.clone(), deadline),
                shared.send(second, client, deadline),
            )
            .await
        }
    }
}

/// One command, as [`Connection::command`] takes it.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// Its name, in capitals.
    pub name: &'static str,
    /// What chooses the node in a cluster: it is to be among `args` as well.
    pub key: Option<&'a str>,
    /// What follows the name.
    pub args: Vec<Value>,
}

impl Shared {
    fn request(&self, command: Command<'_>) -> Request {
        let Command { name, key, args } = command;
        Request { name, hash: self.slot(key), node: None, args }
    }

    /// Sends a command by this client, or the one whose turn it is once it may go.
    async fn send(
        &self,
        request: Request,
        client: Option<Client>,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let pass = self.enter(deadline).await?;
        let client = client.unwrap_or_else(|| self.client());
        let outcome = self.deliver(&client, request, deadline).await;
        pass.finish(outcome)
    }

    /// Where in a cluster the key is.
    fn slot(&self, key: Option<&str>) -> ClusterHash {
        match key.filter(|_| self.clustered) {
            Some(key) => ClusterHash::Custom(redis_keyslot(key.as_bytes())),
            None => ClusterHash::Random,
        }
    }
}
