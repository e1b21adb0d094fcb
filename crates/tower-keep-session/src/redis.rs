//! Sessions in Redis: a hash for each holder, each method one command.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::runtime::Handle;
use tower_keep_core::{
    Answer, ConfigError, Revoked, StoreError,
    key::{BUS, SessionKey},
    time::{Clock, millis},
};
use tower_keep_redis::{Bus, Connection, Script, fred::types::Value};

use crate::{
    announce::{Announcement, Announcer},
    apply::LAST,
    codec,
    id::{Origin, PublicId},
    layer::SessionLayerBuilder,
    record::{Data, Header, Record},
    revoked::Revocations,
    store::{Bounds, How, Listed, MOVED_FOR, Moved, Place, Save, Saved, SessionStore},
};

mod reply;

use self::reply::Ended;

/// What the scripts share, then the one that uses it.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("common.lua"), "\n", include_str!($file)))
    };
}

static SAVE: Script = script!("save.lua");
static TOUCH: Script = script!("touch.lua");
static REMOVE: Script = script!("remove.lua");

/// Keeps sessions in Redis, so that all processes that use the same Redis have the same sessions,
/// and they survive restarts of all of these.
///
/// A holder's sessions are a hash under [`SessionKey::spell`], with a field for each by its public
/// id. A key always has an expiry, that of the last of its sessions to end. What is saved or
/// removed is seen through in a task of its own: its answer may be dropped.
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    clock: Clock,
    revocations: Revocations,
    announcer: Option<Arc<Announcer>>,
}

impl RedisStore {
    /// Keeps them through `connection`.
    pub fn new(connection: Connection) -> Self {
        let (clock, revocations) = (Clock::system(), Revocations::new());
        Self { connection, clock, revocations, announcer: None }
    }

    /// Tells all processes of sessions that are removed, and listens to what others tell, on `bus`.
    /// The script that removes a session also says so: that costs no command. Where the bus is not
    /// live, others hear of it late, or not at all.
    ///
    /// # Errors
    ///
    /// When no tokio runtime is running here.
    pub fn announce_on(mut self, bus: &Bus) -> Result<Self, ConfigError> {
        self.announcer = Some(Announcer::beside(bus, &self.revocations)?);
        Ok(self)
    }

    /// Judges by `clock` whether a session that was loaded has ended. Everything else is by the
    /// server's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn run(
        &self,
        script: &'static Script,
        key: &SessionKey<'_>,
        arguments: Vec<Value>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        self.connection.run_script(script, vec![key.spell()], arguments)
    }

    fn command(
        &self,
        name: &'static str,
        key: &SessionKey<'_>,
        field: Option<PublicId>,
    ) -> impl Future<Output = Result<Value, StoreError>> + Send + use<> {
        let key = key.spell();
        let mut arguments = vec![Value::from(key.as_str())];
        arguments.extend(field.map(text));
        let reply = self.connection.command(name, Some(&key), arguments);
        async move {
            match reply.await {
                // A key of somebody else's holds no session.
                Err(error) if error.message().starts_with("WRONGTYPE") => Ok(Value::Null),
                reply => reply,
            }
        }
    }

    fn touch(
        &self,
        place: &Place<'_>,
        bounds: Bounds,
        whole: bool,
    ) -> Answer<Result<Option<Bytes>, StoreError>> {
        let absolute = bounds.absolute_ms.map_or_else(empty, number);
        let arguments = vec![text(place.id), absolute, Value::Integer(whole.into())];
        let reply = self.run(&TOUCH, &place.key, arguments);
        Answer::pending(async move { reply::bytes(reply.await?) })
    }

    fn announcement(&self, key: &SessionKey<'_>, which: Revoked) -> Announcement {
        Announcement::new(key, which, self.announcer.clone(), &self.revocations)
    }

    /// Ends sessions, and says how many.
    fn end(&self, key: &SessionKey<'_>, which: Revoked) -> Answer<Result<u64, StoreError>> {
        let (letter, field) = match which {
            Revoked::All => ("a", empty()),
            Revoked::One(id) => ("o", text(PublicId::from_bytes(id))),
            Revoked::AllBut(id) => ("b", text(PublicId::from_bytes(id))),
        };
        let end = self.removal(key, which, letter, field, empty());
        Answer::pending(async move {
            match end.await? {
                Ended::These(ended) => Ok(ended),
                Ended::Changed(_) => Err(reply::nonsense()),
            }
        })
    }

    /// Ends sessions, and tells of it.
    fn removal(
        &self,
        key: &SessionKey<'_>,
        which: Revoked,
        letter: &'static str,
        field: Value,
        version: Value,
    ) -> Answer<Result<Ended, StoreError>> {
        let announcement = self.announcement(key, which);
        let letter = Value::from_static_str(letter);
        let message = Value::Bytes(announcement.message());
        let known = number(millis(MOVED_FOR));
        let arguments = vec![letter, field, Value::from_static_str(BUS), message, known, version];
        let reply = self.run(&REMOVE, key, arguments);
        see_through(async move {
            let reply = reply.await.and_then(reply::removed);
            match &reply {
                // That all have ended is told also where none was known: whoever still acts for one
                // is to hear of it.
                Ok((Ended::These(ended), published)) if *ended > 0 || which == Revoked::All => {
                    announcement.ended(which, *published);
                }
                Ok(_) => {}
                Err(error) => announcement.failed(error),
            }
            reply.map(|(ended, _)| ended)
        })
    }
}

