//! What can go wrong in a handler's dealings with its session.

use std::{error::Error as StdError, num::NonZeroU64, sync::Arc, time::Duration};

use http::StatusCode;
use tower_keep_core::{GrpcCode, Rejection, StoreError};

/// A session did not do as it was asked. The session is as it was before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store cannot tell, or did not take it. Nothing is known of the session: it is not the
    /// same as its being absent.
    #[error("the session store failed: {0}")]
    Store(#[from] StoreError),
    /// The head of the answer is gone, and with it the chance to say anything to the client. To
    /// write from a stream, [`unseal`](crate::Session::unseal) it and
    /// [`commit`](crate::Session::commit).
    #[error("the answer has begun: the session is sealed")]
    Sealed,
    /// The session has ended meanwhile, by a logout perhaps. Nothing brings it back.
    #[error("the session has ended")]
    Gone,
    /// It would hold more than it may.
    #[error("a session holds at most {limit} bytes")]
    TooLarge {
        /// What it may hold, in bytes of names and values.
        limit: u64,
    },
    /// A name is empty, over 128 bytes, or begins with `~`.
    #[error("a value's name has 1 to 128 bytes and does not begin with `~`")]
    InvalidName,
    /// A life that is not between a second and 400 days.
    #[error("a session's life is between 1 second and 400 days")]
    InvalidLife,
    /// A value that cannot be written down.
    #[error("the value cannot be encoded")]
    Encode(#[source] Arc<dyn StdError + Send + Sync>),
    /// A value that is there, but not of the type that was asked for. What is wrong with it is told
    /// by [`source`](StdError::source) alone, because it may show something of the value.
    #[error("the value `{name}` is not what was asked for")]
    Decode {
        /// Its name.
        name: Box<str>,
        /// Why not.
        #[source]
        cause: Arc<dyn StdError + Send + Sync>,
    },
    /// Too many others changed the value at the same time.
    #[error("the value was changed by others each time")]
    Contended,
    /// Too many sessions were made from the client's address.
    #[error("too many sessions from this address")]
    TooMany {
        /// Waiting that long is enough.
        retry_after: Duration,
    },
}

/// After how many seconds a client may try again when the store is away.
const TRY_AGAIN: NonZeroU64 = NonZeroU64::MIN;

impl SessionError {
    /// How a request is refused that could not be served because of this: 503 (`UNAVAILABLE`) with
    /// `Retry-After` while the store is away, 429 where too many sessions were made, else 500.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Store(_) => Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                GrpcCode::Unavailable,
                "sessions are not available now",
            )
            .retry_after(TRY_AGAIN),
            Self::TooMany { retry_after } => Rejection::new(
                StatusCode::TOO_MANY_REQUESTS,
                GrpcCode::ResourceExhausted,
                "too many sessions",
            )
            .retry_after(whole_seconds(*retry_after)),
            Self::Gone => Rejection::new(
                StatusCode::UNAUTHORIZED,
                GrpcCode::Unauthenticated,
                "the session has ended",
            ),
            other => Rejection::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                GrpcCode::Internal,
                "the session could not be used",
            )
            .detail(match other {
                // What was asked for is the program's own matter.
                Self::TooLarge { .. } => "the session would hold too much",
                _ => "the service used its session in a way that cannot be",
            }),
        }
    }
}

/// Rounded up, so that waiting is enough.
fn whole_seconds(time: Duration) -> NonZeroU64 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    NonZeroU64::new(seconds).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use tower_keep_core::Dialect;

    use super::*;

    #[test]
    fn a_store_that_is_away_is_503_and_too_many_sessions_are_429() {
        let refused = |error: SessionError| error.rejection().into_response::<()>(Dialect::Http);
        let away = refused(StoreError::not_sent("down").into());
        assert_eq!((away.status().as_u16(), &away.headers()["retry-after"]), (503, &1.into()));
        let retry_after = Duration::from_millis(1001);
        let many = refused(SessionError::TooMany { retry_after });
        assert_eq!((many.status().as_u16(), &many.headers()["retry-after"]), (429, &2.into()));
        assert_eq!(refused(SessionError::TooLarge { limit: 1 }).status(), 500);
        assert_eq!(refused(SessionError::Gone).status(), 401);
        let grpc = SessionError::Gone.rejection().into_response::<()>(Dialect::Grpc);
        assert_eq!(grpc.headers()["grpc-status"], "16");
    }
}
