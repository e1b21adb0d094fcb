//! The keys that tokens are sealed with, derived from the program's secrets.

use std::{fmt, iter::once};

use hkdf::Hkdf;
use sha2::Sha256;
use tower_keep_core::{ConfigError, SealingKey};
use zeroize::Zeroizing;

use crate::id::random;

/// The shortest secret, in bytes.
const SHORTEST: usize = 32;

/// The bytes of a key's id.
pub(crate) const KEY_ID: usize = 4;

/// Keys from secrets, newest first: the newest seals, all open. A secret that is taken from the
/// list makes everything sealed with it worthless.
///
/// Everything is derived from a secret by HKDF-SHA256, each thing for its own purpose; no secret
/// is kept.
pub(crate) struct KeyRing {
    newest: Key,
    older: Box<[Key]>,
}

/// What one secret gives.
pub(crate) struct Key {
    /// Which key it is; says nothing about the secret, and is in the open.
    pub(crate) id: [u8; KEY_ID],
    /// Seals tokens.
    pub(crate) sealing: SealingKey,
    /// Signs tokens against CSRF.
    pub(crate) csrf: Zeroizing<[u8; 32]>,
}

impl KeyRing {
    /// The keys of these secrets, newest first.
    pub(crate) fn new(secrets: &[impl AsRef<[u8]>]) -> Result<Self, ConfigError> {
        let mut error = ConfigError::default();
        for (index, secret) in secrets.iter().enumerate() {
            let bytes = secret.as_ref().len();
            if bytes < SHORTEST {
                let (place, all) = (index + 1, secrets.len());
                error.push(
                    "secrets",
                    format!(
                        "secret {place} of {all} has {bytes} bytes; at least {SHORTEST} are needed"
                    ),
                );
            }
        }
        let mut keys = secrets.iter().map(|secret| Key::derive(secret.as_ref()));
        let Some(newest) = keys.next() else {
            return Err(ConfigError::new(
                "secrets",
                "there is none, and at least one is needed (SESSION_SECRET in the environment)",
            ));
        };
        error.into_result(Self { newest, older: keys.collect() })
    }

    /// A key that nobody knows and that ends with this ring.
    pub(crate) fn ephemeral() -> Self {
        let secret = Zeroizing::new(random::<SHORTEST>());
        Self { newest: Key::derive(&*secret), older: Box::default() }
    }

    /// The key that seals.
    pub(crate) const fn newest(&self) -> &Key {
        &self.newest
    }

    /// All keys, newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        once(&self.newest).chain(&self.older)
    }
}

impl Key {
    fn derive(secret: &[u8]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(b"tower-keep session"), secret);
        Self {
            id: expand(&hkdf, b"key id"),
            sealing: SealingKey::new(expand(&hkdf, b"token key")),
            csrf: Zeroizing::new(expand(&hkdf, b"csrf key")),
        }
    }
}

#[expect(clippy::expect_used, reason = "it gives up to 8160 bytes")]
fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, purpose: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    hkdf.expand(purpose, &mut key).expect("the key is too long");
    key
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_secrets_are_refused_by_their_places() {
        let error = KeyRing::new(&["hunter2-hunter2", &"x".repeat(32), ""]).unwrap_err();
        let messages: Vec<_> = error.problems().iter().map(|p| p.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "secret 1 of 3 has 15 bytes; at least 32 are needed",
                "secret 3 of 3 has 0 bytes; at least 32 are needed"
            ]
        );
        assert!(error.problems().iter().all(|p| p.name == "secrets"));
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn an_empty_list_is_refused() {
        let error = KeyRing::new(&[] as &[&str]).unwrap_err();
        assert_eq!(error.problems()[0].name, "secrets");
        assert!(error.to_string().contains("at least one"));
    }

    #[test]
    fn the_first_is_the_newest_and_all_are_there() {
        let (new, old) = ("n".repeat(32), "o".repeat(40));
        let ring = KeyRing::new(&[&new, &old]).unwrap();
        let ids: Vec<_> = ring.all().map(|key| key.id).collect();
        assert_eq!(ids, [Key::derive(new.as_bytes()).id, Key::derive(old.as_bytes()).id]);
        assert_eq!(ring.newest().id, ids[0]);
    }

    #[test]
    fn what_is_derived_differs_by_purpose_and_stays() {
        // A change here makes every token in the world worthless. Reckoned by Python's hmac:
        // prk = HMAC(salt, secret); id = HMAC(prk, b"key id\x01")[:4]; csrf = HMAC(prk, b"csrf key\x01")
        let key = Key::derive(&[b'k'; 32]);
        assert_eq!(HEXLOWER.encode(&key.id), "09db253d");
        assert_eq!(
            HEXLOWER.encode(&*key.csrf),
            "b62d0e784151b52fdb4b68454b42bf9b05c37de2ac21afe9786aa26335a4cd84"
        );
    }

    #[test]
    fn ephemeral_rings_differ() {
        assert_ne!(*KeyRing::ephemeral().newest().csrf, *KeyRing::ephemeral().newest().csrf);
    }

    #[test]
    fn nothing_is_shown() {
        let ring = KeyRing::ephemeral();
        assert_eq!(format!("{ring:?} {:?}", ring.newest()), "KeyRing Key");
    }

    proptest! {
        #[test]
        fn any_secrets_are_taken_or_refused_by_length_alone(
            secrets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..4),
        ) {
            let good = !secrets.is_empty() && secrets.iter().all(|secret| secret.len() >= SHORTEST);
            prop_assert_eq!(KeyRing::new(&secrets).is_ok(), good);
        }
    }
}
