//! Values at rest, sealed for whoever reads the store and is not us.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use zeroize::Zeroizing;

use crate::{ConfigError, SealingKey};

/// How a sealed value begins.
const FORMAT: u8 = 1;

/// The longest id of a key, in bytes.
const LONGEST_ID: usize = 16;

const NONCE: usize = SealingKey::NONCE;
const TAG: usize = SealingKey::TAG;

/// A ring of keys that values are sealed with (XChaCha20-Poly1305) before a store gets them. The
/// first key of the ring seals, each opens what it has sealed. Cheap to clone.
///
/// A value is bound to what it is said to be about, its associated data: moved to another place, it
/// does not open.
///
/// ```
/// use tower_keep_core::Vault;
///
/// // `openssl rand -base64 32` makes a key.
/// let key = "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=";
/// let vault = Vault::parse("CACHE_ENCRYPTION_KEYS", &format!("2026:{key}"))?;
///
/// let sealed = vault.seal(b"secret", b"acme/42/name");
/// assert_eq!(vault.open(&sealed, b"acme/42/name").as_deref(), Some(&b"secret"[..]));
/// assert_eq!(vault.open(&sealed, b"acme/43/name"), None);
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Vault(Arc<Ring>);

struct Ring {
    newest: Key,
    older: Vec<Key>,
}

struct Key {
    id: String,
    key: SealingKey,
}

impl Vault {
    /// The ring that `text` lists: `id:base64,id:base64`, the newest first. An id is 1 to 16
    /// letters, digits, `.`, `_` and `-`, and is written with each value; a key is 32 bytes.
    /// `variable` is what the list is called in an error.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, by the entry's place; it holds no entry.
    pub fn parse(variable: &str, text: &str) -> Result<Self, ConfigError> {
        let mut error = ConfigError::default();
        let mut keys: Vec<Key> = Vec::new();
        for (index, entry) in text.split(',').enumerate() {
            let key = Key::parse(entry.trim()).and_then(|key| match &keys[..] {
                keys if keys.iter().any(|other| other.id == key.id) => {
                    Err("has the id of an entry before it")
                }
                _ => Ok(key),
            });
            match key {
                Ok(key) => keys.push(key),
                Err(fault) => error.push(variable, format!("entry {} {fault}", index + 1)),
            }
        }
        let mut keys = keys.into_iter();
        match keys.next() {
            Some(newest) => {
                error.into_result(Self(Arc::new(Ring { newest, older: keys.collect() })))
            }
            None => Err(error),
        }
    }

    /// `plain`, sealed by the newest key and bound to `aad`. It differs each time.
    ///
    /// # Panics
    ///
    /// If the system has no random bytes, which no program can go on without.
    #[expect(clippy::expect_used, reason = "a nonce must never be given out twice")]
    pub fn seal(&self, plain: &[u8], aad: &[u8]) -> Bytes {
        let Key { id, key } = &self.0.newest;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the system gives no random bytes");
        let header = 2 + id.len() + NONCE;
        let mut sealed = Vec::with_capacity(header + plain.len() + TAG);
        sealed.push(FORMAT);
        // At most 16.
        sealed.push(u8::try_from(id.len()).unwrap_or_default());
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(header);
        let tag = key.seal(nonce, aad, body);
        sealed.extend_from_slice(&tag);
        sealed.into()
    }

    /// How many bytes longer a value is once it is sealed.
    pub fn overhead(&self) -> usize {
        2 + self.0.newest.id.len() + NONCE + TAG
    }

    /// What was sealed, unless it was changed, is bound to something else, or is sealed by a key
    /// that is not in the ring.
    pub fn open(&self, sealed: &[u8], aad: &[u8]) -> Option<Bytes> {
        let (&[FORMAT, length], rest) = sealed.split_first_chunk()? else { return None };
        let (id, rest) = rest.split_at_checked(length.into())?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        let Ring { newest, older } = &*self.0;
        let key = std::iter::once(newest).chain(older).find(|key| key.id.as_bytes() == id)?;
        let mut plain = body.to_vec();
        key.key.open(*nonce, aad, &mut plain, *tag).then(|| plain.into())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Key {
    /// What is wrong with an entry is told without anything of it: it may all be key.
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let (id, key) = entry.split_once(':').ok_or("is not `id:base64`")?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_plain) {
            return Err("has an id that is not 1 to 16 letters, digits, `.`, `_` and `-`");
        }
        let key = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
            .iter()
            .find_map(|encoding| encoding.decode(key.as_bytes()).ok())
            .map(Zeroizing::new)
            .ok_or("has a key that is not base64")?;
        let key = key.as_slice().try_into().map_err(|_| "has a key that is not 32 bytes long")?;
        Ok(Self { id: id.to_owned(), key: SealingKey::new(key) })
    }
}

#[cfg(test)]
mod tests;
