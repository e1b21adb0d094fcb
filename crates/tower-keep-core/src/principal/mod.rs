//! Who is asking. Written once at the door, read by every layer.

use std::sync::Arc;

use http::Extensions;

use crate::{TenantId, UserId};

mod extract;
mod layer;
mod service;
mod subdomain;

pub use self::{
    extract::{InvalidPrincipal, PrincipalExtractor},
    layer::{KnownTenants, PrincipalLayer, PrincipalLayerBuilder},
    service::{PrincipalFuture, SetPrincipal},
};

/// The tenant, and perhaps the user, that a request acts for. A cheap handle, kept in the
/// request's extensions by [`PrincipalLayer`].
///
/// ```
/// use tower_keep_core::{Principal, TenantId, UserId};
///
/// let principal = Principal::new(TenantId::new("acme")?).with_user(UserId::new("42")?);
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(principal);
/// let found = Principal::of(request.extensions()).unwrap();
/// assert_eq!(found.tenant().as_str(), "acme");
/// assert_eq!(found.user().unwrap().as_str(), "42");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Debug)]
pub struct Principal(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    tenant: TenantId,
    user: Option<UserId>,
}

impl Principal {
    /// Somebody of `tenant`; which user is not known.
    pub fn new(tenant: TenantId) -> Self {
        Self(Arc::new(Inner { tenant, user: None }))
    }

    /// The same, acting as `user`. Only for a user who has been verified.
    #[must_use]
    pub fn with_user(self, user: UserId) -> Self {
        let inner = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Inner { user: Some(user), ..inner }))
    }

    /// The principal of a request, if somebody told it.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Whose data it is.
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }

    /// Who acts, once verified.
    pub fn user(&self) -> Option<&UserId> {
        self.0.user.as_ref()
    }
}
