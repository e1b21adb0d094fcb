//! Sessions in this process: bounded, expiring, no live one dropped for a newcomer.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tokio::{runtime::Handle, task::AbortHandle};
use tower_keep_core::{
    Answer, Revocation, Revoked, StoreError,
    key::{Holder, SessionKey},
    time::{Clock, UnixMillis},
};

use crate::{
    apply,
    id::{Origin, PublicId},
    record::{Data, Header, Record},
    revoked::{RevocationEvent, Revocations},
    store::{Bounds, How, Listed, Moved, Place, Save, Saved, SessionStore},
};

mod moved;
mod shard;
mod table;

use self::{
    moved::Movements,
    shard::{find, is_live, room_among},
    table::Table,
};

/// For how many milliseconds, and more, what the clock showed lately may be over.
const JUST_NOW: u64 = 100;

/// Sessions kept unless told otherwise.
const DEFAULT_CAPACITY: usize = 100_000;

/// Keeps sessions in this process, by the same law as the Redis store. They end with it.
///
/// A holder's sessions lie in one shard under one lock, so that each method is atomic. Sessions
/// that have ended are swept as others are made, and by a task that goes through all of them every
/// few seconds, and ends with the store. At the capacity nobody's session makes room for another
/// holder's: making one is refused, which the layer treats as a failed store.
///
/// ```
/// use tower_keep_session::MemoryStore;
///
/// let store = MemoryStore::new().with_capacity(10_000);
/// assert!(store.is_empty());
/// ```
pub struct MemoryStore {
    table: Arc<Table>,
    secret: (u64, u64),
    clock: Clock,
    capacity: usize,
    revocations: Revocations,
    moved: Movements,
    sweeper: Mutex<Option<AbortHandle>>,
}

impl MemoryStore {
    /// An empty store for up to 100,000 sessions.
    pub fn new() -> Self {
        let random = RandomState::new();
        Self {
            table: Arc::default(),
            // Holders may choose their names; a secret keeps them from choosing collisions.
            secret: (random.hash_one(0_u8), random.hash_one(1_u8)),
            clock: Clock::system(),
            capacity: DEFAULT_CAPACITY,
            revocations: Revocations::new(),
            moved: Movements::default(),
            sweeper: Mutex::default(),
        }
    }

    /// Keeps at most `sessions` sessions.
    #[must_use]
    pub fn with_capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How many sessions are kept now, of which some may have ended.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no session is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn holder(&self, key: &SessionKey<'_>) -> u128 {
        let (named, tenant) = key.tenant.name().map_or((0, ""), |name| (1, name));
        let (kind, holder) = match &key.holder {
            Holder::User(user) => (0, user.as_str().as_bytes()),
            Holder::Anonymous(id) => (2, &id[..]),
        };
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        // What it is, and where the one ends and the other begins: no two are written alike.
        hasher.write_u64(named | kind | ((tenant.len() as u64) << 2));
        hasher.write(tenant.as_bytes());
        hasher.write(holder);
        hasher.finish128().as_u128()
    }

    /// What `look` makes of the session, if it is there.
    fn with<T>(
        &self,
        place: Place<'_>,
        look: impl FnOnce(&mut Arc<Record>, UnixMillis) -> Option<T>,
    ) -> Option<T> {
        let (holder, now) = (self.holder(&place.key), self.clock.now());
        let mut shard = self.table.lock(holder);
        look(shard.live(holder, place.id, now)?, now)
    }

    fn use_it<T>(
        &self,
        place: Place<'_>,
        bounds: Bounds,
        tell: impl FnOnce(&Arc<Record>) -> T,
    ) -> Option<T> {
        self.with(place, |record, now| {
            let mut header = record.header;
            let there = apply::touch(&mut header, now, bounds);
            Arc::make_mut(record).header = header;
            there.then(|| tell(record))
        })
    }

