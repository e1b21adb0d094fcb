//! The `SESSION_*` variables.

use std::{fmt, time::Duration};

use tower_keep_core::Vault;

use crate::{env::Env, health::StoreKind};

/// As long as a browser keeps a cookie at most, in seconds.
const LONGEST: u64 = 400 * 86_400;
/// The shortest secret, in bytes.
const LEAST_SECRET: usize = 32;

/// The settings of [`Keep::session`](crate::Keep::session).
#[derive(Clone)]
pub struct SessionConfig {
    /// Where sessions are kept; `None` for where everything else is.
    pub store: Option<StoreKind>,
    /// How long a session may lie unused.
    pub ttl: Duration,
    /// Whether the cookie is `Secure`, and has the prefix `__Host-`. Without, a browser sends it
    /// over plain HTTP: for development.
    pub cookie_secure: bool,
    /// What tokens are sealed with, the newest first; at least 32 bytes each.
    pub secrets: Vec<String>,
    /// What values are sealed with; `None` leaves them in the clear.
    pub vault: Option<Vault>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            store: None,
            ttl: Duration::from_secs(86_400),
            cookie_secure: true,
            secrets: Vec::new(),
            vault: None,
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("store", &self.store)
            .field("ttl", &self.ttl)
            .field("cookie_secure", &self.cookie_secure)
            .field("secrets", &self.secrets.len())
            .field("vault", &self.vault.is_some())
            .finish()
    }
}

impl SessionConfig {
    /// Reads them. `has_redis` says whether a Redis is configured.
    pub(super) fn read(
        env: &mut Env<'_>,
        has_redis: bool,
        vault: Option<Vault>,
        warnings: &mut Vec<String>,
    ) -> Self {
        let default = Self::default();
        let ttl = env.number("SESSION_TTL", 1..=LONGEST).map(Duration::from_secs);
        let cookie_secure = env.flag("SESSION_COOKIE_SECURE").unwrap_or(default.cookie_secure);
        if !cookie_secure {
            warnings.push(
                "SESSION_COOKIE_SECURE is false: browsers send the session over plain HTTP, where \
                 others can read it; this is for development"
                    .to_owned(),
            );
        }
        Self {
            store: read_store(env, has_redis),
            ttl: ttl.unwrap_or(default.ttl),
            cookie_secure,
            secrets: read_secrets(env),
            vault,
        }
    }
}

fn read_store(env: &mut Env<'_>, has_redis: bool) -> Option<StoreKind> {
    match env.text("SESSION_STORE")?.as_str() {
        "memory" => Some(StoreKind::Memory),
        "redis" if has_redis => Some(StoreKind::Redis),
        "redis" => {
            let message = "is `redis`, but neither REDIS_URL nor REDIS_HOST is set";
            env.error.push("SESSION_STORE", message);
            None
        }
        _ => {
            env.error.push("SESSION_STORE", "is neither `memory` nor `redis`");
            None
        }
    }
}

/// A comma between them, so none may have one.
fn read_secrets(env: &mut Env<'_>) -> Vec<String> {
    let Some(text) = env.text("SESSION_SECRET") else { return Vec::new() };
    let secrets: Vec<String> = text.split(',').map(|secret| secret.trim().to_owned()).collect();
    for (place, secret) in secrets.iter().enumerate() {
        if secret.len() < LEAST_SECRET {
            let (place, length) = (place + 1, secret.len());
            let message = format!(
                "its secret number {place} has {length} bytes; each must have at least \
                 {LEAST_SECRET} (`openssl rand -base64 32` makes one)"
            );
            env.error.push("SESSION_SECRET", message);
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, ffi::OsString};

    use super::*;
    use crate::{Config, ConfigError};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Config::from_lookup(|name| variables.get(name).map(OsString::from))
    }

    fn refused(variables: &[(&str, &str)]) -> ConfigError {
        read(variables).expect_err("it was accepted")
    }

    #[test]
    fn nothing_set_is_the_documented_default() {
        let session = read(&[("SESSION_SECRET", "")]).unwrap().session;
        assert_eq!((session.store, session.ttl), (None, Duration::from_secs(86_400)));
        assert!(session.cookie_secure && session.secrets.is_empty() && session.vault.is_none());
    }

    #[test]
    fn secrets_are_a_list_and_never_shown() {
        let list = format!("{SECRET}, {SECRET}x");
        let config = read(&[("SESSION_SECRET", &list)]).unwrap();
        assert_eq!(config.session.secrets, [SECRET.to_owned(), format!("{SECRET}x")]);
        assert!(!format!("{config:?}").contains("0123"));
        let error = refused(&[("SESSION_SECRET", &format!("{SECRET},short-secret"))]);
        assert!(error.to_string().contains("number 2 has 12 bytes"), "{error}");
        assert!(!error.to_string().contains("short-secret"));
        let error = refused(&[("SESSION_SECRET", &format!("{SECRET},"))]);
        assert_eq!(error.problems().len(), 1, "a comma at the end is a secret too few");
    }

    #[test]
    fn lives_switches_and_stores_are_checked() {
        assert_eq!(read(&[("SESSION_TTL", "60")]).unwrap().session.ttl, Duration::from_secs(60));
        for bad in ["0", "-1", "34560001", "1h"] {
            assert_eq!(refused(&[("SESSION_TTL", bad)]).problems().len(), 1, "{bad}");
        }
        let config = read(&[("SESSION_COOKIE_SECURE", "false")]).unwrap();
        assert!(!config.session.cookie_secure);
        assert!(config.warnings.iter().any(|warning| warning.contains("SESSION_COOKIE_SECURE")));
        assert_eq!(refused(&[("SESSION_STORE", "disk")]).problems().len(), 1);
        let error = refused(&[("SESSION_STORE", "redis")]);
        assert!(error.to_string().contains("REDIS_URL"), "{error}");
        let memory = read(&[("SESSION_STORE", "memory")]).unwrap().session.store;
        assert_eq!(memory, Some(StoreKind::Memory));
    }
}
