//! Who is let in uncounted, and who is not let in at all.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use tower_keep_core::{ClientAddr, ConfigError, TenantId, UserId};

use crate::subject::Subject;

/// Callers by tenant, user or address; for
/// [`allow`](crate::RateLimitLayerBuilder::allow) and
/// [`deny`](crate::RateLimitLayerBuilder::deny).
///
/// ```
/// use tower_keep_core::TenantId;
/// use tower_keep_rate_limit::AccessList;
///
/// let ours = AccessList::new().tenant(TenantId::new("ops")?).network("10.0.0.0/8");
/// # let _ = ours;
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    tenants: HashSet<TenantId>,
    users: HashSet<(TenantId, UserId)>,
    networks: Vec<IpNet>,
    problems: Vec<String>,
}

impl AccessList {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// And everybody of this tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenants.insert(tenant);
        self
    }

    /// And this user of this tenant.
    #[must_use]
    pub fn user(mut self, tenant: TenantId, user: UserId) -> Self {
        self.users.insert((tenant, user));
        self
    }

    /// And every client address of this network, or this one address: `192.0.2.7`,
    /// `2001:db8::/32`. Addresses are those behind the trusted proxies; of IPv6 the first 64 bits
    /// are looked at. A network of IPv4 addresses in IPv6 clothes (`::ffff:192.0.2.0/120`) is the
    /// IPv4 network. What is no network is told by `build`.
    #[must_use]
    pub fn network(mut self, network: &str) -> Self {
        let address = || network.parse().ok().map(|ip: IpAddr| IpNet::from(ip));
        let problem = match network.parse().ok().or_else(address).map(canonical) {
            Some(Some(network)) => {
                self.networks.push(network);
                return self;
            }
            Some(None) => "is wider than all of IPv4, which begins at `::ffff:0:0/96`",
            None => "is neither an address nor a network",
        };
        self.problems.push(format!("`{}` {problem}", network.escape_debug()));
        self
    }

    pub(crate) fn validate(&self, name: &str, error: &mut ConfigError) {
        for problem in &self.problems {
            error.push(name, problem.as_str());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.users.is_empty() && self.networks.is_empty()
    }

    pub(crate) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    pub(crate) fn has(&self, subject: &Subject<'_>) -> bool {
        let has_user = |user: &UserId| {
            !self.users.is_empty() && self.users.contains(&(subject.tenant().clone(), user.clone()))
        };
        // An IPv6 client is its whole /64.
        let within = |network: &IpNet| match (network, subject.address().map(ClientAddr::ip)) {
            (IpNet::V6(network), Some(IpAddr::V6(ip))) => {
                let bits = u32::from(network.prefix_len()).min(64);
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or_default();
                (network.network().to_bits() ^ ip.to_bits()) & mask == 0
            }
            (network, Some(ip)) => network.contains(&ip),
            (_, None) => false,
        };
        self.tenants.contains(subject.tenant())
            || subject.user().is_some_and(has_user)
            || self.networks.iter().any(within)
    }
}

/// The network in the form in which clients' addresses come; `None` for one that begins within IPv4
/// in IPv6 clothes and is wider than that: it would match nobody of IPv4.
fn canonical(network: IpNet) -> Option<IpNet> {
    match network.addr().to_canonical() {
        IpAddr::V4(ip) if network.addr().is_ipv6() => {
            IpNet::new(ip.into(), network.prefix_len().checked_sub(96)?).ok()
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};
    use tower_keep_core::{PeerAddr, Principal, TrustedProxies};

    use super::*;
    use crate::{endpoint::GrpcEndpoints, subject::Wants};

    fn head(tenant: &str, user: &str, ip: &str) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        let principal = Principal::new(TenantId::new(tenant).unwrap());
        head.extensions.insert(principal.with_user(UserId::new(user).unwrap()));
        head.extensions.insert(PeerAddr((ip.parse::<IpAddr>().unwrap(), 1).into()));
        head
    }

    #[test]
    fn callers_are_found_by_tenant_user_and_network() {
        let id = |tenant| TenantId::new(tenant).unwrap();
        let list = AccessList::new()
            .tenant(id("ops"))
            .user(id("acme"), UserId::new("7").unwrap())
            .network("192.0.2.0/24")
            .network("198.51.100.9")
            .network("2001:db8:1:2::/64")
            .network("2001:db8:9::7")
            .network("::ffff:203.0.113.64/122")
            .network("::ffff:203.0.113.7");
        for (tenant, user, ip, expected) in [
            ("ops", "1", "203.0.113.1", true),
            ("acme", "7", "203.0.113.1", true),
            ("other", "7", "203.0.113.1", false),
            ("acme", "8", "203.0.113.65", true),
            ("acme", "8", "::ffff:203.0.113.127", true),
            ("acme", "8", "203.0.113.128", false),
            ("acme", "8", "203.0.113.7", true),
            ("acme", "8", "203.0.113.8", false),
            ("acme", "8", "::1", false),
            ("acme", "8", "192.0.2.200", true),
            ("acme", "8", "::ffff:192.0.2.200", true),
            ("acme", "8", "198.51.100.9", true),
            ("acme", "8", "198.51.100.8", false),
            ("acme", "8", "2001:db8:1:2::9", true),
            ("acme", "8", "2001:db8:1:3::9", false),
            ("acme", "8", "2001:db8:9::8", true),
        ] {
            let head = head(tenant, user, ip);
            let subject = Subject::of(
                (&head).into(),
                &TrustedProxies::none(),
                &GrpcEndpoints::Unmatched,
                Wants::ALL,
            );
            assert_eq!(list.has(&subject), expected, "{tenant} {user} {ip}");
        }
        let mut error = ConfigError::default();
        list.clone().network("10.0.0.0/33").network("x").validate("deny", &mut error);
        assert_eq!(error.problems().len(), 2);
        let of = |network| {
            let mut error = ConfigError::default();
            AccessList::new().network(network).validate("deny", &mut error);
            error.problems().len()
        };
        assert_eq!(of("::ffff:0:0/96"), 0, "all of IPv4");
        assert_eq!(of("::ffff:0:0/95"), 1, "half IPv4, and half nothing that comes");
        assert_eq!(of("::ffff:192.0.2.0/24"), 1, "a length of IPv4 on an address of IPv6");
        assert_eq!(of("::/0"), 0, "all of IPv6");
        assert!(AccessList::new().is_empty() && !list.is_empty());
    }
}