    fn create(
        &self,
        save: &Save<'_>,
        origin: Origin,
        created: Option<UnixMillis>,
    ) -> Result<Saved, StoreError> {
        let Save { place, change, bounds, .. } = *save;
        let Some(idle_ms) = save.idle_ms else {
            return Err(StoreError::refused("a new session has no idle time"));
        };
        let (holder, now) = (self.holder(&place.key), self.clock.now());
        let mut shard = self.table.lock(holder);
        if shard.live(holder, place.id, now).is_some() {
            return Ok(Saved::Exists);
        }
        if save.expect.values().any(Option::is_some) {
            return Ok(Saved::Gone);
        }
        let idle_ms = idle_ms.min(apply::LAST);
        let made = created.map_or(now, |created| created.min(now));
        let mut header =
            Header { version: 1, created: made, expires: now, seen: now, idle_ms, origin };
        if !apply::touch(&mut header, now, bounds) && created.is_some() {
            return Ok(Saved::Gone);
        }
        if apply::size_after(&Data::new(), change) > bounds.bytes {
            return Ok(Saved::TooLarge);
        }
        self.table.forget(shard.drop_ended_of(holder, now));
        let evicted = match room_among(shard.of(holder), bounds.sessions) {
            Some(evicted) => {
                for id in &evicted {
                    shard.remove(holder, *id);
                }
                self.table.forget(evicted.len());
                self.table.count();
                evicted
            }
            None if self.table.reserve(&mut shard, self.capacity, now) => Vec::new(),
            None => return Err(StoreError::refused("the memory store is full of sessions")),
        };
        let mut data = Data::new();
        apply::change(&mut data, change);
        shard.put(holder, place.id, Arc::new(Record { header, data }));
        let swept = shard.sweep_in_turn(now);
        drop(shard);
        self.table.forget(swept);
        self.sweep_in_background();
        for id in evicted {
            self.tell(&place.key, Revoked::One(id.to_bytes()));
        }
        Ok(Saved::Done(header))
    }

    fn rewrite(&self, save: &Save<'_>, from: PublicId, anew: bool) -> Saved {
        let Save { place, change, bounds, .. } = *save;
        let (holder, now) = (self.holder(&place.key), self.clock.now());
        let mut shard = self.table.lock(holder);
        if from != place.id && shard.live(holder, place.id, now).is_some() {
            return Saved::Exists;
        }
        let Some(record) = shard.live(holder, from, now) else { return Saved::Gone };
        let mut header = record.header;
        header.version = header.version.saturating_add(1);
        header.idle_ms = save.idle_ms.map_or(header.idle_ms, |idle| idle.min(apply::LAST));
        if anew {
            header.created = now;
        }
        if !apply::touch(&mut header, now, bounds) {
            let removed = shard.remove(holder, from);
            self.table.forget(usize::from(removed.is_some()));
            return Saved::Gone;
        }
        if !apply::is_expected(&record.data, save.expect) {
            return Saved::Conflict(Arc::clone(record));
        }
        if apply::size_after(&record.data, change) > bounds.bytes {
            return Saved::TooLarge;
        }
        let changed = Arc::make_mut(record);
        changed.header = header;
        apply::change(&mut changed.data, change);
        if from != place.id {
            let replaced = shard.rename(holder, from, place.id);
            drop(shard);
            self.table.forget(replaced);
        }
        Saved::Done(header)
    }

    fn tell(&self, key: &SessionKey<'_>, which: Revoked) {
        self.revocations.tell(RevocationEvent::Ended(Revocation::new(&key.spell(), which)));
    }

    /// Begins to sweep, unless that goes on already or there is no runtime to do it.
    fn sweep_in_background(&self) {
        let mut sweeper = self.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends with the runtime that it runs on, which need not be the last.
        if sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            let sweep = || table::sweep(Arc::downgrade(&self.table), self.clock.clone());
            *sweeper = Handle::try_current().ok().map(|on| on.spawn(sweep()).abort_handle());
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        let sweeper = self.sweeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(sweeper) = sweeper {
            sweeper.abort();
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        let holder = self.holder(&place.key);
        let soon = UnixMillis(self.clock.lately().0.saturating_add(JUST_NOW));
        let mut shard = self.table.lock(holder);
        // The clock is asked only near the end of a session.
        let mut found = shard.live(holder, place.id, soon).cloned();
        if found.is_none() {
            found = shard.live(holder, place.id, self.clock.now()).cloned();
        }
        Answer::ready(Ok(found))
    }

    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        Answer::ready(Ok(self.use_it(place, bounds, Arc::clone)))
    }

