//! Reading several entries at once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tower_keep_core::StoreError;

use super::{Value, Wire, read::Reading, reply};
use crate::store::{Ask, AskEntry};

type Blobs = Vec<Option<Bytes>>;

/// How many are asked for by one command. More would take longer than a command may.
const MOST: usize = 256;

impl Wire {
    /// The blobs under these keys, in their order. One node is asked by one command, on the
    /// connection where long answers keep nobody waiting; the nodes of a cluster by one for each
    /// key, which leave together.
    pub(super) async fn many(self: Arc<Self>, keys: Vec<String>) -> Result<Blobs, StoreError> {
        if self.connection.is_clustered() || !self.bulk.is_available() {
            return self.one_by_one(&keys).await;
        }
        let blobs = try_join_all(keys.chunks(MOST).map(|keys| self.at_once(keys))).await?;
        Ok(blobs.into_iter().flatten().collect())
    }

    async fn at_once(&self, keys: &[String]) -> Result<Blobs, StoreError> {
        let args = keys.iter().map(|key| Value::from(key.as_str())).collect();
        let first = keys.first().map(String::as_str);
        match self.bulk.command("MGET", first, args).await? {
            Value::Array(values) if values.len() == keys.len() => {
                values.into_iter().map(reply::blob).collect()
            }
            // fred unpacks what is alone.
            value if keys.len() == 1 => Ok(vec![reply::blob(value)?]),
            _ => Err(reply::nonsense()),
        }
    }

    async fn one_by_one(self: &Arc<Self>, keys: &[String]) -> Result<Blobs, StoreError> {
        let read = |key| {
            let ask = Ask { entry: Some(AskEntry { key, lease: None }), generations: None };
            Reading::of(self, ask).carry_out()
        };
        let told = try_join_all(keys.iter().map(|key| read(key))).await?;
        Ok(told.into_iter().map(|told| told.entry.and_then(|entry| entry.blob)).collect())
    }
}
