//! Who is blocked, in this process.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Blocked callers by fingerprint, each with the moment its block ends. They are made by the
/// program, never by callers, so nothing bounds them but their ends.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    known: Mutex<Known>,
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    ends: HashMap<u128, u64>,
    /// When the first of them ends.
    first: u64,
}

impl Known {
    /// Forgets those that have ended.
    fn drop_ended(&mut self, now: u64) {
        self.ends.retain(|_, end| *end > now);
        self.first = self.ends.values().copied().min().unwrap_or(u64::MAX);
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
        if known.first <= now && !known.ends.is_empty() {
            known.drop_ended(now);
            self.count.store(known.ends.len(), Ordering::Relaxed);
        }
        known.ends.get(&caller).map_or(0, |end| end.saturating_sub(now))
    }

    /// Blocks from `now` on for so many milliseconds; 0 ends a block.
    pub(super) fn set(&self, caller: u128, now: u64, for_ms: u64) {
        let mut known = self.lock();
        known.ends.remove(&caller);
        if for_ms > 0 {
            known.ends.insert(caller, now.saturating_add(for_ms));
        }
        known.drop_ended(now);
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
    }
}
