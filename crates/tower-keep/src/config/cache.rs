//! The `CACHE_*` variables.

use std::{fmt, time::Duration};

use tower_keep_core::Vault;

use super::classes::ClassTtls;
use crate::env::Env;

/// The longest lifetime, in seconds: a year.
pub(super) const LONGEST: u64 = 365 * 86_400;
/// The longest entry that can be asked for, in bytes.
const LARGEST: usize = 256 << 20;

/// The settings of [`Keep::response_cache`](crate::Keep::response_cache) and
/// [`Keep::query_cache`](crate::Keep::query_cache).
#[derive(Clone)]
pub struct CacheConfig {
    /// For how long a response is fresh that says `public` but not for how long, and a value of a
    /// class of which nothing else is said.
    pub ttl: Duration,
    /// For how long answers of language models are stored.
    pub ai_ttl: Duration,
    /// For how long values are fresh, by class.
    pub classes: ClassTtls,
    /// What entries are sealed with in Redis; `None` leaves them in the clear.
    pub vault: Option<Vault>,
    /// Bodies over so many bytes are compressed in Redis.
    pub compress_above: usize,
    /// The longest entry that is kept, in bytes; and the longest body that is stored.
    pub max_entry_bytes: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3600),
            ai_ttl: Duration::from_secs(1800),
            classes: ClassTtls::default(),
            vault: None,
            compress_above: 1024,
            max_entry_bytes: 1 << 20,
        }
    }
}

impl fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig")
            .field("ttl", &self.ttl)
            .field("ai_ttl", &self.ai_ttl)
            .field("classes", &self.classes)
            .field("vault", &self.vault.is_some())
            .field("compress_above", &self.compress_above)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .finish()
    }
}

impl CacheConfig {
    pub(super) fn read(env: &mut Env<'_>, vault: Option<Vault>, classes: ClassTtls) -> Self {
        let default = Self::default();
        let ttl = env.number("CACHE_TTL", 1..=LONGEST).map(Duration::from_secs);
        let ai_ttl = env.number("AI_CACHE_TTL", 1..=LONGEST).map(Duration::from_secs);
        let compress_above = env.number("CACHE_COMPRESS_ABOVE", 0..=LARGEST);
        let max_entry_bytes = env.number("CACHE_MAX_ENTRY_BYTES", 1024..=LARGEST);
        Self {
            ttl: ttl.unwrap_or(default.ttl),
            ai_ttl: ai_ttl.unwrap_or(default.ai_ttl),
            classes,
            vault,
            compress_above: compress_above.unwrap_or(default.compress_above),
            max_entry_bytes: max_entry_bytes.unwrap_or(default.max_entry_bytes),
        }
    }
}

/// What values are sealed with in the store, sessions' and caches' alike.
pub(super) fn read_vault(env: &mut Env<'_>) -> Option<Vault> {
    let keys = env.text("CACHE_ENCRYPTION_KEYS")?;
    let vault = Vault::parse("CACHE_ENCRYPTION_KEYS", &keys);
    vault.map_err(|error| env.error.merge(error)).ok()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, ffi::OsString};

    use super::*;
    use crate::{Config, ConfigError};

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Config::from_lookup(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn nothing_set_is_the_documented_default() {
        let cache = read(&[("CACHE_TTL", ""), ("CACHE_ENCRYPTION_KEYS", "")]).unwrap().cache;
        assert_eq!((cache.ttl, cache.vault.is_some()), (Duration::from_secs(3600), false));
        assert_eq!((cache.compress_above, cache.max_entry_bytes), (1024, 1_048_576));
    }

    #[test]
    fn numbers_are_read_and_checked() {
        let variables =
            [("CACHE_TTL", "60"), ("CACHE_COMPRESS_ABOVE", "0"), ("CACHE_MAX_ENTRY_BYTES", "2048")];
        let cache = read(&variables).unwrap().cache;
        assert_eq!(cache.ttl, Duration::from_secs(60));
        assert_eq!((cache.compress_above, cache.max_entry_bytes), (0, 2048));
        for (name, value) in [
            ("CACHE_TTL", "0"),
            ("CACHE_TTL", "31536001"),
            ("CACHE_TTL", "1h"),
            ("CACHE_COMPRESS_ABOVE", "-1"),
            ("CACHE_COMPRESS_ABOVE", "268435457"),
            ("CACHE_MAX_ENTRY_BYTES", "1023"),
            ("CACHE_MAX_ENTRY_BYTES", "1MiB"),
        ] {
            let error = read(&[(name, value)]).expect_err("it was accepted");
            assert_eq!((error.problems().len(), &*error.problems()[0].name), (1, name), "{value}");
        }
    }

    #[test]
    fn keys_are_checked_once_never_shown_and_for_both() {
        // 32 zero bytes.
        let key = format!("k1:{}=", "A".repeat(43));
        let config = read(&[("CACHE_ENCRYPTION_KEYS", &key)]).unwrap();
        assert!(config.session.vault.is_some() && config.cache.vault.is_some());
        assert!(!format!("{config:?}").contains("AAAA"));
        let error = read(&[("CACHE_ENCRYPTION_KEYS", "k1:c2hvcnQ=")]).unwrap_err();
        assert_eq!(
            (error.problems().len(), &*error.problems()[0].name),
            (1, "CACHE_ENCRYPTION_KEYS")
        );
        assert!(!error.to_string().contains("c2hvcnQ"));
    }
}
