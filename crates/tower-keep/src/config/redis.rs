//! The `REDIS_*` variables.

use std::time::Duration;

use tower_keep_redis::{Pem, RedisConfig};

use crate::env::Env;

const CA: &str = "REDIS_TLS_CA_FILE";
const CERTIFICATE: &str = "REDIS_TLS_CERT_FILE";
const KEY: &str = "REDIS_TLS_KEY_FILE";
const SENTINEL_USER: &str = "REDIS_SENTINEL_USERNAME";
const SENTINEL_PASSWORD: &str = "REDIS_SENTINEL_PASSWORD";

/// Say where the server is, or who we are to it: worth nothing alone, less than the URL beside it.
const PARTS: [&str; 6] =
    ["REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_TLS"];
/// Complete the URL or the parts, and are worth nothing alone either.
const MORE: [&str; 5] = [CA, CERTIFICATE, KEY, SENTINEL_USER, SENTINEL_PASSWORD];

/// Reads the `REDIS_*` variables; `None` when no Redis is configured.
pub(super) fn read(env: &mut Env<'_>, warnings: &mut Vec<String>) -> Option<RedisConfig> {
    let set: Vec<&str> = PARTS.into_iter().filter(|name| env.is_set(name)).collect();
    let more: Vec<&str> = MORE.into_iter().filter(|name| env.is_set(name)).collect();
    let url = env.text("REDIS_URL");
    let by_url = url
        .and_then(|url| RedisConfig::from_url(&url).map_err(|error| env.error.merge(error)).ok());
    let host = env.text("REDIS_HOST");
    let port = env.number("REDIS_PORT", 1..=u16::MAX);
    let username = env.text("REDIS_USERNAME");
    let password = env.text("REDIS_PASSWORD");
    let database = env.number("REDIS_DB", 0..=u8::MAX);
    let tls = env.flag("REDIS_TLS");
    let timeout = env.number("REDIS_TIMEOUT_MS", 1..=60_000).map(Duration::from_millis);
    let connect = env.number("REDIS_CONNECT_TIMEOUT_MS", 1..=60_000).map(Duration::from_millis);
    let pool = env.number("REDIS_POOL_SIZE", 1..=64);
    let pubsub = env.flag("REDIS_PUBSUB_ENABLED");
    let certificates = Certificates::read(env);
    let sentinel = (env.text(SENTINEL_USER), env.text(SENTINEL_PASSWORD));

    let has_url = env.is_set("REDIS_URL");
    if !has_url && !env.is_set("REDIS_HOST") {
        for name in set.into_iter().chain(more) {
            env.error.push(name, "is set, but neither REDIS_URL nor REDIS_HOST is");
        }
        return None;
    }
    // The parts, on top of what the URL says where they say nothing.
    let with_parts = |mut config: RedisConfig| {
        let (url_host, url_port) = config.address();
        let host = host.as_deref().unwrap_or(url_host).to_owned();
        config = config.with_address(host, port.unwrap_or(url_port));
        if let Some(username) = &username {
            config = config.with_username(username);
        }
        if let Some(password) = &password {
            config = config.with_password(password);
        }
        if let Some(database) = database {
            config = config.with_database(database);
        }
        if let Some(tls) = tls {
            config = config.with_tls(tls);
        }
        config
    };
    let mut config = match by_url {
        Some(config) => {
            if with_parts(config.clone()) != config {
                let names = set.join(", ");
                warnings.push(format!("REDIS_URL wins over {names}, which differ from it"));
            }
            config
        }
        None if has_url => {
            // What is wrong with the files is told all the same.
            let checked = certificates.add_to(RedisConfig::default().with_tls(true)).validate();
            env.error.merge(checked.err().unwrap_or_default());
            return None;
        }
        None => with_parts(RedisConfig::default()),
    };
    if let Some(timeout) = timeout {
        config = config.with_timeout(timeout);
    }
    if let Some(timeout) = connect {
        config = config.with_connect_timeout(timeout);
    }
    if let Some(connections) = pool {
        config = config.with_pool_size(connections);
    }
    if let Some(pubsub) = pubsub {
        config = config.with_pubsub(pubsub);
    }
    config = certificates.add_to(config);
    config = with_sentinel_login(config, sentinel, env, warnings);
    config.validate().map_err(|error| env.error.merge(error)).ok()?;
    Some(config)
}

/// The files that TLS is told of.
struct Certificates {
    ca: Option<String>,
    own: Option<(String, String)>,
}

impl Certificates {
    fn read(env: &mut Env<'_>) -> Self {
        let ca = env.text(CA);
        let own = match (env.text(CERTIFICATE), env.text(KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => {
                env.error.push(CERTIFICATE, format!("needs {KEY} beside it"));
                None
            }
            (None, Some(_)) => {
                env.error.push(KEY, format!("needs {CERTIFICATE} beside it"));
                None
            }
            (None, None) => None,
        };
        Self { ca, own }
    }

    fn add_to(self, mut config: RedisConfig) -> RedisConfig {
        if let Some(path) = self.ca {
            config = config.with_tls_ca(Pem::file(path));
        }
        if let Some((certificate, key)) = self.own {
            config = config.with_tls_client_certificate(Pem::file(certificate), Pem::file(key));
        }
        config
    }
}

/// The URL's login for the sentinels, or else this one.
fn with_sentinel_login(
    config: RedisConfig,
    (username, password): (Option<String>, Option<String>),
    env: &mut Env<'_>,
    warnings: &mut Vec<String>,
) -> RedisConfig {
    if username.is_none() && password.is_none() {
        return config;
    }
    let given = (username.as_deref(), password.as_deref());
    match (config.sentinel_login(), password.clone()) {
        (None, _) => {
            let name = if password.is_some() { SENTINEL_PASSWORD } else { SENTINEL_USER };
            env.error.push(name, "is set, but REDIS_URL is not a `redis-sentinel://` URL");
            config
        }
        (Some((None, None)), Some(password)) => config.with_sentinel_login(username, password),
        (Some((None, None)), None) => {
            env.error.push(SENTINEL_USER, format!("needs {SENTINEL_PASSWORD} beside it"));
            config
        }
        (Some(in_url), _) => {
            if in_url != given {
                let names = format!("{SENTINEL_USER} and {SENTINEL_PASSWORD}");
                warnings.push(format!("REDIS_URL wins over {names}, which differ from it"));
            }
            config
        }
    }
}
