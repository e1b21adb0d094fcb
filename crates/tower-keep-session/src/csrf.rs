//! Tokens against forged forms, derived from the session: nothing is stored.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::{
    id::{SessionId, random},
    keys::{Key, KeyRing},
};

/// The bytes of the salt.
const SALT: usize = 16;

/// The bytes of the signature.
const MAC: usize = 32;

/// The characters of a token: salt and signature in base64url.
const TEXT: usize = 64;

/// A text that only this session's own pages know, to be put into forms or a header and checked
/// when they come back.
///
/// It differs each time it is asked for, so that a compressed page gives nothing of it away
/// (BREACH); all of them are good for as long as the session keeps its id. A login or a rotation
/// changes the id: forms from before it are refused.
///
/// ```
/// use tower_keep_session::CsrfToken;
///
/// fn form(token: &CsrfToken) -> String {
///     // 64 characters of base64url, so there is nothing to escape.
///     format!(r#"<form method="post"><input type="hidden" name="csrf" value="{token}"></form>"#)
/// }
/// # let _ = form;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfToken(String);

impl CsrfToken {
    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CsrfToken {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<CsrfToken> for String {
    fn from(token: CsrfToken) -> Self {
        token.0
    }
}

impl fmt::Display for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken")
    }
}

/// A token of the session's, signed by the newest key.
pub(crate) fn make(ring: &KeyRing, id: &SessionId) -> CsrfToken {
    let salt = random();
    let mac = sign(ring.newest(), id, salt).finalize().into_bytes();
    CsrfToken(BASE64URL_NOPAD.encode(&[&salt[..], &mac].concat()))
}

/// Whether `text` is a token of the session's, signed by any key. Takes the same time for every
/// text of the right form.
pub(crate) fn verify(ring: &KeyRing, id: &SessionId, text: &str) -> bool {
    let mut bytes = [0; SALT + MAC];
    if text.len() != TEXT || BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut bytes).is_err() {
        return false;
    }
    let Some((salt, Ok(mac))) =
        bytes.split_first_chunk::<SALT>().map(|(salt, mac)| (salt, <&[u8; MAC]>::try_from(mac)))
    else {
        return false;
    };
    ring.all()
        .map(|key| sign(key, id, *salt).finalize().into_bytes()[..].ct_eq(mac))
        .fold(Choice::from(0), |any, this| any | this)
        .into()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn sign(key: &Key, id: &SessionId, salt: [u8; SALT]) -> Hmac<Sha256> {
    Hmac::new_from_slice(&*key.csrf)
        .expect("the key has a wrong length")
        .chain_update(salt)
        .chain_update(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ring(secrets: &[&str]) -> KeyRing {
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.repeat(32)).collect();
        KeyRing::new(&secrets).unwrap()
    }

    const ID: SessionId = SessionId::from_bytes([7; 16]);

    #[test]
    fn it_differs_each_time_and_is_always_good() {
        let ring = ring(&["a"]);
        let tokens: HashSet<String> = (0..100).map(|_| make(&ring, &ID).into()).collect();
        assert_eq!(tokens.len(), 100);
        // Nothing but chance is alike: no two have a piece of eight characters in common.
        let pieces: HashSet<&[u8]> = tokens.iter().flat_map(|t| t.as_bytes().chunks(8)).collect();
        assert_eq!(pieces.len(), 800);
        for token in &tokens {
            assert_eq!(token.len(), TEXT);
            assert!(verify(&ring, &ID, token));
        }
    }

    #[test]
    fn it_is_good_for_its_session_alone() {
        let ring = ring(&["a"]);
        let token = make(&ring, &ID);
        for place in 0..16 {
            let mut other = [7; 16];
            other[place] ^= 1;
            assert!(!verify(&ring, &SessionId::from_bytes(other), token.as_str()));
        }
    }

    #[test]
    fn the_newest_key_makes_and_every_key_verifies() {
        let token = make(&ring(&["b", "a"]), &ID);
        for (keys, good) in [
            (&["b"][..], true),
            (&["c", "b"], true),
            (&["c", "b", "a"], true),
            (&["a"], false),
            (&["a", "c"], false),
        ] {
            assert_eq!(verify(&ring(keys), &ID, token.as_str()), good, "{keys:?}");
        }
    }

    #[test]
    fn anything_changed_and_it_is_refused() {
        let ring = ring(&["a"]);
        let token = make(&ring, &ID);
        let text = token.as_str();
        for place in 0..text.len() {
            for other in ["A", "B", "_", "=", " ", "é"] {
                let changed = format!("{}{other}{}", &text[..place], &text[place + 1..]);
                assert_eq!(verify(&ring, &ID, &changed), changed == text, "{changed}");
            }
            assert!(!verify(&ring, &ID, &text[..place]));
        }
        assert!(!verify(&ring, &ID, &format!("{text}A")));
        assert!(!verify(&ring, &ID, &format!("{text}====")));
    }

    #[test]
    fn it_is_shown_where_it_is_meant_to_be() {
        let token = make(&ring(&["a"]), &ID);
        assert_eq!(format!("{token:?}"), "CsrfToken");
        assert_eq!(token.to_string(), token.as_str());
        assert_eq!(token.as_ref(), token.as_str());
    }

    proptest! {
        #[test]
        fn no_text_is_good(text: String, well_formed in "[A-Za-z0-9_-]{64}") {
            let ring = ring(&["a", "b"]);
            prop_assert!(!verify(&ring, &ID, &text));
            prop_assert!(!verify(&ring, &ID, &well_formed));
        }

        #[test]
        fn every_session_has_its_own(id: [u8; 16], other: [u8; 16]) {
            let ring = ring(&["a", "b"]);
            let token = make(&ring, &SessionId::from_bytes(id));
            prop_assert!(verify(&ring, &SessionId::from_bytes(id), token.as_str()));
            let theirs = verify(&ring, &SessionId::from_bytes(other), token.as_str());
            prop_assert_eq!(theirs, id == other);
        }
    }
}
