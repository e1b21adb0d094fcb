//! Where the server is, and how long it may take.

use std::time::Duration;

use tower_keep_core::ConfigError;

use crate::{
    deployment::{Deployment, Sentinel},
    tls::{Certificates, Pem},
    url::parse,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_millis(75);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_IN_FLIGHT: usize = 1024;

/// Where a Redis or Valkey server is, who we are to it, and how long it may take to answer.
///
/// A value that cannot be is refused when it is used: by [`Connection::connect`], or earlier by
/// [`RedisConfig::validate`]. Neither `Debug` nor `Display` nor any error shows the password.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_redis::RedisConfig;
///
/// let config = RedisConfig::from_url("rediss://app:s%2Fcret@cache.example.com/2")?
///     .with_timeout(Duration::from_millis(50));
/// assert_eq!(config.endpoint(), "rediss://app:***@cache.example.com:6379/2");
/// # Ok::<(), tower_keep_redis::ConfigError>(())
/// ```
///
/// [`Connection::connect`]: crate::Connection::connect
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// What these are says the deployment. An IPv6 address is in brackets.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) deployment: Deployment,
    pub(crate) tls: bool,
    pub(crate) certificates: Certificates,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) pubsub: bool,
}

impl RedisConfig {
    /// A single server without password, TLS or database number, and the default limits.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            hosts: vec![(bracketed(host.into()), port)],
            deployment: Deployment::Single,
            tls: false,
            certificates: Certificates::default(),
            username: None,
            password: None,
            database: 0,
            timeout: DEFAULT_TIMEOUT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            pool_size: 1,
            max_in_flight: DEFAULT_IN_FLIGHT,
            pubsub: true,
        }
    }

    /// What `url` names: `redis://[[user]:password@]host[:port][/database]`.
    ///
    /// `rediss://` speaks TLS. `redis-cluster://` and `rediss-cluster://` speak to a cluster and
    /// need only one of its nodes; more may follow as `?node=host:port&node=host:port`.
    ///
    /// `redis-sentinel://` and `rediss-sentinel://` name sentinels in the same way, port 26379 if
    /// none is said, and the primary to ask them for as `?sentinelServiceName=mymaster`. User,
    /// password and database are the primary's; the sentinels' own are `sentinelUsername` and
    /// `sentinelPassword`. With TLS, both the sentinels and the servers speak it.
    ///
    /// User and password are percent-decoded.
    ///
    /// # Errors
    ///
    /// One problem named `REDIS_URL`. Its text says what is accepted and repeats nothing of
    /// `url`, for a misplaced password may be anywhere in it.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        parse(url).map_err(|problem| ConfigError::new("REDIS_URL", problem))
    }

    /// The server at `host` and `port`, or a cluster whose first seed it is, or the first sentinel.
    #[must_use]
    pub fn with_address(mut self, host: impl Into<String>, port: u16) -> Self {
        let address = (bracketed(host.into()), port);
        match self.hosts.first_mut() {
            Some(first) => *first = address,
            None => self.hosts.push(address),
        }
        self
    }

    /// The ACL user to log in as. It needs a password.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password of the ACL user, or of `default` when there is none.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The database number; a cluster has only 0.
    #[must_use]
    pub const fn with_database(mut self, database: u8) -> Self {
        self.database = database;
        self
    }

    /// Whether to speak TLS. Certificates are checked against the system's roots, or those of
    /// [`with_tls_ca`](Self::with_tls_ca).
    #[must_use]
    pub const fn with_tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The certificate authorities to trust, and no other. Needs TLS.
    #[must_use]
    pub fn with_tls_ca(mut self, certificates: Pem) -> Self {
        self.certificates.ca = Some(certificates);
        self
    }

    /// The certificate, its chain after it, and the key to show to a server that asks for one.
    /// Needs TLS.
    #[must_use]
    pub fn with_tls_client_certificate(mut self, certificate: Pem, key: Pem) -> Self {
        self.certificates.own = Some((certificate, key));
        self
    }

    /// The hosts are sentinels, and this is the name by which they know the primary.
    #[must_use]
    pub fn with_sentinel(mut self, service: impl Into<String>) -> Self {
        self.deployment = Deployment::Sentinel(Sentinel::new(service.into()));
        self
    }

    /// Who we are to the sentinels; without a user name it is the password of their `default`
    /// user. Without sentinels it says nothing.
    #[must_use]
    pub fn with_sentinel_login(mut self, username: Option<String>, password: String) -> Self {
        if let Some(sentinel) = self.deployment.sentinel_mut() {
            (sentinel.username, sentinel.password) = (username, Some(password));
        }
        self
    }

    /// Whether there is to be a [`Bus`](crate::Bus); `true` if nothing is said.
    #[must_use]
    pub const fn with_pubsub(mut self, pubsub: bool) -> Self {
        self.pubsub = pubsub;
        self
    }

    /// How long a command may take, from the call to the answer, all waiting included.
    ///
    /// A server that says nothing for so long is taken to be lost, and not sooner: until then it
    /// may be slow, as it is allowed to be. So this is also how long a hang goes unnoticed.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt to connect may take, and how long [`Connection::require`] waits.
    ///
    /// [`Connection::require`]: crate::Connection::require
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many multiplexed connections to open to each node; commands take turns on them.
    ///
    /// One was measured to be fastest up to 64 concurrent tasks.
    #[must_use]
    pub const fn with_pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How many commands may be under way at once; further ones wait within their own deadline.
    #[must_use]
    pub const fn with_max_in_flight(mut self, commands: usize) -> Self {
        self.max_in_flight = commands;
        self
    }

    /// Whether there is to be a [`Bus`](crate::Bus).
    pub const fn pubsub(&self) -> bool {
        self.pubsub
    }

    /// Host and port of the server, of a cluster's first seed, or of the first sentinel.
    pub fn address(&self) -> (&str, u16) {
        self.hosts.first().map_or(("", 0), |(host, port)| (host, *port))
    }

    /// How long a command may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it names a cluster.
    pub const fn is_clustered(&self) -> bool {
        self.deployment.is_cluster()
    }

    /// User and password for the sentinels; `None` when it names no sentinels.
    pub fn sentinel_login(&self) -> Option<(Option<&str>, Option<&str>)> {
        let sentinel = self.deployment.sentinel()?;
        Some((sentinel.username.as_deref(), sentinel.password.as_deref()))
    }
}

/// An IPv6 address belongs in brackets.
fn bracketed(host: String) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }
}

impl Default for RedisConfig {
    /// `redis://127.0.0.1:6379/0`.
    fn default() -> Self {
        Self::new("127.0.0.1", 6379)
    }
}
