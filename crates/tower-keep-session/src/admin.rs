//! `Sessions`: a user's sessions, looked at and ended from beside.

use std::{fmt, sync::Arc};

use tower_keep_core::{
    StoreError, TenantId, UserId,
    key::{Holder, SessionKey},
    time::UnixMillis,
};

use crate::{
    handle::Session,
    id::PublicId,
    settings::Settings,
    store::{Place, SessionStore},
};

/// Looks at the sessions of a user and ends them, in every process: what is ended here is refused
/// everywhere from the next request on, and those who [wait for it](Session::revoked) are told.
///
/// By hand, `redis-cli DEL session:acme:42` ends all sessions of the user `42` of `acme`.
///
/// ```
/// # use tower_keep_core::{StoreError, TenantId, UserId};
/// # use tower_keep_session::Sessions;
/// async fn only_one(sessions: &Sessions, acme: &TenantId, user: &UserId) -> Result<(), StoreError> {
///     let mut all = sessions.list(acme, user).await?;
///     all.sort_by_key(|session| session.seen);
///     if let Some(latest) = all.last() {
///         sessions.revoke_others(acme, user, latest.id).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
}

/// One session of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its public name, as [`Session::id`] tells it.
    pub id: PublicId,
    /// When the user logged in.
    pub created: UnixMillis,
    /// When it was used last, to within the interval in which sessions are touched.
    pub seen: UnixMillis,
    /// When it ends unless it is used.
    pub expires: UnixMillis,
}

impl Sessions {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self::new(Arc::clone(&settings.store))
    }

    /// Those in this store.
    pub fn new(store: Arc<dyn SessionStore>) -> Self {
        Self { store }
    }

    /// All sessions of a user, in the order they were made. One command.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot tell.
    pub async fn list(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<SessionInfo>, StoreError> {
        let info = |(id, record): (PublicId, Arc<crate::record::Record>)| SessionInfo {
            id,
            created: record.header.created,
            seen: record.header.seen,
            expires: record.header.expires,
        };
        let sessions = self.store.list(key(tenant, user)).await?;
        Ok(sessions.into_iter().map(info).collect())
    }

    /// How many sessions a user has. One command.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot tell.
    pub async fn count(&self, tenant: &TenantId, user: &UserId) -> Result<usize, StoreError> {
        Ok(self.list(tenant, user).await?.len())
    }

    /// Ends one session of a user. Whether it was there. One command.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it may not have been.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: PublicId,
    ) -> Result<bool, StoreError> {
        self.store.remove(Place { key: key(tenant, user), id }).await
    }

    /// Ends all sessions of a user. One command.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they may not have been.
    pub async fn revoke_all(&self, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
        self.store.remove_all(key(tenant, user)).await
    }

    /// Ends all sessions of a user but this one. How many there were. One command.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they may not have been.
    pub async fn revoke_others(
        &self,
        tenant: &TenantId,
        user: &UserId,
        but: PublicId,
    ) -> Result<u64, StoreError> {
        self.store.remove_others(Place { key: key(tenant, user), id: but }).await
    }
}

const fn key<'a>(tenant: &'a TenantId, user: &'a UserId) -> SessionKey<'a> {
    SessionKey { tenant, holder: Holder::User(user) }
}

impl Session {
    /// The sessions of all users, in the store of this one.
    pub fn sessions(&self) -> Sessions {
        Sessions::of(&self.inner.settings)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}
