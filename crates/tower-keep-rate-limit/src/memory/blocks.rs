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
    ends: Mutex<HashMap<u128, u64>>,
    count: AtomicUsize,
}

impl Blocks {
    /// Whether nobody is: known without a lock.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// For how many milliseconds after `now` this one still is; 0 if it is not.
    pub(super) fn left(&self, caller: u128, now: u64) -> u64 {
        self.lock().get(&caller).map_or(0, |end| end.saturating_sub(now))
    }

    /// Blocks from `now` on for so many milliseconds; 0 ends a block.
    pub(super) fn set(&self, caller: u128, now: u64, for_ms: u64) {
        let mut ends = self.lock();
        ends.retain(|_, end| *end > now);
        ends.remove(&caller);
        if for_ms > 0 {
            ends.insert(caller, now.saturating_add(for_ms));
        }
        self.count.store(ends.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, u64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
