//! How long sessions live: decided from a token and the time, without asking a store.

use std::time::Duration;

use tower_keep_core::{
    ConfigError,
    time::{UnixMillis, millis},
};

use crate::{error::SessionError, token::Token};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// As long as a browser keeps a cookie at most (RFC 6265bis).
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

/// When a session counts as used, so that its idle time begins anew. Whatever is chosen, the
/// store is told at most once per interval, and writing to a session is always use of it.
///
/// ```
/// use tower_keep_session::Touch;
///
/// assert_eq!(Touch::default(), Touch::OnAccess);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Touch {
    /// When a handler reads or writes it.
    #[default]
    OnAccess,
    /// With every request that brings its token, whether anybody looks at it or not.
    OnRequest,
    /// Only by writing to it: reading does not make it live longer.
    Never,
}

/// How long sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    /// How long a user's session may lie unused.
    pub(crate) idle: Duration,
    /// How long an anonymous one may; as long as a user's unless told.
    pub(crate) anonymous: Option<Duration>,
    /// How long after its beginning a session ends, however much it is used.
    pub(crate) absolute: Absolute,
    /// How long a user's session that is to be remembered may lie unused.
    pub(crate) remember: Duration,
    /// How often a store is told at most that a session is used.
    pub(crate) touch_every: Duration,
    /// When a session counts as used.
    pub(crate) touch: Touch,
}

/// The limit that no use of a session can pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Absolute {
    /// Nobody has said: seven days, or the idle time where that is longer.
    #[default]
    Usual,
    /// There is none.
    Never,
    /// This; for a session that may lie unused for longer, as one that is remembered may, it is
    /// that time.
    After(Duration),
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            idle: DAY,
            anonymous: None,
            absolute: Absolute::Usual,
            remember: 30 * DAY,
            touch_every: Duration::from_secs(300),
            touch: Touch::OnAccess,
        }
    }
}

impl Lifetimes {
    /// Notes what cannot be.
    pub(crate) fn validate(&self, error: &mut ConfigError) {
        let absolute = match self.absolute {
            Absolute::After(absolute) => Some(absolute),
            Absolute::Usual | Absolute::Never => None,
        };
        for (name, told) in [
            ("ttl", Some(self.idle)),
            ("anonymous_ttl", self.anonymous),
            ("absolute_ttl", absolute),
            ("remember_ttl", Some(self.remember)),
            ("touch_every", Some(self.touch_every)),
        ] {
            if let Some(told) = told.filter(|told| !(SECOND..=LONGEST).contains(told)) {
                error.push(name, format!("{told:?} is not from 1 second to 400 days"));
            }
        }
        let Some(absolute) = absolute else { return };
        for (name, idle) in [("ttl", Some(self.idle)), ("anonymous_ttl", self.anonymous)] {
            if let Some(idle) = idle.filter(|idle| *idle > absolute) {
                error.push(
                    "absolute_ttl",
                    format!("{absolute:?} is shorter than `{name}`, which is {idle:?}"),
                );
            }
        }
    }

    /// How long a session may lie unused, in whole seconds. `own` is what was asked for it alone:
    /// it is held between a second and the absolute limit.
    ///
    /// Only users are remembered, and never for less than `idle`.
    pub(crate) fn idle_for(&self, user: bool, remember: bool, own: Option<Duration>) -> Duration {
        let usual = match (user, remember) {
            (true, true) => self.remember.max(self.idle),
            (true, false) => self.idle,
            (false, _) => self.anonymous.unwrap_or(self.idle),
        };
        let idle = match own {
            Some(own) => own.min(self.absolute_for(usual).unwrap_or(LONGEST)),
            None => usual,
        };
        Duration::from_secs(idle.as_secs().max(1))
    }

    /// How long after its beginning a session ends that may lie unused for `idle`. A session that
    /// is remembered ends later than the others do: nothing else would be remembering.
    pub(crate) fn absolute_for(&self, idle: Duration) -> Option<Duration> {
        match self.absolute {
            Absolute::Usual => Some(idle.max(7 * DAY)),
            Absolute::Never => None,
            Absolute::After(limit) => Some(idle.max(limit)),
        }
    }

    /// Whether the token is so old that a client who uses the session is to be given a new one. One
    /// that a clock far ahead of this one has made is as good as old: it would be young for too long.
    pub(crate) fn is_stale(&self, token: &Token, now: UnixMillis) -> bool {
        now.0.abs_diff(token.touched.0) >= self.interval(token.idle)
    }

    /// Whether the store is to be told that the session is used, if this is use of it: see
    /// [`Touch`].
    pub(crate) fn touch_due(&self, token: &Token, now: UnixMillis) -> bool {
        self.touch != Touch::Never && self.is_stale(token, now)
    }

    /// Whether the session has certainly ended. The store may have been told of use up to an
    /// interval later than the token was.
    pub(crate) fn is_over(&self, token: &Token, now: UnixMillis) -> bool {
        let idle = millis(token.idle);
        unused(token, now) > idle.saturating_add(self.interval(token.idle))
    }

    /// Whether so much of its time has passed since the token was made that the client must have a new
    /// one soon, or is taken for one whose session has ended.
    pub(crate) fn is_urgent(token: &Token, now: UnixMillis) -> bool {
        unused(token, now) >= millis(token.idle) / 2
    }

    /// How long the client keeps a cookie that it is given now, in whole seconds and never past
    /// the absolute limit; `None` to forget it when it ends its own session.
    pub(crate) fn max_age(
        transient: bool,
        idle: Duration,
        absolute_deadline: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Option<Duration> {
        let left = absolute_deadline.map(|end| Duration::from_millis(end.0.saturating_sub(now.0)));
        let age = left.map_or(idle, |left| idle.min(left)).as_secs();
        (!transient).then(|| Duration::from_secs(age))
    }

    /// How old a token becomes before it is made anew, in milliseconds: short against the idle
    /// time, since a session may end by so much too early or too late.
    fn interval(&self, idle: Duration) -> u64 {
        millis(self.touch_every.min(idle / 4))
    }
}

/// A life that a program asks for one session, in whole seconds.
pub(crate) fn check_life(life: Duration) -> Result<Duration, SessionError> {
    let fits = (SECOND..=LONGEST).contains(&life);
    if fits { Ok(Duration::from_secs(life.as_secs())) } else { Err(SessionError::InvalidLife) }
}

/// How long ago the token was made, in milliseconds; no time, if that is yet to be.
fn unused(token: &Token, now: UnixMillis) -> u64 {
    now.0.saturating_sub(token.touched.0)
}

#[cfg(test)]
mod tests;
