//! What is stored, made invalid.

use std::{fmt, sync::Arc};

use tower_keep_cache::Purge;
use tower_keep_core::{StoreError, TenantId};

use crate::{
    entry::{ALL, tag},
    settings::Settings,
};

/// The answers that a layer has stored, to be flushed. Cheap to clone. A flush looks at no entry, so
/// that it takes the same time however many there are; what is on its way to be stored when it
/// begins counts as stored before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_keep_ai_cache::AiCacheLayer;
/// use tower_keep_core::TenantId;
///
/// let layer = AiCacheLayer::builder().memory().build()?;
/// let answers = layer.answers();
/// let acme = TenantId::new("acme")?;
/// answers.flush_model(&acme, "gpt-4o-mini").await?; // the model was changed
/// answers.flush(&acme).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CachedAnswers {
    pub(crate) settings: Arc<Settings>,
}

impl CachedAnswers {
    /// Makes all answers of a tenant invalid, of whatever model.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store could not be told; by its class, it may have been. It may be
    /// done again.
    pub async fn flush(&self, tenant: &TenantId) -> Result<(), StoreError> {
        self.settings.cache.purge(tenant, &Purge::tags([*ALL])).await
    }

    /// Makes a tenant's answers of one model invalid, by the name that requests call it by.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn flush_model(&self, tenant: &TenantId, model: &str) -> Result<(), StoreError> {
        self.settings.cache.purge(tenant, &Purge::tags([tag(model)])).await
    }
}

impl fmt::Debug for CachedAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedAnswers").finish_non_exhaustive()
    }
}
