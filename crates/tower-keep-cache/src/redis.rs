//! Entries and generations in Redis.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tower_keep_core::{
    Answer, StoreError,
    key::{BUS, BUS_CACHES, GenerationsKey},
};
use tower_keep_redis::{Bus, Command, Connection, ConnectionState, Script, fred::types::Value};

use crate::{
    found::Place,
    generation::MAX_MARKS,
    settings::CacheBuilder,
    stamp::{Stamp, Tag},
    store::{Ask, GENERATIONS_TTL, Listener, PurgeStep, SharedStore, Told},
};

mod hear;
mod large;
mod many;
mod read;
mod reply;

use self::{hear::Ears, large::Large, read::Reading};

/// What the scripts of generations share, then the one that uses it.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("generations.lua"), "\n", include_str!($file)))
    };
}

static EPOCH: Script = script!("epoch.lua");
static PURGE: Script = script!("purge.lua");
static REMOVE: Script = Script::new(include_str!("remove.lua"));
static CLAIM: Script = Script::new(include_str!("claim.lua"));
static RELEASE: Script = Script::new(include_str!("release.lua"));
static RENEW: Script = Script::new(include_str!("renew.lua"));

/// The longest blob that is read or written beside everybody else's commands: for a longer one they
/// would wait too long.
const SHORT: usize = 65_536;

/// Keeps a cache in Redis, for all processes that use the same one.
///
/// An entry is a string under its key; a tenant's generations are a hash under
/// [`GenerationsKey::spell`]. What is short goes by the shared connection, what is long by
/// [`Connection::bulk`].
#[doc(hidden)]
pub struct RedisStore {
    wire: Arc<Wire>,
    bus: Option<Bus>,
    ears: Ears,
}

/// The way to the server.
struct Wire {
    connection: Connection,
    bulk: Connection,
    large: Large,
}

impl Wire {
    /// The connection for what is large, or what is not. Until the one for large values is there at
    /// all, which is moments after the start, the other one does.
    fn way(&self, large: bool) -> &Connection {
        if large && self.bulk.state() != ConnectionState::Connecting {
            &self.bulk
        } else {
            &self.connection
        }
    }
}

impl CacheBuilder {
    /// Keeps entries in Redis, through a connection that others may share, and near copies of them
    /// in this process while `bus` is live. Without one there are none, and other processes notice
    /// a purge within a second.
    pub fn redis(self, connection: &Connection, bus: Option<&Bus>) -> Self {
        self.shared(Arc::new(RedisStore::new(connection, bus)))
    }
}

impl RedisStore {
    /// Keeps it through this connection, and tells and hears of changes on the bus.
    pub fn new(connection: &Connection, bus: Option<&Bus>) -> Self {
        let wire = Wire {
            connection: connection.clone(),
            // Asked for early: it takes a moment to connect.
            bulk: connection.bulk(),
            large: Large::new(),
        };
        Self { wire: Arc::new(wire), bus: bus.cloned(), ears: Ears::new() }
    }

    /// For a script to publish; empty if there is nothing to publish it with.
    fn message(&self, payload: &[u8]) -> Bytes {
        let message = |bus: &Bus| bus.message(BUS_CACHES, payload);
        self.bus.as_ref().and_then(message).unwrap_or_default()
    }

    fn run(
        &self,
        script: &'static Script,
        key: &str,
        arguments: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        self.wire.connection.run_script(script, vec![key.to_owned()], arguments)
    }
}

impl SharedStore for RedisStore {
    fn read(&self, ask: Ask<'_>) -> Answer<Result<Told, StoreError>> {
        let reading = Reading::of(&self.wire, ask);
        Answer::pending(reading.carry_out())
    }

    fn read_many(&self, keys: &[String]) -> Answer<Result<Vec<Option<Bytes>>, StoreError>> {
        Answer::pending(Arc::clone(&self.wire).many(keys.to_vec()))
    }

