//! Sending commands and scripts.

use std::{sync::Arc, time::Instant};

use fred::{
    types::{ClusterHash, Value},
    util::redis_keyslot,
};
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
                outcome = shared.deliver(&client, request("EVAL", full), deadline).await;
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
        let hash = shared.slot(key);
        async move {
            let deadline = Instant::now() + shared.config.timeout;
            let pass = shared.enter(deadline).await?;
            let client = shared.client();
            let request = Request { name, hash, node: None, args };
            let outcome = shared.deliver(&client, request, deadline).await;
            pass.finish(outcome)
        }
    }
}

impl Shared {
    /// Where in a cluster the key is.
    fn slot(&self, key: Option<&str>) -> ClusterHash {
        match key.filter(|_| self.clustered) {
            Some(key) => ClusterHash::Custom(redis_keyslot(key.as_bytes())),
            None => ClusterHash::Random,
        }
    }
}
