//! What kind of Redis it is: one server, a cluster, or a primary that sentinels name.

/// What the hosts of a configuration are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// The first host is the server.
    Single,
    /// The hosts are seeds; the cluster names its nodes.
    Cluster,
    /// The hosts are sentinels; they name the primary.
    Sentinel(Sentinel),
}

/// Which primary to ask the sentinels for, and who we are to them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sentinel {
    pub(crate) service: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// What the name of a primary is made of, for messages.
pub(crate) const NAME: &str = "`A-Z`, `a-z`, `0-9`, `.`, `-` and `_`";

impl Deployment {
    /// The part of the URL's scheme that names it.
    pub(crate) const fn suffix(&self) -> &'static str {
        match self {
            Self::Single => "",
            Self::Cluster => "-cluster",
            Self::Sentinel(_) => "-sentinel",
        }
    }

    /// Where it listens when nothing else is said.
    pub(crate) const fn default_port(&self) -> u16 {
        match self {
            Self::Single | Self::Cluster => 6379,
            Self::Sentinel(_) => 26379,
        }
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster)
    }

    pub(crate) const fn sentinel(&self) -> Option<&Sentinel> {
        match self {
            Self::Sentinel(sentinel) => Some(sentinel),
            Self::Single | Self::Cluster => None,
        }
    }

    pub(crate) const fn sentinel_mut(&mut self) -> Option<&mut Sentinel> {
        match self {
            Self::Sentinel(sentinel) => Some(sentinel),
            Self::Single | Self::Cluster => None,
        }
    }
}

impl Sentinel {
    pub(crate) fn new(service: String) -> Self {
        Self { service, username: None, password: None }
    }

    /// Whether sentinels take this for the name of a primary.
    pub(crate) fn is_name(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !name.is_empty() && name.bytes().all(plain)
    }
}