impl SessionLayerBuilder {
    /// Keeps sessions in Redis, through a connection that other layers may share. Processes on one
    /// Redis with the same [`secrets`](Self::secrets) share their sessions.
    pub fn redis(self, connection: &Connection) -> Self {
        self.store(Arc::new(RedisStore::new(connection.clone())))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl SessionStore for RedisStore {
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        let reply = self.command("HGET", &place.key, Some(place.id));
        let clock = self.clock.clone();
        Answer::pending(async move {
            let record = reply::bytes(reply.await?)?.and_then(|bytes| reply::record(&bytes));
            Ok(record.filter(|record| record.header.expires > clock.now()))
        })
    }

    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        let reply = Self::touch(self, &place, bounds, true);
        Answer::pending(async move { Ok(reply.await?.and_then(|bytes| reply::record(&bytes))) })
    }

    fn touch(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Header>, StoreError>> {
        let reply = Self::touch(self, &place, bounds, false);
        Answer::pending(async move { reply.await?.map(|bytes| reply::header(&bytes)).transpose() })
    }

    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>> {
        let bytes = Bytes::copy_from_slice;
        let anew = |anew: bool| Value::Integer(anew.into());
        let (how, origin, made) = match save.how {
            How::Create(_) | How::Continue { .. } if save.idle_ms.is_none() => {
                return Answer::ready(Err(StoreError::refused("a new session has no idle time")));
            }
            How::Create(origin) => (empty(), bytes(&origin.0), empty()),
            // As it stands in the header.
            How::Continue { origin, created } => {
                (empty(), bytes(&origin.0), Value::Bytes(bytes(&created.0.to_be_bytes())))
            }
            How::Write => (text(save.place.id), Bytes::new(), anew(false)),
            How::Rotate { from, anew: login } => (text(from), Bytes::new(), anew(login)),
        };
        let absent = save.expect.iter().filter(|(_, value)| value.is_none());
        let absent: Vec<&str> = absent.map(|(name, _)| &**name).collect();
        let present = save.expect.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let expected: Data = present.map(|(name, value)| (name.clone(), value.clone())).collect();
        // Which are removed is known to the script, which puts it at the end.
        let announcement = self.announcement(&save.place.key, Revoked::One([0; 16]));
        let Save { place, change, bounds, .. } = save;
        let arguments = vec![
            text(place.id),
            how,
            Value::Bytes(origin),
            save.idle_ms.map_or_else(empty, number),
            bounds.absolute_ms.map_or_else(empty, number),
            made,
            Value::Integer(bounds.sessions.into()),
            number(bounds.bytes),
            Value::Integer(change.cleared.into()),
            Value::Bytes(codec::map(&change.set)),
            Value::Bytes(codec::names(change.removed.iter().map(|name| &**name))),
            Value::Bytes(codec::map(&expected)),
            Value::Bytes(codec::names(absent.into_iter())),
            Value::from_static_str(BUS),
            Value::Bytes(announcement.message()),
        ];
        let reply = self.run(&SAVE, &place.key, arguments);
        see_through(async move {
            let reply = reply.await.and_then(reply::saved);
            match &reply {
                Ok((_, removed)) => {
                    for id in &removed.ids {
                        announcement.ended(Revoked::One(*id), removed.published);
                    }
                }
                Err(error) => announcement.failed(error),
            }
            reply.map(|(saved, _)| saved)
        })
    }

    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>> {
        let end = self.end(&place.key, Revoked::One(place.id.to_bytes()));
        Answer::pending(async move { Ok(end.await? > 0) })
    }

    fn move_away(
        &self,
        place: Place<'_>,
        version: Option<u64>,
    ) -> Answer<Result<Moved, StoreError>> {
        // As it stands in the header: a script cannot count so far.
        let version = version.map_or_else(empty, |version| {
            Value::Bytes(Bytes::copy_from_slice(&version.to_be_bytes()))
        });
        let which = Revoked::One(place.id.to_bytes());
        let end = self.removal(&place.key, which, "m", text(place.id), version);
        Answer::pending(async move {
            Ok(match end.await? {
                Ended::These(0) => Moved::Gone,
                Ended::These(_) => Moved::Done,
                Ended::Changed(record) => Moved::Changed(record),
            })
        })
    }

    fn has_moved(&self, place: Place<'_>, origin: Origin) -> Answer<Result<bool, StoreError>> {
        let reply = self.command("HGETALL", &place.key, None);
        let (id, clock) = (place.id, self.clock.clone());
        Answer::pending(async move { reply::has_moved(reply.await?, id, origin, clock.now()) })
    }

    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>> {
        let end = self.end(&key, Revoked::All);
        Answer::pending(async move { end.await.map(drop) })
    }

    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>> {
        self.end(&but.key, Revoked::AllBut(but.id.to_bytes()))
    }

    fn list(&self, key: SessionKey<'_>) -> Answer<Result<Listed, StoreError>> {
        let reply = self.command("HGETALL", &key, None);
        let clock = self.clock.clone();
        Answer::pending(async move {
            let mut sessions = reply::sessions(reply.await?)?;
            let now = clock.now();
            sessions.retain(|(_, record)| record.header.expires > now);
            sessions.sort_by_key(|(id, record)| (record.header.created, *id));
            Ok(sessions)
        })
    }

    fn revocations(&self) -> &Revocations {
        &self.revocations
    }
}

/// Carries out in a task of its own what nobody may wait for to the end.
fn see_through<T: Send + 'static>(
    writing: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Answer<Result<T, StoreError>> {
    // Outside a runtime, which is the end of the program, there is only the caller to do it.
    let Ok(runtime) = Handle::try_current() else { return Answer::pending(writing) };
    let task = runtime.spawn(writing);
    let lost = |_| StoreError::unknown("the task that writes a session has ended");
    Answer::pending(async move { task.await.map_err(lost).and_then(|result| result) })
}

fn empty() -> Value {
    Value::from_static_str("")
}

fn text(id: PublicId) -> Value {
    Value::from(id.to_string())
}

/// A number that the script can count with.
fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number.min(LAST)).unwrap_or(i64::MAX))
}