    fn write(&self, key: &str, blob: Bytes, ttl: Duration) -> Answer<Result<(), StoreError>> {
        let large = blob.len() > SHORT;
        // Whoever reads it next does not have to find out.
        self.wire.large.note(key, large);
        let args = vec![
            Value::from(key),
            Value::Bytes(blob),
            Value::from_static_str("PX"),
            Value::Integer(millis(ttl)),
        ];
        let reply = self.wire.way(large).command("SET", Some(key), args);
        Answer::pending(async move { reply.await.map(drop) })
    }

    fn remove(&self, key: &str, message: Vec<u8>) -> Answer<Result<(), StoreError>> {
        let message = self.message(&message);
        if message.is_empty() {
            let reply = self.wire.connection.command("DEL", Some(key), vec![Value::from(key)]);
            return Answer::pending(async move { reply.await.map(drop) });
        }
        let reply = self.run(&REMOVE, key, vec![channel(), Value::Bytes(message)]);
        Answer::pending(async move { reply.await.map(drop) })
    }

    fn claim(
        &self,
        key: &str,
        place: &Place,
        lease: Bytes,
        lasting: Duration,
    ) -> Answer<Result<bool, StoreError>> {
        let beginning = Value::Bytes(place.beginning());
        let arguments = vec![Value::Bytes(lease), Value::Integer(millis(lasting)), beginning];
        let reply = self.run(&CLAIM, key, arguments);
        Answer::pending(async move { Ok(reply.await? == Value::Integer(1)) })
    }

    fn release(&self, key: &str, lease: Bytes) -> Answer<Result<(), StoreError>> {
        let reply = self.run(&RELEASE, key, vec![Value::Bytes(lease)]);
        Answer::pending(async move { reply.await.map(drop) })
    }

    fn renew(&self, key: &str, lease: Bytes, lasting: Duration) -> Answer<Result<(), StoreError>> {
        let arguments = vec![Value::Bytes(lease), Value::Integer(millis(lasting))];
        let reply = self.run(&RENEW, key, arguments);
        Answer::pending(async move { reply.await.map(drop) })
    }

    fn purge(&self, step: PurgeStep<'_>) -> Answer<Result<Stamp, StoreError>> {
        let key = GenerationsKey { tenant: step.tenant }.spell();
        let tags: Vec<u8> =
            step.tags.unwrap_or_default().iter().copied().flat_map(Tag::to_bytes).collect();
        let mut arguments = match fresh() {
            Ok(fresh) => fresh.to_vec(),
            Err(error) => return Answer::ready(Err(error)),
        };
        arguments.extend([
            Value::from_static_str(if step.soft { "s" } else { "h" }),
            Value::from_static_str(if step.tags.is_some() { "t" } else { "a" }),
            Value::Bytes(tags.into()),
            Value::Integer(i64::try_from(MAX_MARKS).unwrap_or(i64::MAX)),
            channel(),
            Value::Bytes(self.message(&step.message)),
        ]);
        let reply = self.run(&PURGE, &key, arguments);
        Answer::pending(async move { reply::stamp(reply.await?) })
    }

    fn is_live(&self) -> bool {
        self.bus.as_ref().is_some_and(|bus| self.ears.hear(bus))
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        if let Some(bus) = &self.bus {
            self.ears.tell(bus, listener);
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("bus", &self.bus).finish_non_exhaustive()
    }
}

/// What generations are made with if there are none: an epoch that was never before, and for how
/// long they live.
fn fresh() -> Result<[Value; 2], StoreError> {
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch)
        .map_err(|_| StoreError::not_sent("the system gives no random bytes"))?;
    let epoch = Bytes::copy_from_slice(&epoch);
    Ok([Value::Bytes(epoch), Value::Integer(millis(GENERATIONS_TTL))])
}

fn channel() -> Value {
    Value::from_static_str(BUS)
}

/// No less than the server takes.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}
