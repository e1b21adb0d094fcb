//! What a proxy has counted.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Counted before anything is passed on: who has seen a byte arrive finds it counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: Counter,
    pub(super) closed: Counter,
    pub(super) from_client: Counter,
    pub(super) from_server: Counter,
    pub(super) client_writes: Counter,
    /// Why writes cannot be counted.
    pub(super) blind: OnceLock<String>,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
