//! Who may purge.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tower_keep_core::{ConfigError, GrpcCode, Rejection};

use super::Refused;

/// The shortest token, in bytes.
const LEAST: usize = 16;

/// Who may.
pub(super) enum Authority {
    /// Whom the program says yes to.
    Asked(Arc<dyn Fn(&Parts) -> bool + Send + Sync>),
    /// Who shows a token: SHA-256 of each, at least one.
    Tokens(Vec<[u8; 32]>),
}

impl Authority {
    pub(super) fn of_tokens<T: AsRef<str>>(
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let mut wrong = ConfigError::default();
        let mut hashes = Vec::new();
        for (place, token) in tokens.into_iter().enumerate() {
            let token = token.as_ref().as_bytes();
            if token.len() < LEAST || !token.iter().all(u8::is_ascii_graphic) {
                // Not shown: it is a secret.
                let message = format!(
                    "number {} is no token: that is {LEAST} bytes or more of visible ASCII",
                    place + 1
                );
                wrong.push("tokens", message);
            }
            hashes.push(Sha256::digest(token).into());
        }
        if hashes.is_empty() {
            wrong.push("tokens", "there is none: nobody could purge");
        }
        wrong.into_result(Self::Tokens(hashes))
    }

    pub(super) fn check(&self, head: &Parts) -> Result<(), Refused> {
        match self {
            Self::Asked(may) if may(head) => Ok(()),
            Self::Asked(_) => {
                let (status, title) = (StatusCode::FORBIDDEN, "you may not purge");
                Err(Box::new(Rejection::new(status, GrpcCode::PermissionDenied, title)))
            }
            Self::Tokens(known) => check_token(known, &head.headers),
        }
    }
}

/// Takes as long whichever token it is, and how much of it is right: hashes are compared, all of
/// them, to their ends.
fn check_token(known: &[[u8; 32]], headers: &HeaderMap) -> Result<(), Refused> {
    let shown: [u8; 32] = Sha256::digest(bearer(headers).unwrap_or_default()).into();
    let is_known = known.iter().fold(Choice::from(0), |is, known| is | known.ct_eq(&shown));
    if is_known.into() {
        return Ok(());
    }
    let title = "this takes a token";
    let no = Rejection::new(StatusCode::UNAUTHORIZED, GrpcCode::Unauthenticated, title);
    Err(Box::new(no.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))))
}

/// The one token that is shown.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let (scheme, token) = line.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
