//! What an account is called where attempts are counted.

use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tower_keep::{BoxError, TenantId};

/// Names accounts so that the counters in the store tell no e-mail address, not even to who guesses
/// one.
pub(crate) struct AccountKey(Hmac<Sha256>);

impl AccountKey {
    /// All processes with the same secrets name accounts alike. It is made of the oldest secret:
    /// the one that processes have in common while a new one is handed out. Without any it is this
    /// process's own.
    pub(crate) fn new(secrets: &[String]) -> Result<Self, BoxError> {
        let mut key = [0; 32];
        match secrets.last() {
            Some(secret) => Hkdf::<Sha256>::new(Some(b"axum-app"), secret.as_bytes())
                .expand(b"account key", &mut key)
                .map_err(|error| error.to_string())?,
            None => getrandom::fill(&mut key)?,
        }
        Ok(Self(Hmac::new_from_slice(&key)?))
    }

    /// The account of this address, in lower case, in this tenant.
    pub(crate) fn name(&self, tenant: &TenantId, email: &str) -> String {
        // A tenant's name holds no control character, so that no other pair reads the same.
        let signed = self.0.clone().chain_update(tenant.name().unwrap_or_default());
        let mac = signed.chain_update("\0").chain_update(email).finalize().into_bytes();
        BASE64URL_NOPAD.encode(&mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(secrets: &[&str], tenant: &str, email: &str) -> String {
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.repeat(32)).collect();
        AccountKey::new(&secrets).unwrap().name(&TenantId::new(tenant).unwrap(), email)
    }

    #[test]
    fn each_account_has_a_name_of_its_own_that_tells_nothing() {
        let ours = name(&["a"], "public", "a@b");
        for (secret, tenant, email) in [
            ("b", "public", "a@b"),
            ("a", "publi", "ca@b"),
            ("a", "other", "a@b"),
            ("a", "public", "a@c"),
        ] {
            assert_ne!(name(&[secret], tenant, email), ours, "{secret} {tenant} {email}");
        }
        assert!(!ours.contains('@'));
    }

    #[test]
    fn processes_agree_while_a_new_secret_is_handed_out() {
        assert_eq!(name(&["new", "old"], "public", "a@b"), name(&["old"], "public", "a@b"));
        assert_ne!(name(&[], "public", "a@b"), name(&[], "public", "a@b"), "a secret of no secret");
    }
}
