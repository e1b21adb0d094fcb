//! Whether something may be created: asked by who creates, answered by who limits.

use std::time::Duration;

use crate::{Answer, ClientAddr, StoreError, TenantId};

/// Decides whether a client may create something that is kept, a session say. A limiter is one.
pub trait Admission: Send + Sync + 'static {
    /// Whether a client at this address may, now. If so, it is counted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the limiter cannot tell.
    fn admit(
        &self,
        tenant: &TenantId,
        address: Option<ClientAddr>,
    ) -> Answer<Result<Admitted, StoreError>>;
}

/// What an [`Admission`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It may.
    Yes,
    /// It may not, but perhaps later.
    No {
        /// Waiting that long is enough.
        retry_after: Duration,
    },
}
