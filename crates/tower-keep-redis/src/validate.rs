//! Whether a configuration can be.

use std::time::Duration;

use tower_keep_core::ConfigError;

use crate::{
    config::RedisConfig,
    deployment::{NAME, Sentinel},
    url::is_host,
};

impl RedisConfig {
    /// Whether it can be used, without connecting.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, at once, by the name of the environment variable that
    /// sets it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut found = ConfigError::default();
        for (host, port) in &self.hosts {
            if !is_host(host) {
                found.push("REDIS_HOST", "is not a host name or address");
            }
            if *port == 0 {
                found.push("REDIS_PORT", "`0` is not a port from 1 to 65535");
            }
        }
        if self.username.is_some() && self.password.is_none() {
            found.push("REDIS_USERNAME", "needs REDIS_PASSWORD beside it");
        }
        if self.is_clustered() && self.database != 0 {
            found.push("REDIS_DB", "a cluster has only database 0");
        }
        if let Some(sentinel) = self.deployment.sentinel() {
            if !Sentinel::is_name(&sentinel.service) {
                found.push("REDIS_URL", format!("the name of the primary is not made of {NAME}"));
            }
            if sentinel.username.is_some() && sentinel.password.is_none() {
                found.push("REDIS_SENTINEL_USERNAME", "needs REDIS_SENTINEL_PASSWORD beside it");
            }
        }
        self.certificates.check(self.tls, &mut found);
        let longest = Duration::from_secs(60);
        if self.timeout < Duration::from_millis(1) || self.timeout > longest {
            found.push("REDIS_TIMEOUT_MS", "accepted are 1 to 60000 milliseconds");
        }
        if self.connect_timeout < Duration::from_millis(1) || self.connect_timeout > longest {
            found.push("REDIS_CONNECT_TIMEOUT_MS", "accepted are 1 to 60000 milliseconds");
        }
        if !(1..=64).contains(&self.pool_size) {
            found.push("REDIS_POOL_SIZE", "accepted are 1 to 64 connections per node");
        }
        if !(1..=1_000_000).contains(&self.max_in_flight) {
            found.push("max_in_flight", "accepted are 1 to 1000000 commands");
        }
        found.into_result(())
    }
}
