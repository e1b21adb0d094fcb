//! A caller as the program names it, without a request at hand.

use std::net::IpAddr;

use tower_keep_core::{ClientAddr, Principal, TenantId, UserId};

use crate::subject::Subject;

/// Somebody whose limits are looked at, reset or blocked.
///
/// ```
/// use tower_keep_core::{TenantId, UserId};
/// use tower_keep_rate_limit::Caller;
///
/// let everybody = Caller::tenant(TenantId::new("acme")?);
/// let somebody = everybody.clone().user(UserId::new("42")?).endpoint("/items/{id}");
/// # let _ = (everybody, somebody);
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Debug)]
pub struct Caller {
    tenant: TenantId,
    user: Option<UserId>,
    address: Option<ClientAddr>,
    endpoint: Option<Box<str>>,
    parts: Vec<(String, String)>,
}

impl Caller {
    /// Everybody of this tenant together.
    pub const fn tenant(tenant: TenantId) -> Self {
        Self { tenant, user: None, address: None, endpoint: None, parts: Vec::new() }
    }

    /// This user of the tenant.
    #[must_use]
    pub fn user(self, user: UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Whoever asks from this address; of an IPv6 address, from its /64 network.
    #[must_use]
    pub fn address(self, ip: IpAddr) -> Self {
        Self { address: Some(ClientAddr::new(ip)), ..self }
    }

    /// On this endpoint, named by its route's template. Without one, rules that count by endpoint
    /// are left out.
    #[must_use]
    pub fn endpoint(self, template: impl Into<String>) -> Self {
        Self { endpoint: Some(template.into().into()), ..self }
    }

    /// With this part in the key of a rule that makes one ([`Rule::by`](crate::Rule::by)). Without,
    /// that rule is left out.
    #[must_use]
    pub fn part(mut self, rule: impl Into<String>, part: impl Into<String>) -> Self {
        self.parts.push((rule.into(), part.into()));
        self
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: &self.tenant,
            user: self.user.as_ref(),
            address: self.address,
            route: self.endpoint.as_deref(),
        }
    }

    pub(crate) fn part_for(&self, rule: &str) -> Option<&str> {
        let given = self.parts.iter().rev().find(|(name, _)| name == rule);
        given.map(|(_, part)| part.as_str())
    }
}

impl From<&Principal> for Caller {
    fn from(principal: &Principal) -> Self {
        let caller = Self::tenant(principal.tenant().clone());
        match principal.user() {
            Some(user) => caller.user(user.clone()),
            None => caller,
        }
    }
}
