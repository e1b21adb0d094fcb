//! What this process knows of one tenant's generations, and how well.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use tower_keep_core::time::UnixMillis;

use crate::{
    generation::Generations,
    stamp::{Stamp, Tag},
    store::ToldGenerations,
};

/// How old a copy may be and still be relied on, in milliseconds.
const TRUSTED: u64 = 1000;

/// From what age on it is read anew beside its use.
const AGEING: u64 = TRUSTED / 2;

/// A copy of a tenant's generations. It is at least as new as whoever vouches for it says.
///
/// Moments are [ticks](super::Copies::tick): what is read counts from before it was asked for, so
/// an answer that was overtaken by a message is not taken for newer than that.
pub(crate) struct Copy {
    current: ArcSwap<Generations>,
    /// Whether `current` is what a store has told, and no makeshift.
    known: AtomicBool,
    /// The moment from before which `current` may not be wrong; 0 for never.
    vouched: AtomicU64,
    /// The same by the clock.
    vouched_at: AtomicU64,
    /// The last moment at which it was found to be wrong.
    doubted: AtomicU64,
    /// The moment at which `current` became a makeshift last.
    makeshift: AtomicU64,
    /// It was forgotten: there may be another by now.
    retired: AtomicBool,
    /// Somebody is reading them anew.
    refreshing: AtomicBool,
    changing: Mutex<()>,
}

/// A purge as it was carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purged<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) tags: Option<&'a [Tag]>,
    pub(crate) soft: bool,
}

impl Copy {
    /// Of generations that nobody but this process has.
    pub(crate) fn own() -> Self {
        Self::with(Generations::new(new_epoch()), true)
    }

    /// Of generations that are still to be read.
    pub(crate) fn unknown() -> Self {
        Self::with(Generations::new(0), false)
    }

    fn with(generations: Generations, known: bool) -> Self {
        Self {
            current: ArcSwap::from_pointee(generations),
            known: AtomicBool::new(known),
            vouched: AtomicU64::new(0),
            vouched_at: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
            makeshift: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
            changing: Mutex::new(()),
        }
    }

    /// The generations as they are known.
    pub(crate) fn current(&self) -> Arc<Generations> {
        self.current.load_full()
    }

    /// What a store need not tell again.
    pub(crate) fn known(&self) -> Option<Stamp> {
        let _changing = self.lock();
        self.known.load(Ordering::SeqCst).then(|| self.current.load().stamp())
    }

    /// How long ago it was right for sure, in milliseconds, if it may be relied on although the last
    /// gap was at that moment.
    pub(crate) fn age(&self, now: UnixMillis, last_gap: u64) -> Option<u64> {
        let vouched = self.vouched.load(Ordering::SeqCst);
        let doubted = self.doubted.load(Ordering::SeqCst).max(last_gap);
        let age = now.0.saturating_sub(self.vouched_at.load(Ordering::SeqCst));
        (vouched > doubted && age <= TRUSTED).then_some(age)
    }

    /// Whether one of that age is to be read anew.
    pub(crate) const fn is_ageing(age: u64) -> bool {
        age >= AGEING
    }

    /// What was known before this moment may be wrong.
    pub(crate) fn doubt(&self, tick: u64) {
        self.doubted.fetch_max(tick, Ordering::SeqCst);
    }

    /// It is not to be relied on any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Whether the caller is the one to read it anew; [`refreshed`](Self::refreshed) is to follow.
    pub(crate) fn begin_refresh(&self) -> bool {
        !self.refreshing.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn refreshed(&self) {
        self.refreshing.store(false, Ordering::SeqCst);
    }

    /// Takes over what was read. The reading began at this moment, and knew what is in `asked`.
    pub(crate) fn install(
        &self,
        told: ToldGenerations,
        asked: Option<Stamp>,
        tick: u64,
        now: UnixMillis,
    ) {
        let _changing = self.lock();
        let current = self.current.load();
        let known = self.known.load(Ordering::SeqCst);
        match told {
            // What was asked about may be another life by now.
            ToldGenerations::Unchanged => {
                if !known || asked.is_none_or(|asked| asked.epoch != current.epoch) {
                    return;
                }
            }
            ToldGenerations::Whole(whole) if whole.epoch == current.epoch => {
                // What messages have told since is not undone.
                let newer =
                    whole.version > current.version || (!known && whole.version == current.version);
                if newer {
                    self.set(whole);
                } else if !known {
                    return;
                }
            }
            ToldGenerations::Whole(whole) => {
                // Of two lives the one that was seen later goes on.
                let seen = self.vouched.load(Ordering::SeqCst);
                if tick < seen.max(self.makeshift.load(Ordering::SeqCst)) {
                    return;
                }
                self.set(whole);
            }
        }
        if tick > self.vouched.load(Ordering::SeqCst) {
            self.vouched_at.store(now.0, Ordering::SeqCst);
            self.vouched.store(tick, Ordering::SeqCst);
        }
    }

    /// Somebody has purged, and this was heard at this moment.
    pub(crate) fn hear(&self, purged: Purged<'_>, tick: u64) {
        let _changing = self.lock();
        let current = self.current.load();
        let Stamp { epoch, version } = purged.stamp;
        let same = self.known.load(Ordering::SeqCst) && current.epoch == epoch;
        if same && version == current.version + 1 {
            self.current.store(Arc::new(current.purged(purged.tags, purged.soft)));
        } else if !same || version > current.version {
            // Also what is being read may be from before it.
            self.doubt(tick);
        }
    }

    /// This process has purged. What was purged is so from now on, whatever else is known.
    pub(crate) fn purged(&self, purged: Purged<'_>, tick: u64) {
        let _changing = self.lock();
        let current = self.current.load();
        let Stamp { epoch, version } = purged.stamp;
        let same = self.known.load(Ordering::SeqCst) && current.epoch == epoch;
        if same && version <= current.version {
            return;
        }
        if same && version == current.version + 1 {
            self.current.store(Arc::new(current.purged(purged.tags, purged.soft)));
            return;
        }
        // What came before it is still to be read: until then nothing older is used.
        let makeshift = Generations { version, floor: version, ..Generations::new(epoch) };
        self.current.store(Arc::new(makeshift));
        self.known.store(false, Ordering::SeqCst);
        self.makeshift.store(tick, Ordering::SeqCst);
        self.doubt(tick);
    }

    /// Purges what nobody but this process has. False if it was forgotten meanwhile: then another
    /// one is to be purged.
    pub(crate) fn purge_own(&self, tags: Option<&[Tag]>, soft: bool) -> bool {
        let _changing = self.lock();
        let current = self.current.load();
        self.current.store(Arc::new(current.purged(tags, soft)));
        !self.is_retired()
    }

    fn set(&self, generations: Generations) {
        self.current.store(Arc::new(generations));
        self.known.store(true, Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name for a new life of a tenant's generations.
fn new_epoch() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};

    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // It need not be secret, only another one each time.
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}