    fn touch(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Header>, StoreError>> {
        Answer::ready(Ok(self.use_it(place, bounds, |record| record.header)))
    }

    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>> {
        Answer::ready(match save.how {
            How::Create(origin) => self.create(&save, origin, None),
            How::Continue { origin, created } => self.create(&save, origin, Some(created)),
            How::Write => Ok(self.rewrite(&save, save.place.id, false)),
            How::Rotate { from, anew } => Ok(self.rewrite(&save, from, anew)),
        })
    }

    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>> {
        let holder = self.holder(&place.key);
        let removed = self.table.lock(holder).remove(holder, place.id);
        self.table.forget(usize::from(removed.is_some()));
        let there = removed.is_some_and(|record| is_live(&record, self.clock.now()));
        if there {
            self.tell(&place.key, Revoked::One(place.id.to_bytes()));
        }
        Answer::ready(Ok(there))
    }

    fn move_away(
        &self,
        place: Place<'_>,
        version: Option<u64>,
    ) -> Answer<Result<Moved, StoreError>> {
        let (holder, now) = (self.holder(&place.key), self.clock.now());
        let moved = {
            let mut shard = self.table.lock(holder);
            match shard.live(holder, place.id, now) {
                None => Moved::Gone,
                Some(it) if version.is_some_and(|version| it.header.version != version) => {
                    Moved::Changed(Arc::clone(it))
                }
                Some(_) => {
                    shard.remove(holder, place.id);
                    self.moved.note(holder, place.id, now);
                    Moved::Done
                }
            }
        };
        if moved == Moved::Done {
            self.table.forget(1);
            self.tell(&place.key, Revoked::One(place.id.to_bytes()));
        }
        Answer::ready(Ok(moved))
    }

    fn has_moved(&self, place: Place<'_>, origin: Origin) -> Answer<Result<bool, StoreError>> {
        let (holder, now) = (self.holder(&place.key), self.clock.now());
        let goes_on = |(_, record): &(_, Arc<Record>)| record.header.goes_on(origin, now);
        let moved = self.moved.has(holder, place.id, now)
            || self.table.lock(holder).of(holder).iter().any(goes_on);
        Answer::ready(Ok(moved))
    }

    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>> {
        let holder = self.holder(&key);
        let removed = self.table.lock(holder).remove_all(holder);
        self.table.forget(removed.len());
        // Also where none is known: whoever still acts for one is to hear of it.
        self.tell(&key, Revoked::All);
        Answer::ready(Ok(()))
    }

    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>> {
        let (holder, now) = (self.holder(&but.key), self.clock.now());
        let mut shard = self.table.lock(holder);
        let mut removed = shard.remove_all(holder);
        if let Ok(place) = find(&removed, but.id) {
            let (id, record) = removed.remove(place);
            shard.put(holder, id, record);
        }
        drop(shard);
        self.table.forget(removed.len());
        let ended = removed.iter().filter(|(_, record)| is_live(record, now)).count();
        if ended > 0 {
            self.tell(&but.key, Revoked::AllBut(but.id.to_bytes()));
        }
        Answer::ready(Ok(u64::try_from(ended).unwrap_or(u64::MAX)))
    }

    fn list(&self, key: SessionKey<'_>) -> Answer<Result<Listed, StoreError>> {
        let (holder, now) = (self.holder(&key), self.clock.now());
        let mut sessions = self.table.lock(holder).of(holder).to_vec();
        sessions.retain(|(_, record)| is_live(record, now));
        sessions.sort_by_key(|(id, record)| (record.header.created, *id));
        Answer::ready(Ok(sessions))
    }

    fn revocations(&self) -> &Revocations {
        &self.revocations
    }
}

#[cfg(test)]
mod tests;
