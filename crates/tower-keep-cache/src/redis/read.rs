//! Reading an entry, a tenant's generations, or both, in as few round trips as can be.

use std::sync::Arc;

use futures_util::future::{join, try_join};
use tower_keep_core::{ErrorClass, StoreError, key::GenerationsKey};

use super::{Command, EPOCH, SHORT, Value, Wire, fresh, millis, reply};
use crate::{
    stamp::Stamp,
    store::{Ask, AskLease, Told, ToldEntry, ToldGenerations},
};

type Reply = Result<Value, StoreError>;

/// What is to be read.
pub(super) struct Reading {
    wire: Arc<Wire>,
    entry: Option<Entry>,
    generations: Option<Generations>,
}

struct Entry {
    key: String,
    lease: Option<AskLease>,
    /// It is known to be long.
    large: bool,
}

struct Generations {
    key: String,
    known: Option<Stamp>,
}

impl Reading {
    pub(super) fn of(wire: &Arc<Wire>, ask: Ask<'_>) -> Self {
        let entry = ask.entry.map(|entry| Entry {
            key: entry.key.to_owned(),
            lease: entry.lease,
            large: wire.large.has(entry.key),
        });
        let generations = ask.generations.map(|ask| Generations {
            key: GenerationsKey { tenant: ask.tenant }.spell(),
            known: ask.known,
        });
        Self { wire: Arc::clone(wire), entry, generations }
    }

    pub(super) async fn carry_out(self) -> Result<Told, StoreError> {
        let Self { wire, entry, generations } = &self;
        match (entry, generations) {
            // What is asked for nearly always has a small future, and all else one of its own.
            (Some(entry), None) => {
                let reply = wire.send(entry.large, entry.command()).await;
                let entry = wire.entry(entry, reply).await?;
                Ok(Told { entry: Some(entry), generations: None })
            }
            (Some(entry), Some(generations)) => Box::pin(wire.both(entry, generations)).await,
            (None, Some(generations)) => {
                let reply = wire.send(false, generations.command()).await;
                let generations = Box::pin(wire.generations(generations, reply)).await?;
                Ok(Told { entry: None, generations: Some(generations) })
            }
            (None, None) => Ok(Told::default()),
        }
    }
}

impl Entry {
    fn command(&self) -> Command<'_> {
        match &self.lease {
            Some(lease) => {
                let args = [
                    Value::Bytes(lease.blob.clone()),
                    Value::from_static_str("PX"),
                    Value::Integer(millis(lease.lasting)),
                    Value::from_static_str("NX"),
                    Value::from_static_str("GET"),
                ];
                command("SET", &self.key, args)
            }
            None => self.plain(self.large),
        }
    }

    /// Without a lease.
    fn plain(&self, whole: bool) -> Command<'_> {
        if whole {
            return command("GET", &self.key, []);
        }
        let last = i64::try_from(SHORT - 1).unwrap_or(i64::MAX);
        command("GETRANGE", &self.key, [Value::Integer(0), Value::Integer(last)])
    }
}

impl Generations {
    fn command(&self) -> Command<'_> {
        match self.known {
            Some(_) => {
                let fields = ["epoch", "v"].map(Value::from_static_str);
                command("HMGET", &self.key, fields)
            }
            None => command("HGETALL", &self.key, []),
        }
    }
}

impl Wire {
    fn send(
        &self,
        large: bool,
        command: Command<'_>,
    ) -> impl Future<Output = Reply> + Send + use<> {
        self.way(large).command(command.name, command.key, command.args)
    }

    /// An entry and its tenant's generations.
    async fn both(&self, entry: &Entry, generations: &Generations) -> Result<Told, StoreError> {
        let (first, second) = (entry.command(), generations.command());
        let (first, second) = if entry.large {
            // Each on its own connection, at the same time.
            join(self.send(true, first), self.send(false, second)).await
        } else {
            // The entry first: what was purged since it was read is known to be.
            self.connection.both(first, second).await
        };
        // Rarely is there anything left to ask.
        let (entry, generations) =
            try_join(self.entry(entry, first), self.generations(generations, second)).await?;
        Ok(Told { entry: Some(entry), generations: Some(generations) })
    }

    /// What the reply says of an entry.
    async fn entry(&self, entry: &Entry, reply: Reply) -> Result<ToldEntry, StoreError> {
        let leasing = entry.lease.is_some();
        match reply {
            Ok(Value::Null) => {
                self.large.note(&entry.key, false);
                Ok(ToldEntry { blob: None, leased: leasing })
            }
            Ok(reply) => self.blob(entry, reply, leasing || entry.large).await,
            Err(error) if is_of_another_type(&error) => Ok(ToldEntry::default()),
            Err(error) if leasing && error.class() == ErrorClass::Refused => {
                // Full, or a replica, or too old for it: reading may do all the same.
                match Box::pin(self.send(entry.large, entry.plain(entry.large))).await {
                    Ok(reply) => self.blob(entry, reply, entry.large).await,
                    Err(error) if is_of_another_type(&error) => Ok(ToldEntry::default()),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What there is, and the rest of it if only its beginning was asked for.
    async fn blob(
        &self,
        entry: &Entry,
        reply: Value,
        whole: bool,
    ) -> Result<ToldEntry, StoreError> {
        let mut blob = reply::blob(reply)?;
        if !whole && blob.as_ref().is_some_and(|blob| blob.len() >= SHORT) {
            blob = match Box::pin(self.send(true, entry.plain(true))).await {
                Ok(reply) => reply::blob(reply)?,
                Err(error) if is_of_another_type(&error) => None,
                Err(error) => return Err(error),
            };
        }
        let large = blob.as_ref().is_some_and(|blob| blob.len() >= SHORT);
        if large != entry.large {
            self.large.note(&entry.key, large);
        }
        Ok(ToldEntry { blob, leased: false })
    }

    /// What the reply says of a tenant's generations.
    async fn generations(
        &self,
        asked: &Generations,
        reply: Reply,
    ) -> Result<ToldGenerations, StoreError> {
        let mut all = match reply {
            Err(error) if is_of_another_type(&error) => None,
            Err(error) => return Err(error),
            Ok(reply) => match asked.known {
                None => reply::generations(reply),
                Some(known) => match reply::head(&reply) {
                    Some(stamp) if stamp == known => return Ok(ToldGenerations::Unchanged),
                    Some(_) => {
                        let all = self.send(false, command("HGETALL", &asked.key, [])).await?;
                        reply::generations(all)
                    }
                    None => None,
                },
            },
        };
        if all.is_none() {
            let made =
                self.connection.run_script(&EPOCH, vec![asked.key.clone()], fresh()?.to_vec());
            all = reply::generations(made.await?);
        }
        all.map(ToldGenerations::Whole).ok_or_else(reply::nonsense)
    }
}

fn command<'a>(
    name: &'static str,
    key: &'a str,
    rest: impl IntoIterator<Item = Value>,
) -> Command<'a> {
    let args = std::iter::once(Value::from(key)).chain(rest).collect();
    Command { name, key: Some(key), args }
}

/// What another program keeps under the same key is nothing of ours.
fn is_of_another_type(error: &StoreError) -> bool {
    error.class() == ErrorClass::Refused && error.message().starts_with("WRONGTYPE")
}
