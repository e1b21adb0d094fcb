//! What a `Keep` can be told, and the environment variables that tell it.

use std::{ffi::OsString, time::Duration};

#[cfg(feature = "redis")]
use tower_keep_redis::RedisConfig;

use tower_keep_core::{ConfigError, ForwardingHeader, TrustedProxies};
use tower_keep_rate_limit::{MAX_LIMIT, MAX_WINDOW, Rule, Scope};

use crate::env::Env;

mod cache;
mod classes;
#[cfg(feature = "redis")]
mod redis;
mod session;

pub use self::{cache::CacheConfig, classes::ClassTtls, session::SessionConfig};

/// The settings of a [`Keep`](crate::Keep).
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `REDIS_URL` | unset: memory | `redis://`, `redis-cluster://` or `redis-sentinel://` (with `rediss` for TLS), then `[user:password@]host[:port][/database]`; for sentinels also `?sentinelServiceName=…` |
/// | `REDIS_HOST` `REDIS_PORT` `REDIS_USERNAME` `REDIS_PASSWORD` `REDIS_DB` `REDIS_TLS` | unset, 6379, unset, unset, 0, false | the same in parts; `REDIS_URL` wins, and a difference is a warning |
/// | `REDIS_TLS_CA_FILE` | the system's roots | PEM file of the authorities to trust, and no other |
/// | `REDIS_TLS_CERT_FILE` `REDIS_TLS_KEY_FILE` | unset | PEM files to show to a server that asks for a certificate |
/// | `REDIS_SENTINEL_USERNAME` `REDIS_SENTINEL_PASSWORD` | unset | the login for the sentinels, if they want one; `sentinelUsername` and `sentinelPassword` in `REDIS_URL` win |
/// | `REDIS_TIMEOUT_MS` | 75 | milliseconds a command may take, 1 to 60000 |
/// | `REDIS_CONNECT_TIMEOUT_MS` | 5000 | milliseconds one attempt to connect may take, 1 to 60000 |
/// | `REDIS_POOL_SIZE` | 1 | multiplexed connections per node, 1 to 64 |
/// | `REDIS_PUBSUB_ENABLED` | true | `false`: what processes tell each other is known later, when it expires |
/// | `RATE_LIMIT_MAX` | 100 | requests of the default rule, 1 to 1000000000 |
/// | `RATE_LIMIT_WINDOW` | 900 | seconds of its window, 1 to 31536000 |
/// | `RATE_LIMIT_TTL` | 900, or the window if that is longer | seconds that counters are kept at least, the window to 31536000 |
/// | `SESSION_STORE` | `redis` where Redis is configured, else `memory` | where sessions are kept |
/// | `SESSION_TTL` | 86400 | seconds a session may lie unused, 1 to 34560000 |
/// | `SESSION_SECRET` | made up and lost with the process; required on Redis | what tokens are sealed with: a comma-separated list, the newest first, at least 32 bytes each |
/// | `SESSION_COOKIE_SECURE` | true | `false`: the cookie is sent over plain HTTP too, and has no `__Host-` in its name; for development |
/// | `CACHE_TTL` | 3600 | seconds a response is fresh that says `public` but not for how long, and a value of a class of which nothing else is said, 1 to 31536000; a response that says nothing of caching is not stored |
/// | `AI_CACHE_TTL` | 1800 | seconds answers of language models are stored; `OCR_CACHE_TTL` and `ANALYSIS_CACHE_TTL` for what is read off pictures (7200) and what analyses find (3600) |
/// | `QUERY_CACHE_TTL` `PRESCRIPTION_CACHE_TTL` `<CLASS>_CACHE_TTL` | 300, 7200, `CACHE_TTL` | the same for values of that class |
/// | `CACHE_COMPRESS_ABOVE` | 1024 | bytes over which bodies are compressed in Redis, 0 to 268435456 |
/// | `CACHE_MAX_ENTRY_BYTES` | 1048576 | bytes of the longest cache entry, compressed where it is, and of the longest body that is stored; 1024 to 268435456 |
/// | `CACHE_ENCRYPTION_KEYS` | unset | what sessions' values and cache entries are sealed with in Redis: a comma-separated list of `id:base64` of 32 bytes, the newest first |
/// | `TRUSTED_PROXIES` | none | comma-separated addresses and networks that are believed when they tell the client's address |
/// | `TRUSTED_PROXY_HEADER` | `x-forwarded-for` | the one header they tell it in: that, or `forwarded` (RFC 7239) |
///
/// An empty variable counts as unset.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where Redis is; `None` keeps everything in this process.
    #[cfg(feature = "redis")]
    pub redis: Option<RedisConfig>,
    /// The default rate limit.
    pub rate_limit: RateLimitConfig,
    /// Sessions.
    pub session: SessionConfig,
    /// Caches.
    pub cache: CacheConfig,
    /// The proxies whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// What is odd about the settings, but no error.
    pub(crate) warnings: Vec<String>,
    /// Why state is kept where it is kept, if the environment decided.
    pub(crate) because: Option<&'static str>,
}

