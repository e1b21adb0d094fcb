//! The arithmetic of limits: pure, time passed in. Each algorithm has a twin in Lua beside it.

pub(crate) mod fixed_window;
pub(crate) mod gcra;
pub(crate) mod sliding_window;
mod state;

pub(crate) use self::state::{Reading, State};

/// Never: what a cost over the limit has to wait, in milliseconds.
pub(crate) const NEVER: u64 = u64::MAX;

/// The largest count, as a double holds it exactly (2^53 - 1).
pub(crate) const MAX_COUNT: u64 = 9_007_199_254_740_991;

/// How a rule counts.
///
/// | | over any window, at most | right after a reset | |
/// |---|---|---|---|
/// | fixed window | twice the limit, around a reset | the whole limit | the default; cheapest |
/// | sliding window | less than twice the limit, never over it at once | what has slid out | |
/// | GCRA | less than twice the limit, never over the burst at once | nothing resets | even flow |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A window opens with a group's first request and ends one window later, when the full limit
    /// is there again at once.
    #[default]
    FixedWindow,
    /// As above, but what was counted in the window before still counts by the share of it that
    /// lies within the last window's length, rounded up.
    SlidingWindow,
    /// The generic cell rate algorithm (ITU-T I.371), also known as token bucket: the limit comes
    /// back evenly, one request every `window / limit`, rounded up to whole microseconds, and as
    /// many as the burst may come at once.
    Gcra,
}

/// What a limit grants, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) algorithm: Algorithm,
    /// The most in one window; for GCRA the most at once.
    pub(crate) quota: u64,
    /// The window in milliseconds; for GCRA the interval between two requests in microseconds.
    pub(crate) window: u64,
}

impl Terms {
    /// What a limit of `quota` in `window_ms`, and for GCRA `burst` at once, comes to.
    #[inline]
    pub(crate) const fn new(algorithm: Algorithm, quota: u64, window_ms: u64, burst: u64) -> Self {
        match algorithm {
            Algorithm::Gcra => {
                // Without a rate there is nothing to come back.
                let quota_at_once = if quota == 0 { 0 } else { burst };
                Self { algorithm, quota: quota_at_once, window: gcra::interval(quota, window_ms) }
            }
            _ => Self { algorithm, quota, window: window_ms },
        }
    }
}
