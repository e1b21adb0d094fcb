//! Limits that differ by tenant.

use tower_keep_core::TenantId;

/// What a tenant's plan grants in place of a rule's own limit. The window stays the rule's.
///
/// ```
/// use tower_keep_rate_limit::Quota;
///
/// let gold = Quota::new(10_000).with_burst(500);
/// # let _ = gold;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub(crate) limit: u64,
    pub(crate) burst: Option<u64>,
}

impl Quota {
    /// So many per window. 0 denies always. More than [`MAX_LIMIT`](crate::MAX_LIMIT) is as much.
    pub const fn new(limit: u64) -> Self {
        let most = crate::MAX_LIMIT;
        Self { limit: if limit < most { limit } else { most }, burst: None }
    }

    /// For [`Algorithm::Gcra`](crate::Algorithm::Gcra), so many at once; at least 1.
    #[must_use]
    pub const fn with_burst(self, most_at_once: u64) -> Self {
        let burst = Self::new(most_at_once).limit;
        Self { burst: Some(if burst == 0 { 1 } else { burst }), ..self }
    }
}

/// Knows the tenants' plans. Asked for every request and rule, so it must know at once: read from
/// a map in memory that something else keeps up to date. Counters stay when a limit changes.
///
/// A closure is one.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_core::TenantId;
/// use tower_keep_rate_limit::{Quota, RateLimitLayer, Rule};
///
/// let layer = RateLimitLayer::builder()
///     .memory()
///     .rule(Rule::per_tenant(100, Duration::from_secs(60)))
///     .plans(|tenant: &TenantId, rule: &str| {
///         (tenant.as_str() == "acme" && rule == "tenant").then(|| Quota::new(10_000))
///     })
///     .build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
pub trait Plans: Send + Sync + 'static {
    /// What `tenant` has in place of the limit of the rule called `rule`; `None` for the rule's
    /// own.
    fn quota(&self, tenant: &TenantId, rule: &str) -> Option<Quota>;
}

impl<F> Plans for F
where
    F: Fn(&TenantId, &str) -> Option<Quota> + Send + Sync + 'static,
{
    fn quota(&self, tenant: &TenantId, rule: &str) -> Option<Quota> {
        self(tenant, rule)
    }
}
