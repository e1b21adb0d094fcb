//! How much recordings may hold together.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A bound on the bytes that all recordings hold together that are [within](super::Recording::within)
/// it. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Room>);

struct Room {
    most: u64,
    held: AtomicU64,
}

/// What one recording holds, given back when it is dropped.
pub(super) struct Held {
    room: Arc<Room>,
    bytes: u64,
    /// What of that was taken.
    used: u64,
}

impl Budget {
    /// So many bytes in all.
    pub fn new(most: u64) -> Self {
        Self(Arc::new(Room { most, held: AtomicU64::new(0) }))
    }

    /// The bytes that are held now.
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(super) fn hold(&self) -> Held {
        Held { room: Arc::clone(&self.0), bytes: 0, used: 0 }
    }
}

impl Held {
    /// Takes more; `false` if there is no room for that.
    pub(super) fn take(&mut self, more: u64) -> bool {
        let used = self.used.saturating_add(more);
        let taken = self.reserve(used);
        if taken {
            self.used = used;
        }
        taken
    }

    /// Has room for so much in all, whatever others take; `false` if there is none.
    pub(super) fn reserve(&mut self, all: u64) -> bool {
        let more = all.saturating_sub(self.bytes);
        let fits = |held: u64| held.checked_add(more).filter(|all| *all <= self.room.most);
        let taken = self.room.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("most", &self.0.most).field("held", &self.held()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.hold(), budget.clone().hold());
        assert!(one.take(6) && other.take(4) && !one.take(1) && one.take(0));
        assert_eq!(budget.held(), 10);
        drop(one);
        assert_eq!(budget.held(), 4);
        assert!(!other.take(u64::MAX) && other.take(6));
        drop(other);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_reserved_is_there_when_it_is_taken() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        assert!(one.take(2) && one.reserve(6) && !other.reserve(5) && other.take(4));
        assert!(one.take(4) && !one.take(1) && !other.take(1));
        assert_eq!(budget.held(), 10);
        drop(one);
        assert_eq!(budget.held(), 4);
    }
}
