//! What several users share of one cache.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tower_keep_core::ConfigError;

use crate::settings::CacheBuilder;

/// A [`CacheBuilder`], and what is made of it for the first who wants it. Clones share that.
///
/// ```
/// use tower_keep_cache::{CacheBuilder, Deferred};
///
/// let shared = Deferred::new(CacheBuilder::new().memory());
/// let mut made = 0;
/// for user in [shared.clone(), shared] {
///     let number = user.open(|_builder| { made += 1; Ok(made) })?;
///     assert_eq!(number, 1);
/// }
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
pub struct Deferred<T>(Arc<Inner<T>>);

struct Inner<T> {
    builder: CacheBuilder,
    made: OnceLock<T>,
}

impl<T> Deferred<T> {
    /// What will be made by `builder`.
    pub fn new(builder: CacheBuilder) -> Self {
        Self(Arc::new(Inner { builder, made: OnceLock::new() }))
    }

    /// What it is, or would be, made by.
    pub fn builder(&self) -> CacheBuilder {
        self.0.builder.clone()
    }
}

impl<T: Clone> Deferred<T> {
    /// What was made, or is made now.
    ///
    /// # Errors
    ///
    /// What `create` says. Then it is made for whoever wants it next.
    pub fn open(
        &self,
        create: impl FnOnce(CacheBuilder) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        if let Some(made) = self.0.made.get() {
            return Ok(made.clone());
        }
        let made = create(self.builder())?;
        // Another may have been faster.
        Ok(self.0.made.get_or_init(|| made).clone())
    }
}

impl<T> Clone for Deferred<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deferred").field(&self.0.builder).finish()
    }
}
