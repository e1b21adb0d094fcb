//! Sessions whose clients were given another one a moment ago.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tower_keep_core::time::UnixMillis;

use crate::{id::PublicId, store::MOVED_FOR};

/// How many are known; of more, those that moved first are forgotten.
const MOST: usize = 4096;

/// Each by its holder's fingerprint and its id, and until when it is known; in the order they moved.
#[derive(Debug, Default)]
pub(super) struct Movements(Mutex<VecDeque<(UnixMillis, u128, PublicId)>>);

impl Movements {
    /// This one has moved now.
    pub(super) fn note(&self, holder: u128, id: PublicId, now: UnixMillis) {
        let mut moved = self.lock();
        while moved.len() >= MOST || moved.front().is_some_and(|(until, ..)| *until <= now) {
            moved.pop_front();
        }
        moved.push_back((now.plus(MOVED_FOR), holder, id));
    }

    /// Whether this one has.
    pub(super) fn has(&self, holder: u128, id: PublicId, now: UnixMillis) -> bool {
        let is_it = |(until, of, found): &(UnixMillis, u128, PublicId)| {
            (*of, *found) == (holder, id) && *until > now
        };
        self.lock().iter().rev().any(is_it)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(UnixMillis, u128, PublicId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_known_for_a_while_and_are_no_more_than_can_be() {
        let (moved, id) = (Movements::default(), PublicId::from_bytes([7; 16]));
        moved.note(1, id, UnixMillis(1000));
        assert!(moved.has(1, id, UnixMillis(60_999)));
        assert!(!moved.has(1, id, UnixMillis(61_000)));
        assert!(!moved.has(2, id, UnixMillis(1000)));
        assert!(!moved.has(1, PublicId::from_bytes([8; 16]), UnixMillis(1000)));
        for holder in 0..10_000 {
            moved.note(holder, id, UnixMillis(2000));
        }
        assert_eq!(moved.lock().len(), MOST);
        assert!(!moved.has(1, id, UnixMillis(2000)) && moved.has(9999, id, UnixMillis(2000)));
        moved.note(1, id, UnixMillis(62_000));
        assert_eq!(moved.lock().len(), 1);
    }
}
