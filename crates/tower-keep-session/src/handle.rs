//! `Session`: what a handler has in hand.

use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;
use tower_keep_core::{TenantId, UserId, time::UnixMillis};

use crate::{
    commit::Committed,
    csrf::{self, CsrfToken},
    error::SessionError,
    id::{PublicId, SessionId},
    inner::Inner,
    lifetime::check_life,
    running::Running,
    state::{Loaded, Seal},
    value,
};

pub(crate) mod conditional;
mod revoked;

/// The session of a request: values by name that follow a client from request to request, and
/// perhaps its user. In the request's extensions, and an extractor for axum. Clones are the same
/// session.
///
/// Nothing is asked of the store until something is read, nothing is made until something is
/// written, and what was written is saved, in one command, before the answer begins.
///
/// ```
/// use tower_keep_session::{Session, SessionError};
///
/// async fn visits(session: &Session) -> Result<u64, SessionError> {
///     let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
///     session.set("visits", &visits)?;
///     Ok(visits)
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    pub(crate) inner: Arc<Inner>,
}

impl Session {
    /// The session of a request, where there is a [`SessionLayer`](crate::SessionLayer).
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The value `name`, or `None` where there is none. The first of these asks the store.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when it cannot tell, [`SessionError::Decode`] for a value of another
    /// type, which stays as it is.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        value::check_name(name)?;
        let value = self.inner.see(name).await?;
        value.map(|value| value::decode(name, &value)).transpose()
    }

    /// Sets the value `name`. Asks nothing of the store now, and nothing at all where the session
    /// was read and has this value already when it is saved.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooLarge`] where the session would hold too much; [`SessionError::Sealed`]
    /// once the answer has begun.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), SessionError> {
        value::check_name(name)?;
        self.put(name, value)
    }

    pub(crate) fn put<T: Serialize + ?Sized>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), SessionError> {
        let value = value::encode(value)?;
        self.inner.access();
        let limit = self.inner.settings.max_bytes;
        self.inner.state().set(name, value, limit, self.inner.overhead())
    }

    /// Removes the value `name`. Asks nothing of the store now, and nothing at all where the
    /// session was read and has no such value.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn remove(&self, name: &str) -> Result<(), SessionError> {
        value::check_name(name)?;
        self.inner.access();
        self.inner.state().remove(name)
    }

    /// Removes all values. The session stays, and so does its user.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn clear(&self) -> Result<(), SessionError> {
        self.inner.access();
        self.inner.state().clear()
    }

    /// Makes this the session of `user`, under a new id: whoever knew the old one has nothing
    /// (session fixation). What a visitor without a user had is carried over; what another user
    /// had is not.
    ///
    /// It is carried out before the answer begins: either whole, or the answer is 503 and the
    /// client is who it was.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn login(&self, user: &UserId) -> Result<(), SessionError> {
        self.inner.access();
        self.inner.state().intend(|intent| {
            intent.user = Some(user.clone());
            intent.renews = true;
        })
    }

    /// Gives the session a new id; the old one is nobody's from then on. For any change of what
    /// the client may do.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn rotate(&self) -> Result<(), SessionError> {
        self.inner.access();
        self.inner.state().intend(|intent| intent.renews = true)
    }

    /// Ends the session. What is set afterwards, in this request or later, is a new one's.
    ///
    /// It is never too late for this: once the answer has begun, it is done at once and in the
    /// background.
    pub fn logout(&self) {
        self.inner.access();
        let late = {
            let mut state = self.inner.state();
            state.end();
            state.sealed != Seal::Open
        };
        if let (true, Ok(runtime)) = (late, Handle::try_current()) {
            runtime.spawn(Arc::clone(&self.inner).commit(false));
        }
    }

    /// How long this session may lie unused, from now on; instead of the layer's time.
    ///
    /// # Errors
    ///
    /// [`SessionError::InvalidLife`] unless it is between a second and 400 days;
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn set_ttl(&self, idle: Duration) -> Result<(), SessionError> {
        let idle = check_life(idle)?;
        self.inner.access();
        self.inner.state().intend(|intent| intent.idle = Some(idle))
    }

    /// Whether the client is to remember the session for long, as in "remember me"; else only
    /// until it ends its own session (a browser that is closed).
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] once the answer has begun.
    pub fn remember(&self, remember: bool) -> Result<(), SessionError> {
        self.inner.access();
        self.inner.state().intend(|intent| intent.remember = Some(remember))
    }

    /// Saves now what is to be saved, instead of before the answer begins. For a program that must
    /// know that it was; and for streams, see [`unseal`](Self::unseal).
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when it could not be: it is tried again before the answer begins, but
    /// for a login or rotation only if the answer is no server error ([`SaveOn`](crate::SaveOn)).
    /// [`SessionError::Gone`] when the session has ended meanwhile.
    pub async fn commit(&self) -> Result<(), SessionError> {
        let tells = self.inner.state().sealed == Seal::Open;
        let done = Running::new(Arc::clone(&self.inner).commit(tells)).await;
        let mut state = self.inner.state();
        if state.sealed == Seal::Unsealed {
            state.sealed = Seal::Sealed;
        }
        match done {
            Some(Ok(Committed::Gone)) => Err(SessionError::Gone),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error),
            None => Err(tower_keep_core::StoreError::unknown("the runtime has ended").into()),
        }
    }

    /// Lets a stream or a `WebSocket` change values although the answer has begun, until it calls
    /// [`commit`](Self::commit). What is not committed is lost. [`update`](Self::update) and
    /// [`take`](Self::take) are saved at once and need none of this.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sealed`] where the client has no session: it cannot be told of one any more.
    pub fn unseal(&self) -> Result<(), SessionError> {
        let mut state = self.inner.state();
        if state.token.is_none() || state.loaded == Loaded::Absent {
            return Err(SessionError::Sealed);
        }
        if state.sealed == Seal::Sealed {
            state.sealed = Seal::Unsealed;
        }
        Ok(())
    }

    /// Whose session it is, after looking whether it is still there. After a
    /// [`login`](Self::login) that user.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store cannot tell.
    pub async fn user(&self) -> Result<Option<UserId>, SessionError> {
        self.inner.access();
        let intended = {
            let state = self.inner.state();
            if state.intent.ends && state.intent.user.is_none() {
                return Ok(None);
            }
            state.intent.user.clone()
        };
        if intended.is_some() {
            return Ok(intended);
        }
        self.inner.load().await?;
        let state = self.inner.state();
        let here = matches!(state.loaded, Loaded::Here(_));
        Ok(state.token.as_ref().filter(|_| here).and_then(|token| token.user.clone()))
    }

    /// The session's public name, as far as the client's token tells; `None` for a client without
    /// a session. It changes with every rotation and login, once that is saved.
    pub fn id(&self) -> Option<PublicId> {
        self.inner.access();
        self.inner.state().token.as_ref().map(|token| token.id.public())
    }

    /// The tenant that it belongs to.
    pub fn tenant(&self) -> &TenantId {
        &self.inner.tenant
    }

    /// When it was made: for a user's, when they logged in.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store cannot tell.
    pub async fn created_at(&self) -> Result<Option<UnixMillis>, SessionError> {
        Ok(self.header().await?.map(|header| header.created))
    }

    /// When it ends unless it is used.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store cannot tell.
    pub async fn expires_at(&self) -> Result<Option<UnixMillis>, SessionError> {
        Ok(self.header().await?.map(|header| header.expires))
    }

    async fn header(&self) -> Result<Option<crate::record::Header>, SessionError> {
        self.inner.access();
        self.inner.load().await?;
        match &self.inner.state().loaded {
            Loaded::Here(record) => Ok(Some(record.header)),
            Loaded::Absent | Loaded::Unknown => Ok(None),
        }
    }

    /// The token, for a client that carries it itself (`Authorization: Bearer`): of the session as
    /// it was saved last. After a [`login`](Self::login), [`commit`](Self::commit) first.
    pub fn token(&self) -> Option<String> {
        self.inner.access();
        let state = self.inner.state();
        let token = state.token.as_ref()?;
        let settings = &self.inner.settings;
        Some(token.seal(&settings.ring, &self.inner.tenant, settings.cookie.cookie_name()))
    }

    /// How long a token that is given out now is good for, if it is not used.
    pub fn ttl(&self) -> Option<Duration> {
        self.inner.access();
        self.inner.state().token.as_ref().map(|token| token.idle)
    }

    /// A token to be put into a form and sent back with it: a page of another site cannot know it.
    /// It is another text each time, and good as long as the session has its id. For a client
    /// without a session one is made, and committed here.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), where a session has to be made.
    pub async fn csrf_token(&self) -> Result<CsrfToken, SessionError> {
        self.inner.access();
        self.inner.load().await?;
        // A token of an id that is about to change would be good for nothing.
        if !self.is_here() || self.inner.state().intent.moves() {
            self.inner.state().intend(|intent| intent.exists = true)?;
            self.commit().await?;
        }
        let make = |id: &SessionId| csrf::make(&self.inner.settings.ring, id);
        let token = self.inner.state().token.as_ref().map(|token| make(&token.id));
        token.ok_or(SessionError::Gone)
    }

    /// Whether a form brought back a token of this session. Takes the same time for every wrong
    /// one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store cannot tell whether the session is there.
    pub async fn verify_csrf(&self, text: &str) -> Result<bool, SessionError> {
        self.inner.access();
        self.inner.load().await?;
        if !self.is_here() {
            return Ok(false);
        }
        let good = |id: &SessionId| csrf::verify(&self.inner.settings.ring, id, text);
        Ok(self.inner.state().token.as_ref().is_some_and(|token| good(&token.id)))
    }

    fn is_here(&self) -> bool {
        matches!(self.inner.state().loaded, Loaded::Here(_))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("tenant", self.tenant()).finish_non_exhaustive()
    }
}