/// The settings of [`Keep::rate_limit`](crate::Keep::rate_limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// Requests that the default rule admits per window.
    pub max: u64,
    /// The default rule's window.
    pub window: Duration,
    /// How long counters are kept at least.
    pub ttl: Duration,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        let window = Duration::from_secs(900);
        Self { max: 100, window, ttl: window }
    }
}

impl RateLimitConfig {
    /// The rule of a layer that is given no other: for each user of a tenant on each endpoint.
    pub(crate) fn default_rule(&self) -> Rule {
        Rule::per(Scope::tenant().user().endpoint(), self.max, self.window)
    }

    fn read(env: &mut Env<'_>) -> Self {
        let default = Self::default();
        let longest = MAX_WINDOW.as_secs();
        let max = env.number("RATE_LIMIT_MAX", 1..=MAX_LIMIT).unwrap_or(default.max);
        let told = env.number("RATE_LIMIT_WINDOW", 1..=longest);
        let window = told.unwrap_or(default.window.as_secs());
        let window_is_good = told.is_some() || !env.is_set("RATE_LIMIT_WINDOW");
        let ttl = env.number("RATE_LIMIT_TTL", 1..=longest);
        if let Some(ttl) = ttl
            && window_is_good
            && ttl < window
        {
            let message = format!("`{ttl}` is less than the window of {window} seconds");
            env.error.push("RATE_LIMIT_TTL", message);
        }
        let ttl = ttl.unwrap_or_else(|| window.max(default.ttl.as_secs()));
        Self { max, window: Duration::from_secs(window), ttl: Duration::from_secs(ttl) }
    }
}

impl Config {
    /// Why state is kept where it is kept, for the log.
    pub(crate) fn because(&self) -> &'static str {
        self.because.unwrap_or("the program says so")
    }

    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names every variable which cannot be used and what is accepted
    /// there. Passwords are never shown.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    pub fn from_env() -> Result<Self, ConfigError> {
        // Classes are the program's own: whichever has a variable is read.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let classes = names.filter(|name| name.ends_with(classes::SUFFIX)).collect();
        Self::read(|name| std::env::var_os(name), classes)
    }

    /// Reads variables from anywhere. Of the `<CLASS>_CACHE_TTL` only those in the table are asked for:
    /// [`ClassTtls::set`] says others.
    ///
    /// ```
    /// use tower_keep::Config;
    ///
    /// let config = Config::from_lookup(|name| (name == "RATE_LIMIT_MAX").then(|| "250".into()))?;
    /// assert_eq!(config.rate_limit.max, 250);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        Self::read(lookup, Vec::new())
    }

    fn read(
        lookup: impl Fn(&str) -> Option<OsString>,
        classes: Vec<String>,
    ) -> Result<Self, ConfigError> {
        let mut env = Env::new(&lookup);
        let mut warnings = Vec::new();
        #[cfg(feature = "redis")]
        let redis = redis::read(&mut env, &mut warnings);
        #[cfg(not(feature = "redis"))]
        refuse_redis(&mut env, &mut warnings);
        let rate_limit = RateLimitConfig::read(&mut env);
        let has_redis = env.is_set("REDIS_URL") || env.is_set("REDIS_HOST");
        let vault = cache::read_vault(&mut env);
        let session = SessionConfig::read(&mut env, has_redis, vault.clone(), &mut warnings);
        let classes = ClassTtls::read(&mut env, classes);
        let cache = CacheConfig::read(&mut env, vault, classes);
        let trusted_proxies = read_proxies(&mut env, &mut warnings);
        let because = if env.is_set("REDIS_URL") {
            "REDIS_URL is set"
        } else if env.is_set("REDIS_HOST") {
            "REDIS_HOST is set"
        } else {
            "neither REDIS_URL nor REDIS_HOST is set"
        };
        env.error.into_result(Self {
            #[cfg(feature = "redis")]
            redis,
            rate_limit,
            session,
            cache,
            trusted_proxies,
            warnings,
            because: Some(because),
        })
    }
}

/// The trusted proxies, and the header they tell the client's address in.
fn read_proxies(env: &mut Env<'_>, warnings: &mut Vec<String>) -> TrustedProxies {
    let proxies: Option<TrustedProxies> = env.parsed("TRUSTED_PROXIES");
    let header: Option<ForwardingHeader> = env.parsed("TRUSTED_PROXY_HEADER");
    if let Some(header) = header
        && !env.is_set("TRUSTED_PROXIES")
    {
        warnings.push(format!(
            "TRUSTED_PROXY_HEADER is set and TRUSTED_PROXIES is not: nobody's `{header}` is read"
        ));
    }
    proxies.unwrap_or_default().with_header(header.unwrap_or_default())
}

/// A program without the feature must not silently keep in memory what was meant for Redis.
#[cfg(not(feature = "redis"))]
fn refuse_redis(env: &mut Env<'_>, _: &mut Vec<String>) {
    for name in ["REDIS_URL", "REDIS_HOST"] {
        if env.text(name).is_some() {
            env.error.push(name, "is set, but tower-keep was built without its feature `redis`");
        }
    }
}

#[cfg(test)]
mod tests;
