//! What the layer asks of a store, in the layer's own terms.

use arrayvec::ArrayVec;
use tower_keep_core::{
    Answer, StoreError,
    key::{BlockKey, CounterKey},
};

use crate::algorithm::{Algorithm, Terms};

/// The most limits that one request can be checked against.
pub const MAX_LIMITS: usize = 8;

/// The most blocks that are looked at with them.
#[cfg(feature = "redis")]
pub(crate) const MAX_BLOCKS: usize = 2;

/// What a limit whose cost is above it has to wait: it will never fit.
pub const NEVER: u64 = crate::algorithm::NEVER;

/// One limit of a check.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// The counter.
    pub key: CounterKey<'a>,
    /// How it counts.
    pub algorithm: Algorithm,
    /// The most admitted per window. 0 denies every cost.
    pub quota: u64,
    /// The window's length in milliseconds; at least 1.
    pub window_ms: u64,
    /// For [`Algorithm::Gcra`], the most admitted at once; else without meaning.
    pub burst: u64,
    /// How long the counter is kept after its window opened, in milliseconds; at least as long as
    /// it counts.
    pub life_ms: u64,
    /// How much the request costs. 0 counts nothing and always fits.
    pub cost: u64,
    /// Watched only: it denies nothing, and counts what it would have admitted.
    pub shadow: bool,
    /// What is counted may be settled later, also to less.
    pub late: bool,
}

impl<'a> Limit<'a> {
    /// A fixed window that a request of cost 1 is checked against, and no longer kept than it
    /// counts.
    pub const fn new(key: CounterKey<'a>, quota: u64, window_ms: u64) -> Self {
        Self {
            key,
            algorithm: Algorithm::FixedWindow,
            quota,
            window_ms,
            burst: quota,
            life_ms: window_ms,
            cost: 1,
            shadow: false,
            late: false,
        }
    }

    #[inline]
    pub(crate) const fn terms(&self) -> Terms {
        let Self { algorithm, quota, window_ms, burst, .. } = *self;
        Terms::new(algorithm, quota, window_ms, burst)
    }
}

/// How a limit stands after a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How much more fits now.
    pub remaining: u64,
    /// How many milliseconds remain until there is nothing more to wait for: until the window
    /// ends, or for GCRA until a full burst may come again.
    pub resets_in_ms: u64,
    /// 0 when the cost fitted. Else how many milliseconds until it does, if nobody else is
    /// admitted before; [`NEVER`] for a cost above the limit.
    pub wait_ms: u64,
}

/// What a store decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request was admitted, and counted against every limit that it fitted. If not,
    /// it was counted against none.
    pub allowed: bool,
    /// For how many milliseconds more its caller is blocked; 0 if it is not. Whoever is blocked is
    /// denied.
    pub blocked_ms: u64,
    /// Whether this was known without asking. Then only the limits that deny stand as told.
    pub known: bool,
    /// When it was decided, by the store's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How each limit stands now, in the order asked.
    pub limits: ArrayVec<Standing, MAX_LIMITS>,
}

/// A correction of what was counted before its cost was known.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// What was counted against; its cost is without meaning here.
    pub limit: Limit<'a>,
    /// How much more, or less, it did cost.
    pub difference: i64,
    /// Which window it was counted in: [`Settlement::window`] of the verdict.
    pub window: u64,
}

impl Settlement<'_> {
    /// The window that a check was counted in: for windows the moment it began, for GCRA the
    /// moment of the check, in milliseconds since the Unix epoch.
    pub const fn window(limit: &Limit<'_>, standing: &Standing, at_ms: u64) -> u64 {
        match limit.algorithm {
            Algorithm::Gcra => at_ms,
            _ => at_ms.saturating_add(standing.resets_in_ms).saturating_sub(limit.window_ms),
        }
    }
}

/// Counts requests against limits.
///
/// The law that every store keeps:
/// 1. All limits of a check are decided in one atomic step: admitted and counted by all, or
///    denied and counted by none. A limit that is watched only neither denies nor is denied by:
///    it counts what is admitted and fits.
/// 2. A counter's window opens with the first request admitted into it, and ends `window_ms`
///    later, whatever happens to its key.
/// 3. A denial extends nothing.
/// 4. Time is the store's, not the caller's.
/// 5. A settlement changes nothing but the window that was counted in, and never below nothing. For
///    GCRA, which has none, what a request cost more is owed, beyond the burst too, for as long as
///    `life_ms`; what it cost less comes back within the time of a full burst.
///
/// A store must check. One that does not settle, reset or block refuses to.
pub trait LimitStore: Send + Sync + 'static {
    /// Checks one request against 1 to 8 limits, all of one tenant, each with its own key; and
    /// whether one of up to 2 blocks of that tenant holds.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed. The request may have been counted unless the class
    /// is `NotSent` or `Refused`.
    fn check(
        &self,
        limits: &[Limit<'_>],
        blocks: &[BlockKey<'_>],
    ) -> Answer<Result<Verdict, StoreError>>;

    /// Corrects up to 8 counters of one tenant. Goes on even if the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed.
    fn settle(&self, settlements: &[Settlement<'_>]) -> Answer<Result<(), StoreError>> {
        let _ = settlements;
        Answer::ready(Err(StoreError::refused("this store cannot settle late costs")))
    }

    /// Forgets up to 8 counters of one tenant, so that the full limit is there at once. Goes on even
    /// if the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed.
    fn reset(&self, keys: &[CounterKey<'_>]) -> Answer<Result<(), StoreError>> {
        let _ = keys;
        Answer::ready(Err(StoreError::refused("this store cannot reset counters")))
    }

    /// Blocks a caller for so many milliseconds; 0 ends its block. Goes on even if the answer is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed.
    fn block(&self, key: BlockKey<'_>, for_ms: u64) -> Answer<Result<(), StoreError>> {
        let _ = (key, for_ms);
        Answer::ready(Err(StoreError::refused("this store cannot block callers")))
    }
}
