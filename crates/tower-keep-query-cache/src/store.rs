//! What several handles keep values in.

use tower_keep_cache::{Cache, CacheBuilder, Deferred, Flights};
use tower_keep_core::ConfigError;

use crate::{keeper::Flown, kept::Kept};

/// One store of values for several caches: what one of them keeps the others find, what one loads
/// the others wait for, and what one invalidates none gives any more.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_query_cache::{CacheBuilder, QueryCache, QueryStore};
///
/// let store = QueryStore::new(CacheBuilder::new().memory().capacity(16 << 20));
/// let cache = QueryCache::builder().kept_in(&store).build()?;
/// let hasty = QueryCache::builder().kept_in(&store).patience(Duration::from_secs(1)).build()?;
/// # let _ = (cache, hasty);
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct QueryStore(Deferred<Open>);

/// A store that is there.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) cache: Cache<Kept>,
    pub(crate) flights: Flights<Flown>,
}

impl QueryStore {
    /// A store that is made by `builder` when the first cache is built.
    pub fn new(builder: CacheBuilder) -> Self {
        Self(Deferred::new(builder))
    }

    pub(crate) fn builder(&self) -> CacheBuilder {
        self.0.builder()
    }

    pub(crate) fn open(&self) -> Result<Open, ConfigError> {
        self.0.open(|builder| Ok(Open { cache: builder.build()?, flights: Flights::default() }))
    }
}
