//! Some holders and their sessions.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use tower_keep_core::time::UnixMillis;

use crate::{id::PublicId, record::Record};

/// A shard is not swept more often than after so many new sessions.
const SWEEP_EVERY: usize = 64;

/// A holder's sessions, by id.
pub(super) type Sessions = Vec<(PublicId, Arc<Record>)>;

/// Holders by fingerprint. Each has at least one session.
#[derive(Debug, Default)]
pub(super) struct Shard {
    holders: HashMap<u128, Sessions, BuildHasherDefault<Half>>,
    sessions: usize,
    /// Made since the last time it was swept.
    made: usize,
}

/// Fingerprints are hashes already, and half of a good hash is a good hash.
#[derive(Debug, Default)]
struct Half(u64);

impl Hasher for Half {
    fn write(&mut self, bytes: &[u8]) {
        // Never asked: a fingerprint is one number.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = (fingerprint >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) fn is_live(record: &Record, now: UnixMillis) -> bool {
    record.header.expires > now
}

/// Where the session is, or would be.
pub(super) fn find(sessions: &[(PublicId, Arc<Record>)], id: PublicId) -> Result<usize, usize> {
    sessions.binary_search_by_key(&id, |(id, _)| *id)
}

/// Who has to go so that one more has room, least used first; `None` if there is room.
pub(super) fn room_among(sessions: &[(PublicId, Arc<Record>)], most: u32) -> Option<Vec<PublicId>> {
    let kept = usize::try_from(most.max(1)).unwrap_or(usize::MAX) - 1;
    let excess = sessions.len().checked_sub(kept).filter(|excess| *excess > 0)?;
    let mut by_use: Vec<_> = sessions
        .iter()
        .map(|(id, record)| (record.header.seen, record.header.created, *id))
        .collect();
    by_use.sort_unstable();
    Some(by_use.into_iter().take(excess).map(|(_, _, id)| id).collect())
}

impl Shard {
    /// The session, if it is there.
    pub(super) fn live(
        &mut self,
        holder: u128,
        id: PublicId,
        now: UnixMillis,
    ) -> Option<&mut Arc<Record>> {
        let sessions = self.holders.get_mut(&holder)?;
        let place = find(sessions, id).ok()?;
        let (_, record) = sessions.get_mut(place)?;
        is_live(record, now).then_some(record)
    }

    /// All of a holder's, also those that have ended.
    pub(super) fn of(&self, holder: u128) -> &[(PublicId, Arc<Record>)] {
        self.holders.get(&holder).map_or(&[], Vec::as_slice)
    }

    pub(super) fn put(&mut self, holder: u128, id: PublicId, record: Arc<Record>) {
        let sessions = self.holders.entry(holder).or_default();
        let (Ok(place) | Err(place)) = find(sessions, id);
        sessions.insert(place, (id, record));
        self.sessions += 1;
        self.made += 1;
    }

    pub(super) fn remove(&mut self, holder: u128, id: PublicId) -> Option<Arc<Record>> {
        let sessions = self.holders.get_mut(&holder)?;
        let place = find(sessions, id).ok()?;
        let (_, record) = sessions.remove(place);
        self.sessions -= 1;
        if sessions.is_empty() {
            self.holders.remove(&holder);
        }
        Some(record)
    }

    pub(super) fn remove_all(&mut self, holder: u128) -> Sessions {
        let sessions = self.holders.remove(&holder).unwrap_or_default();
        self.sessions -= sessions.len();
        sessions
    }

    /// Gives a session another id. How many were dropped for it: one that had ended may have had
    /// that id.
    pub(super) fn rename(&mut self, holder: u128, from: PublicId, to: PublicId) -> usize {
        let replaced = self.remove(holder, to);
        if let Some(record) = self.remove(holder, from) {
            self.put(holder, to, record);
        }
        usize::from(replaced.is_some())
    }

    /// Drops a holder's sessions that have ended, and says how many.
    pub(super) fn drop_ended_of(&mut self, holder: u128, now: UnixMillis) -> usize {
        let Some(sessions) = self.holders.get_mut(&holder) else { return 0 };
        let before = sessions.len();
        sessions.retain(|(_, record)| is_live(record, now));
        let dropped = before - sessions.len();
        self.sessions -= dropped;
        if sessions.is_empty() {
            self.holders.remove(&holder);
        }
        dropped
    }

    /// Drops all that have ended, and says how many.
    pub(super) fn sweep(&mut self, now: UnixMillis) -> usize {
        let before = self.sessions;
        let mut left = 0;
        self.holders.retain(|_, sessions| {
            sessions.retain(|(_, record)| is_live(record, now));
            left += sessions.len();
            !sessions.is_empty()
        });
        (self.sessions, self.made) = (left, 0);
        // Memory that a flood has taken is given back.
        if self.holders.capacity() > 1024 && self.holders.capacity() / 8 > self.holders.len() {
            self.holders.shrink_to_fit();
        }
        before - left
    }

    /// The same if so many were made that it costs each of them little.
    pub(super) fn sweep_in_turn(&mut self, now: UnixMillis) -> usize {
        let is_due = self.made >= SWEEP_EVERY.max(self.sessions / 4);
        if is_due { self.sweep(now) } else { 0 }
    }
}
