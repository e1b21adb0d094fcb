//! What fred is told of the server: where it is, who we are to it, and how it is trusted.

use std::sync::Arc;

use fred::{
    rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider},
    rustls_native_certs::load_native_certs,
    types::{
        RespVersion,
        config::{
            ClusterDiscoveryPolicy, Config, Server, ServerConfig, TlsConfig, TlsConnector,
            TlsHostMapping,
        },
    },
};
use tower_keep_core::ConfigError;

use crate::config::RedisConfig;

/// The part of fred's settings that names the server.
pub(crate) fn fred_config(config: &RedisConfig) -> Result<Config, ConfigError> {
    let mut hosts = config.hosts.iter().map(|(host, port)| {
        let mut server = Server::new(host.as_str(), *port);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        server.tls_server_name = (bare != host).then(|| bare.into());
        server
    });
    let server = if config.clustered {
        ServerConfig::Clustered {
            hosts: hosts.collect(),
            policy: ClusterDiscoveryPolicy::default(),
        }
    } else {
        let server = hosts.next().ok_or_else(|| ConfigError::new("REDIS_HOST", "is missing"))?;
        ServerConfig::Centralized { server }
    };
    Ok(Config {
        // Connecting goes on in the background when the server is down at start.
        fail_fast: false,
        server,
        version: RespVersion::RESP3,
        username: config.username.clone(),
        password: config.password.clone(),
        database: (config.database != 0).then_some(config.database),
        tls: if config.tls { Some(tls()?) } else { None },
        ..Config::default()
    })
}

/// TLS with the system's roots, by a provider named here: left to choose, rustls panics in a
/// program that links two.
fn tls() -> Result<TlsConfig, ConfigError> {
    let refused = |why: String| ConfigError::new("REDIS_TLS", why);
    let found = load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(refused("the system has no root certificates to check a server by".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfig { connector: TlsConnector::from(config), hostnames: TlsHostMapping::None })
}
