//! How a connection is called in logs and errors: never by its password.

use std::{fmt, fmt::Write};

use fred::{clients::Client, interfaces::ClientLike};

use crate::config::RedisConfig;

impl RedisConfig {
    /// What is connected to, for logs, the password masked: `redis://app:***@host:6379/0`.
    pub fn endpoint(&self) -> String {
        let hosts = self.hosts.iter().map(|(host, port)| format!("{host}:{port}"));
        let user = self.username.as_deref().unwrap_or_default();
        let mask = if self.password.is_some() { ":***" } else { "" };
        let at = if user.is_empty() && mask.is_empty() { "" } else { "@" };
        let mut text = scheme(self.tls, self.deployment.suffix());
        let _ = write!(text, "{user}{mask}{at}{}", hosts.collect::<Vec<_>>().join(","));
        if !self.is_clustered() {
            let _ = write!(text, "/{}", self.database);
        }
        if let Some(sentinel) = self.deployment.sentinel() {
            let _ = write!(text, "?sentinelServiceName={}", sentinel.service);
        }
        text
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("endpoint", &self.endpoint())
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_size", &self.pool_size)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint())
    }
}

/// The servers that a client was given by its own program.
pub(crate) fn of_client(client: &Client) -> String {
    let config = client.client_config();
    let hosts: Vec<_> = config.server.hosts().iter().map(ToString::to_string).collect();
    let server = &config.server;
    let kinds = [(server.is_clustered(), "-cluster"), (server.is_sentinel(), "-sentinel")];
    let kind = kinds.into_iter().find(|(is, _)| *is).map_or("", |(_, kind)| kind);
    scheme(config.tls.is_some(), kind) + &hosts.join(",")
}

fn scheme(tls: bool, kind: &str) -> String {
    let secure = if tls { "s" } else { "" };
    format!("redis{secure}{kind}://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_everywhere() {
        let config = RedisConfig::new("h", 1).with_username("app").with_password("s3cret");
        for text in [config.endpoint(), config.to_string(), format!("{config:?}")] {
            assert!(text.contains("redis://app:***@h:1/0"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        let plain = RedisConfig::new("::1", 6379).with_database(3).with_tls(true);
        assert_eq!(plain.endpoint(), "rediss://[::1]:6379/3");
        assert_eq!(plain.with_password("s3cret").endpoint(), "rediss://:***@[::1]:6379/3");
        let sentinel = RedisConfig::new("h", 26379).with_password("s3cret").with_sentinel("main");
        let sentinel = sentinel.with_sentinel_login(Some("watch".into()), "s3cret".into());
        let shown = "redis-sentinel://:***@h:26379/0?sentinelServiceName=main";
        for text in [sentinel.endpoint(), sentinel.to_string(), format!("{sentinel:?}")] {
            assert!(text.contains(shown) && !text.contains("s3cret"), "{text}");
        }
    }
}
