//! What the layer asks of a store, in the layer's own terms.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tower_keep_core::{Answer, StoreError, key::SessionKey, time::UnixMillis};

use crate::{
    id::{Origin, PublicId},
    record::{Data, Header, Record},
    revoked::Revocations,
};

/// How long it is known of a session that its client was given another one: as long as requests
/// may be under way that the client has sent before.
pub(crate) const MOVED_FOR: Duration = Duration::from_secs(60);

/// Where a session is kept: under its holder's key, by its public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its holder's.
    pub key: SessionKey<'a>,
    /// Its own.
    pub id: PublicId,
}

/// What is to become of a session's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// All that it held goes, before anything is set.
    pub cleared: bool,
    /// These are set.
    pub set: Data,
    /// These go. None of them is in `set`.
    pub removed: BTreeSet<Box<str>>,
}

/// How long sessions live and how much they may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long after it was made a session ends, however much it is used; `None` for never.
    pub absolute_ms: Option<u64>,
    /// How many sessions a holder has; one more takes the place of the one unused for longest.
    pub sessions: u32,
    /// How many bytes a session's names and values have together.
    pub bytes: u64,
}

/// How a session is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As a new one. Nothing may be there yet.
    Create(Origin),
    /// As a new one in place of another, of the same origin, that counts as made when that was, or
    /// now if that is yet to be. Nothing may be there yet.
    Continue {
        /// The origin of both.
        origin: Origin,
        /// When the other was made.
        created: UnixMillis,
    },
    /// By changing what is there.
    Write,
    /// By changing what is there and giving it its place's id instead of another, in one step.
    Rotate {
        /// The id that it had.
        from: PublicId,
        /// Whether it counts as made now: its user has logged in again.
        anew: bool,
    },
}

/// One session to be saved.
#[derive(Clone, Debug)]
pub struct Save<'a> {
    /// Where it is, or is to be.
    pub place: Place<'a>,
    /// New, changed or renamed.
    pub how: How,
    /// What is to become of its values.
    pub change: &'a Change,
    /// Only if these values are so: absent where there is `None`.
    pub expect: &'a BTreeMap<Box<str>, Option<Bytes>>,
    /// How long it may lie unused from now on, in milliseconds; as it was if `None`.
    pub idle_ms: Option<u64>,
    /// What holds of it.
    pub bounds: Bounds,
}

/// What came of saving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is as wanted.
    Done(Header),
    /// There is nothing to change any more, and nothing was made.
    Gone,
    /// An expected value is another one; so is the session now. Nothing was changed.
    Conflict(Arc<Record>),
    /// It would hold too much. Nothing was changed.
    TooLarge,
    /// There is one where a new one was to be. Nothing was changed.
    Exists,
}

/// What came of moving away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It has ended.
    Done,
    /// It was not there.
    Gone,
    /// Somebody has written to it: so it is now. Nothing was changed.
    Changed(Arc<Record>),
}

/// A holder's sessions, each by its public id.
pub type Listed = Vec<(PublicId, Arc<Record>)>;

/// Keeps sessions.
///
/// # The law
///
/// 1. What a session holds is changed by name: two changes of different names both hold, whatever
///    each knew of the other. Each method is one atomic step, and on a server one command.
/// 2. A session that has ended is not there: its time is over, or it was removed. Nothing brings it
///    back but [`How::Create`] and [`How::Continue`] with a new id. What cannot be decoded is not there either.
/// 3. Saving and touching say that it is used: it then ends after its idle time from now, but not
///    later than the bounds' absolute limit after it was made. By rotation it is used too.
/// 4. A key lives as long as the latest of its sessions, and no longer than the store knows of one.
/// 5. Creating one more session than the bounds allow takes away first those that have ended, then
///    those unused for longest.
/// 6. Whoever listens at [`revocations`](Self::revocations) is told of sessions that are removed,
///    and of those that make room. A session that was rotated goes on: of that nobody is told.
pub trait SessionStore: Send + Sync + 'static {
    /// The session, if it is there. Says nothing about its being used.
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>>;

    /// The session, if it is there; it is used.
    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>>;

    /// The session is used, if it is there.
    fn touch(&self, place: Place<'_>, bounds: Bounds)
    -> Answer<Result<Option<Header>, StoreError>>;

    /// Makes, changes or renames a session.
    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>>;

    /// Ends one session. Whether it was there.
    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>>;

    /// Ends one session because its client has another one now; only if it is still of this
    /// `version`, where one is given. For a minute the store knows that it has
    /// [moved](Self::has_moved), if it can.
    fn move_away(
        &self,
        place: Place<'_>,
        version: Option<u64>,
    ) -> Answer<Result<Moved, StoreError>> {
        let _ = version;
        let removed = self.remove(place);
        Answer::pending(async move { Ok(if removed.await? { Moved::Done } else { Moved::Gone }) })
    }

    /// Whether the client of a session that is not there was given another one within the last
    /// minute: it was [moved away](Self::move_away), or it goes on under another id of its holder,
    /// and was used within that time. `origin` is the session's.
    ///
    /// A store that says no where it should say yes lets late answers take away new cookies.
    fn has_moved(&self, place: Place<'_>, origin: Origin) -> Answer<Result<bool, StoreError>> {
        let _ = (place, origin);
        Answer::ready(Ok(false))
    }

    /// Ends all sessions of a holder.
    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>>;

    /// Ends all sessions of a holder but this one. How many there were.
    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>>;

    /// All sessions of a holder that have not ended, in the order they were made.
    fn list(&self, key: SessionKey<'_>) -> Answer<Result<Listed, StoreError>>;

    /// Who is told of sessions that are removed.
    fn revocations(&self) -> &Revocations;
}
