//! Whom a request's session names.

use std::sync::Arc;

use crate::{Answer, StoreError, UserId};

/// A request's session, as other layers see it: who its user is, and whether the answer depends on
/// it. The session layer's is one.
pub trait VerifyUser: Send + Sync + 'static {
    /// Whom the request's token names. The token was made here, but its session may be gone.
    fn claimed_user(&self) -> Option<&UserId>;

    /// The user, if somebody has looked and the session was there.
    fn verified_user(&self) -> Option<&UserId>;

    /// Looks whether the session is there, once a request.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot tell.
    fn verify_user(self: Arc<Self>) -> Answer<Result<Option<UserId>, StoreError>>;

    /// Whether anything in the session was read or written.
    fn is_personal(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Principal, TenantId};

    /// A session whose user nobody has looked up.
    struct Claim(UserId);

    impl VerifyUser for Claim {
        fn claimed_user(&self) -> Option<&UserId> {
            Some(&self.0)
        }

        fn verified_user(&self) -> Option<&UserId> {
            None
        }

        fn verify_user(self: Arc<Self>) -> Answer<Result<Option<UserId>, StoreError>> {
            Answer::ready(Ok(Some(self.0.clone())))
        }

        fn is_personal(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_claim_is_no_user_until_verified_and_goes_behind_one_who_was_told() {
        let (one, other) = (UserId::new("1").unwrap(), UserId::new("2").unwrap());
        let plain = Principal::new(TenantId::new("t").unwrap());
        assert_eq!((plain.claimed_user(), plain.verify().await.unwrap()), (None, None));
        assert!(!plain.is_personal());
        let claimed = plain.with_session(Arc::new(Claim(one.clone())));
        assert_eq!((claimed.user(), claimed.claimed_user()), (None, Some(&one)));
        assert_eq!(claimed.verify().await.unwrap(), Some(one));
        assert!(claimed.is_personal());
        let told = claimed.with_user(other.clone());
        assert_eq!((told.user(), told.claimed_user()), (Some(&other), Some(&other)));
        assert_eq!(told.verify().await.unwrap(), Some(other));
    }
}
