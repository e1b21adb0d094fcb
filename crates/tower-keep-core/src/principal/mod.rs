//! Who is asking. Written once at the door, read by every layer.

use std::{fmt, sync::Arc};

use http::Extensions;

use crate::{StoreError, TenantId, UserId};

mod extract;
mod layer;
mod service;
mod subdomain;
mod verify;

pub use self::{
    extract::{InvalidPrincipal, PrincipalExtractor},
    layer::{KnownTenants, PrincipalLayer, PrincipalLayerBuilder},
    service::{PrincipalFuture, SetPrincipal},
    verify::VerifyUser,
};

/// The tenant, and perhaps the user, that a request acts for. A cheap handle, kept in the
/// request's extensions by [`PrincipalLayer`].
///
/// Who the user is may be said in two ways: by whoever made the principal
/// ([`with_user`](Self::with_user)), or by the request's session, which adds itself when there is
/// one. A session's user is *claimed* at first: its token was made here and names them, but nobody
/// has looked whether the session still exists. [`verify`](Self::verify) looks.
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
#[derive(Clone)]
pub struct Principal {
    tenant: TenantId,
    user: Option<UserId>,
    session: Option<Arc<dyn VerifyUser>>,
}

impl Principal {
    /// Somebody of `tenant`; which user is not known.
    pub const fn new(tenant: TenantId) -> Self {
        Self { tenant, user: None, session: None }
    }

    /// The same, acting as `user`. Only for a user who has been verified.
    #[must_use]
    pub fn with_user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// The same, with a session that may say who the user is. A user who was told by
    /// [`with_user`](Self::with_user) goes before the session's.
    #[must_use]
    pub fn with_session(mut self, session: Arc<dyn VerifyUser>) -> Self {
        self.session = Some(session);
        self
    }

    /// Gives it a session, as [`with_session`](Self::with_session).
    pub fn set_session(&mut self, session: Arc<dyn VerifyUser>) {
        self.session = Some(session);
    }

    /// The principal of a request, if somebody told it.
    #[inline]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Whose data it is.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who acts, once verified.
    #[inline]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref().or_else(|| self.session.as_ref()?.verified_user())
    }

    /// Who acts, verified or only claimed. For limiters, where being wrong does little harm;
    /// never to decide what somebody may see.
    #[inline]
    pub fn claimed_user(&self) -> Option<&UserId> {
        self.user().or_else(|| self.session.as_ref()?.claimed_user())
    }

    /// Who acts, after looking whether the session is still there. Costs one command at most, and
    /// none where it is known already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when nobody can tell now.
    pub async fn verify(&self) -> Result<Option<UserId>, StoreError> {
        if let Some(user) = &self.user {
            return Ok(Some(user.clone()));
        }
        match &self.session {
            Some(session) => Arc::clone(session).verify_user().await,
            None => Ok(None),
        }
    }

    /// Whether the answer may depend on the session: something in it was read or written. Such an
    /// answer is nobody else's.
    pub fn is_personal(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_personal())
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("tenant", &self.tenant)
            .field("user", &self.user())
            .finish_non_exhaustive()
    }
}
