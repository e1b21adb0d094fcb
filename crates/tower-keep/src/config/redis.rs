//! The `REDIS_*` variables.

use std::time::Duration;

use tower_keep_redis::RedisConfig;

use crate::env::Env;

const PARTS: [&str; 6] =
    ["REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_TLS"];

/// Reads the `REDIS_*` variables; `None` when no Redis is configured.
pub(super) fn read(env: &mut Env<'_>, warnings: &mut Vec<String>) -> Option<RedisConfig> {
    let set: Vec<&str> = PARTS.into_iter().filter(|name| env.is_set(name)).collect();
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

    let has_url = env.is_set("REDIS_URL");
    if !has_url && !env.is_set("REDIS_HOST") {
        for name in set {
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
        None if has_url => return None,
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
    config.validate().map_err(|error| env.error.merge(error)).ok()?;
    Some(config)
}
