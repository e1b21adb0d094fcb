//! Entries that were removed a moment ago: near copies of them are not used, nor kept if they were
//! read before.

use std::{
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hashbrown::HashMap;
use tower_keep_core::time::UnixMillis;

/// How many are known one by one. When there are more, all near copies from before go.
const MOST: usize = 4096;

/// What was removed, for as long as near copies may last.
#[derive(Debug)]
pub(crate) struct Removed {
    lasting: Duration,
    /// Whether there is anything to look for: mostly there is not.
    any: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When it was removed, by the tick and by the clock.
    entries: HashMap<[u8; 16], (u64, UnixMillis), std::hash::RandomState>,
    /// What is from before this tick counts as removed.
    all: u64,
}

impl Removed {
    /// For near copies that are used for so long.
    pub(crate) fn new(lasting: Duration) -> Self {
        Self { lasting, any: AtomicBool::new(false), known: RwLock::default() }
    }

    /// The entry was removed at this moment.
    pub(crate) fn note(&self, hash: [u8; 16], tick: u64, now: UnixMillis) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(true, Ordering::SeqCst);
        if known.entries.len() >= MOST {
            known.entries.retain(|_, (_, at)| at.plus(self.lasting) >= now);
        }
        if known.entries.len() >= MOST {
            known.entries.clear();
            known.all = tick;
        }
        let (noted, at) = known.entries.entry(hash).or_insert((tick, now));
        *noted = tick.max(*noted);
        *at = now;
    }

    /// Whether what was known of an entry at this moment has been removed since.
    #[inline]
    pub(crate) fn since(&self, hash: &[u8; 16], tick: u64) -> bool {
        self.any.load(Ordering::SeqCst) && self.look(hash, tick)
    }

    fn look(&self, hash: &[u8; 16], tick: u64) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        tick < known.all || known.entries.get(hash).is_some_and(|(removed, _)| tick < *removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_from_before_was_removed_and_what_is_newer_was_not() {
        let removed = Removed::new(Duration::from_secs(5));
        assert!(!removed.since(&[1; 16], 1));
        removed.note([1; 16], 5, UnixMillis(0));
        assert!(removed.since(&[1; 16], 4) && !removed.since(&[1; 16], 6));
        assert!(!removed.since(&[2; 16], 4));
        removed.note([1; 16], 3, UnixMillis(0));
        assert!(removed.since(&[1; 16], 4), "an older one undoes nothing");
    }

    #[test]
    fn when_there_are_too_many_all_from_before_counts_as_removed() {
        let removed = Removed::new(Duration::from_secs(5));
        let hash = |n: usize| (n as u128).to_be_bytes();
        for n in 0..MOST {
            removed.note(hash(n), 10, UnixMillis(0));
        }
        removed.note(hash(MOST), 20, UnixMillis(5000));
        assert!(removed.since(&[0xff; 16], 19) && removed.since(&hash(3), 9));
        assert!(!removed.since(&hash(3), 21) && removed.since(&hash(MOST), 19));
        assert_eq!(removed.known.read().unwrap().entries.len(), 1);
    }

    #[test]
    fn what_no_near_copy_is_left_of_makes_room() {
        let removed = Removed::new(Duration::from_secs(5));
        for n in 0..MOST {
            removed.note((n as u128).to_be_bytes(), 10, UnixMillis(0));
        }
        removed.note([0xff; 16], 20, UnixMillis(5001));
        let known = removed.known.read().unwrap();
        assert_eq!((known.entries.len(), known.all), (1, 0));
    }
}
