//! What a caller gets.

use std::{error::Error, fmt, ops::Deref, sync::Arc};

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// This process had it.
    Near,
    /// The store that processes share had it.
    Store,
    /// The caller's own loader brought it.
    Loaded,
    /// Another caller's loader brought it, for all who waited.
    Shared,
    /// It was kept, and its time is over: it is being loaded anew, or could not be.
    Stale,
}

impl Source {
    /// It as a short word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Store => "store",
            Self::Loaded => "loaded",
            Self::Shared => "shared",
            Self::Stale => "stale",
        }
    }

    /// Whether it was kept, and nobody loaded it for this caller.
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Near | Self::Store | Self::Stale)
    }
}

/// A value, and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched<T> {
    /// The value, shared with all who have it.
    pub value: Arc<T>,
    /// Where it came from.
    pub source: Source,
}

/// A value that there may be none of, and where the knowledge came from.
#[derive(Debug, PartialEq, Eq)]
pub struct Sought<T> {
    /// The value, if there is one.
    pub value: Option<Arc<T>>,
    /// Where it, or the knowledge that there is none, came from.
    pub source: Source,
}

impl<T> Clone for Fetched<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), source: self.source }
    }
}

impl<T> Clone for Sought<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), source: self.source }
    }
}

impl<T> Deref for Fetched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Why there is no answer.
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader has failed. All who waited for it get the same error.
    Loader(Arc<E>),
    /// The store is down, or another's loader does not come to an end; and so many load by themselves
    /// already that no turn came in time.
    Busy,
}

impl<E> LoadError<E> {
    /// The loader's error, if it was that.
    pub fn loader(&self) -> Option<&E> {
        match self {
            Self::Loader(error) => Some(error),
            Self::Busy => None,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Busy => Self::Busy,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => f.debug_tuple("Loader").field(error).finish(),
            Self::Busy => f.write_str("Busy"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => error.fmt(f),
            Self::Busy => f.write_str("too many load by themselves already"),
        }
    }
}

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Loader(error) => error.source(),
            Self::Busy => None,
        }
    }
}
