//! What fred is told of the server: where it is, who we are to it, and how it is trusted.

use std::sync::atomic::{AtomicUsize, Ordering};

use fred::types::{
    RespVersion,
    config::{
        ClusterDiscoveryPolicy, Config, Server, ServerConfig, TlsConfig, TlsConnector,
        TlsHostMapping,
    },
};
use tower_keep_core::ConfigError;

use crate::{
    config::RedisConfig,
    deployment::{Deployment, Sentinel},
};

/// The part of fred's settings that names the server.
pub(crate) fn fred_config(config: &RedisConfig) -> Result<Config, ConfigError> {
    let mut hosts = config.hosts.iter().map(|(host, port)| {
        let mut server = Server::new(host.as_str(), *port);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        server.tls_server_name = (bare != host).then(|| bare.into());
        server
    });
    let server = match &config.deployment {
        Deployment::Single => {
            let first = hosts.next().ok_or_else(|| ConfigError::new("REDIS_HOST", "is missing"))?;
            ServerConfig::Centralized { server: first }
        }
        Deployment::Cluster => {
            let policy = ClusterDiscoveryPolicy::default();
            ServerConfig::Clustered { hosts: hosts.collect(), policy }
        }
        Deployment::Sentinel(sentinel) => {
            let Sentinel { service, username, password } = sentinel.clone();
            ServerConfig::Sentinel {
                hosts: hosts.collect(),
                service_name: service,
                username,
                password,
            }
        }
    };
    let tls = if config.tls {
        let connector = TlsConnector::from(config.certificates.client_config()?);
        Some(TlsConfig { connector, hostnames: TlsHostMapping::None })
    } else {
        None
    };
    Ok(Config {
        // Connecting goes on in the background when the server is down at start.
        fail_fast: false,
        server,
        version: RespVersion::RESP3,
        username: config.username.clone(),
        password: config.password.clone(),
        database: (config.database != 0).then_some(config.database),
        tls,
        ..Config::default()
    })
}

/// The same for one more client. fred asks the first sentinel that takes a connection, again and
/// again, even if that one hangs or does not know the primary: so each client begins with another.
pub(crate) fn turned(config: &Config) -> Config {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let mut config = config.clone();
    if let ServerConfig::Sentinel { hosts, .. } = &mut config.server {
        let turn = TURN.fetch_add(1, Ordering::Relaxed).checked_rem(hosts.len());
        hosts.rotate_left(turn.unwrap_or(0));
    }
    config
}
