//! What several layers store answers in.

use tower_keep_cache::{Cache, CacheBuilder, Deferred, Flights};
use tower_keep_core::ConfigError;

use crate::{entry::Entry, turn::Flown};

/// One store of answers for several layers: what one of them stores answers what another is asked,
/// what one asks the upstream the others wait for, and what one flushes none of them serves.
///
/// ```
/// use tower_keep_ai_cache::{AiCacheLayer, AiStore, CacheBuilder};
///
/// let store = AiStore::new(CacheBuilder::new().memory().capacity(16 << 20));
/// let one = AiCacheLayer::builder().stored_in(&store).build()?;
/// let other = AiCacheLayer::builder().stored_in(&store).opt_in(true).build()?;
/// # let _ = (one, other);
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AiStore(Deferred<Open>);

/// A store that is there.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) cache: Cache<Entry>,
    pub(crate) flights: Flights<Flown>,
}

impl AiStore {
    /// A store that is made by `builder` when the first layer is built.
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
