//! Who is blocked, in this process.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many there can be. The program makes them, but it may do so for each caller that it finds
/// abusive; so of more the one that ends soonest is forgotten.
const MOST: usize = 100_000;

/// Blocked callers by fingerprint, each with the moment its block ends.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    known: Mutex<Known>,
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    ends: HashMap<u128, u64>,
    /// The same, the one that ends first before all others.
    by_end: BTreeSet<(u64, u128)>,
}

impl Known {
    fn insert(&mut self, caller: u128, end: u64) {
        self.remove(caller);
        self.ends.insert(caller, end);
        self.by_end.insert((end, caller));
    }

    fn remove(&mut self, caller: u128) {
        if let Some(end) = self.ends.remove(&caller) {
            self.by_end.remove(&(end, caller));
        }
    }

    /// Forgets those that have ended, and of more than `most` those that end soonest.
    fn drop_ended(&mut self, now: u64, most: usize) {
        while let Some(&(end, caller)) = self.by_end.first()
            && (end <= now || self.ends.len() > most)
        {
            self.remove(caller);
        }
    }
}

impl Blocks {
    /// Whether nobody is: known without a lock.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// For how many milliseconds after `now` this one still is; 0 if it is not.
    pub(super) fn left(&self, caller: u128, now: u64) -> u64 {
        let mut known = self.lock();
        if known.by_end.first().is_some_and(|(end, _)| *end <= now) {
            known.drop_ended(now, MOST);
            self.count.store(known.ends.len(), Ordering::Relaxed);
        }
        known.ends.get(&caller).map_or(0, |end| end.saturating_sub(now))
    }

    /// Blocks from `now` on for so many milliseconds; 0 ends a block.
    pub(super) fn set(&self, caller: u128, now: u64, for_ms: u64) {
        let mut known = self.lock();
        if for_ms == 0 {
            known.remove(caller);
        } else {
            known.insert(caller, now.saturating_add(for_ms));
        }
        known.drop_ended(now, MOST);
        self.count.store(known.ends.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_have_ended_cost_nothing_any_more() {
        let blocks = Blocks::default();
        blocks.set(1, 0, 100);
        blocks.set(2, 0, 50);
        assert_eq!((blocks.left(1, 50), blocks.left(2, 50)), (50, 0));
        assert_eq!(blocks.lock().ends.len(), 1);
        assert!(!blocks.is_empty());
        assert_eq!(blocks.left(3, 100), 0, "somebody else asks");
        assert!(blocks.is_empty());
        assert!(blocks.lock().by_end.is_empty());
    }

    #[test]
    fn a_block_that_is_replaced_ends_when_the_new_one_does() {
        let blocks = Blocks::default();
        for (for_ms, left_at_60) in [(50, 0), (100, 40), (70, 10), (0, 0), (90, 30)] {
            blocks.set(1, 0, for_ms);
            let known = blocks.lock();
            assert_eq!(known.by_end.len(), known.ends.len());
            drop(known);
            assert_eq!(blocks.left(1, 60), left_at_60, "{for_ms}");
        }
    }

    #[test]
    fn of_too_many_the_one_that_ends_soonest_goes() {
        let blocks = Blocks::default();
        for caller in 0..MOST as u128 {
            blocks.set(caller, 0, 1000 + u64::from(caller != 7));
        }
        assert_eq!(blocks.left(7, 0), 1000);
        blocks.set(u128::MAX, 0, 1002);
        assert_eq!((blocks.left(7, 0), blocks.left(u128::MAX, 0)), (0, 1002));
        assert_eq!(blocks.lock().ends.len(), MOST);
        blocks.set(u128::MAX - 1, 0, 1);
        assert_eq!(blocks.left(u128::MAX - 1, 0), 0, "a short one displaces nobody");
        assert_eq!(blocks.left(0, 0), 1001);
        assert_eq!(blocks.left(0, 1001), 0, "all at once");
        let known = blocks.lock();
        assert_eq!((known.ends.len(), known.by_end.len()), (1, 1));
    }
}
