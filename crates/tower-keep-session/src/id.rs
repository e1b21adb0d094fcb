//! What a session is called: in secret by its holder's token, in public by everybody else.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

/// A session's secret id: 128 random bits. Whoever has it has the session, so it is nowhere but in
/// the token, sealed; never in a store, a log or an error.
#[derive(Clone)]
pub(crate) struct SessionId {
    secret: [u8; 16],
    /// Where it was reckoned beforehand.
    public: Option<PublicId>,
}

impl SessionId {
    /// A new one, by the system's random numbers.
    pub(crate) fn random() -> Self {
        Self::from_bytes(random())
    }

    pub(crate) const fn from_bytes(secret: [u8; 16]) -> Self {
        Self { secret, public: None }
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.secret
    }

    /// What it may be called in public.
    pub(crate) fn public(&self) -> PublicId {
        self.public.unwrap_or_else(|| {
            let digest: [u8; 32] = Sha256::digest(self.secret).into();
            PublicId(digest.first_chunk().copied().unwrap_or_default())
        })
    }

    /// Reckons its public name now, so that neither it nor its clones do later.
    pub(crate) fn name(&mut self) {
        self.public = Some(self.public());
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for SessionId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

impl Drop for SessionId {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// A session's public id: 16 bytes of the SHA-256 of its secret id, written as 22 characters of
/// base64url. It names the session, in the store too, and gives nobody the session.
///
/// ```
/// use tower_keep_session::PublicId;
///
/// let id: PublicId = "AAAAAAAAAAAAAAAAAAAAAA".parse()?;
/// assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
/// assert!("no id".parse::<PublicId>().is_err());
/// # Ok::<_, tower_keep_session::InvalidPublicId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId([u8; 16]);

/// A text that is no [`PublicId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session's public id is 22 characters of base64url")]
pub struct InvalidPublicId;

impl PublicId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({self})")
    }
}

impl FromStr for PublicId {
    type Err = InvalidPublicId;

    fn from_str(text: &str) -> Result<Self, InvalidPublicId> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidPublicId)?;
        bytes.try_into().map(Self).map_err(|_| InvalidPublicId)
    }
}

/// Where a session's values belong: 16 random bytes that are made with it and stay with it through
/// rotation and login, when its id changes. Sealed values are bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(pub [u8; 16]);

impl Origin {
    /// A new one.
    pub(crate) fn random() -> Self {
        Self(random())
    }
}

/// Random bytes of the system's.
///
/// # Panics
///
/// If the system has none, which no program can go on without.
#[expect(clippy::expect_used, reason = "a guessable id must never be given out")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives no random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ten_thousand_ids_differ_and_their_public_names_too() {
        let ids: Vec<_> = (0..10_000).map(|_| SessionId::random()).collect();
        assert_eq!(ids.iter().map(|id| *id.as_bytes()).collect::<HashSet<_>>().len(), 10_000);
        assert_eq!(ids.iter().map(SessionId::public).collect::<HashSet<_>>().len(), 10_000);
    }

    #[test]
    fn a_public_id_is_the_beginning_of_the_hash() {
        // printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' | sha256sum | cut -c1-32
        let public = SessionId::from_bytes([0; 16]).public();
        assert_eq!(public.to_string(), "N0cI__dxndWXnsh11WzSKA");
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(format!("{:?}", SessionId::from_bytes([0; 16])), "SessionId");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAA==", "ä"] {
            assert_eq!(text.parse::<PublicId>(), Err(InvalidPublicId), "{text:?}");
        }
    }
}
