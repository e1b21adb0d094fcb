//! `SessionData`: one value of a session as a type of the program's.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::SessionError, handle::Session, value};

/// A type that a session keeps one value of.
pub trait SessionValue: Serialize + DeserializeOwned + Default {
    /// The name of that value.
    const NAME: &'static str;
}

/// A view of one value of the session, as a type. It is written back when it is dropped, and only
/// if it was changed; also where the handler returns early, with an error say. An extractor for
/// axum.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_keep_session::{Session, SessionData, SessionError, SessionValue};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<u64>,
/// }
///
/// impl SessionValue for Cart {
///     const NAME: &'static str = "cart";
/// }
///
/// async fn add(session: &Session, item: u64) -> Result<usize, SessionError> {
///     let mut cart = SessionData::<Cart>::load(session).await?;
///     cart.items.push(item);
///     let items = cart.items.len();
///     cart.save()?; // or let it be dropped
///     Ok(items)
/// }
/// ```
pub struct SessionData<T: SessionValue> {
    value: T,
    /// As it was read; `None` once it is settled whether it is written back.
    before: Option<Bytes>,
    session: Session,
}

impl<T: SessionValue> SessionData<T> {
    /// Reads it; the type's default where the session has none.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub async fn load(session: &Session) -> Result<Self, SessionError> {
        value::check_name(T::NAME)?;
        let stored = session.inner.see(T::NAME).await?;
        let (value, before) = if let Some(stored) = stored {
            (value::decode(T::NAME, &stored)?, stored)
        } else {
            let value = T::default();
            let before = value::encode(&value)?;
            (value, before)
        };
        Ok(Self { value, before: Some(before), session: session.clone() })
    }

    /// Writes it back now, if it was changed.
    ///
    /// # Errors
    ///
    /// As [`Session::set`].
    pub fn save(mut self) -> Result<(), SessionError> {
        self.write_back()
    }

    fn write_back(&mut self) -> Result<(), SessionError> {
        let Some(before) = self.before.take() else { return Ok(()) };
        if value::encode(&self.value)? == before {
            return Ok(());
        }
        self.session.set(T::NAME, &self.value)
    }
}

impl<T: SessionValue> Deref for SessionData<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: SessionValue> DerefMut for SessionData<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: SessionValue> Drop for SessionData<T> {
    fn drop(&mut self) {
        if let Err(error) = self.write_back() {
            tracing::warn!("session: `{}` was changed and could not be written: {error}", T::NAME);
        }
    }
}

impl<T: SessionValue + fmt::Debug> fmt::Debug for SessionData<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionData").field(&self.value).finish()
    }
}
