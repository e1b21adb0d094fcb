//! All shards, and how many sessions there are in them.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::yield_now, time::sleep};
use tower_keep_core::time::{Clock, UnixMillis};

use super::shard::Shard;

const SHARDS: usize = 64;
/// How often all sessions are looked at by the task.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often they are when the table is full, in milliseconds.
const LOOK_EVERY: u64 = 1000;

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    sessions: AtomicUsize,
    /// When all shards were last swept to make room.
    looked: AtomicU64,
}

impl Default for Table {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, sessions: AtomicUsize::new(0), looked: AtomicU64::new(0) }
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// The shard of this holder.
    pub(super) fn lock(&self, holder: u128) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(holder % SHARDS as u128).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "below the number of shards")]
        let shard = &self.shards[index];
        lock(shard)
    }

    /// One more session is there, for which there was room.
    pub(super) fn count(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// So many sessions are not there any more.
    pub(super) fn forget(&self, sessions: usize) {
        if sessions > 0 {
            self.sessions.fetch_sub(sessions, Ordering::Relaxed);
        }
    }

    /// Counts one more session, if there is room, or there is once those that have ended are
    /// dropped.
    pub(super) fn reserve(&self, shard: &mut Shard, capacity: usize, now: UnixMillis) -> bool {
        if self.fits(capacity) {
            return true;
        }
        self.forget(shard.sweep(now));
        if self.fits(capacity) {
            return true;
        }
        // Each shard costs time: a flood of newcomers must not buy it with every try.
        let looked = self.looked.load(Ordering::Relaxed);
        let is_due = now.0.abs_diff(looked) >= LOOK_EVERY;
        let set =
            || self.looked.compare_exchange(looked, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if !is_due || set().is_err() {
            return false;
        }
        // Without waiting for any: two newcomers must not wait for each other.
        for other in &self.shards {
            if let Ok(mut other) = other.try_lock() {
                self.forget(other.sweep(now));
            }
        }
        self.fits(capacity)
    }

    fn fits(&self, capacity: usize) -> bool {
        let more = |sessions: usize| (sessions < capacity).then(|| sessions + 1);
        self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// A panic elsewhere cannot leave a session half written.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sweeps again and again, whether or not anybody comes, until the table is gone.
pub(super) async fn sweep(table: Weak<Table>, clock: Clock) {
    loop {
        sleep(SWEEP_EVERY).await;
        for index in 0..SHARDS {
            let Some(table) = table.upgrade() else { return };
            if let Some(shard) = table.shards.get(index) {
                let swept = lock(shard).sweep(clock.now());
                table.forget(swept);
            }
            drop(table);
            yield_now().await;
        }
    }
}
