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
    /// None where nothing is limited.
    pub(crate) limit: Option<u64>,
    pub(crate) burst: Option<u64>,
}

impl Quota {
    /// So many per window. 0 denies always. More than a rule may have is as much as it may: that is
    /// [`MAX_LIMIT`](crate::MAX_LIMIT), and for [`Algorithm::Gcra`](crate::Algorithm::Gcra) 100,000
    /// per second.
    pub const fn new(limit: u64) -> Self {
        Self { limit: Some(at_most(limit)), burst: None }
    }

    /// The rule does not count the tenant at all: it asks no store, tells nothing, and denies nobody.
    /// Where no other rule counts a request either, no block holds for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep_core::TenantId;
    /// use tower_keep_rate_limit::{Quota, RateLimitLayer, Rule};
    /// # use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = tower::service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// # });
    /// let layer = RateLimitLayer::builder()
    ///     .memory()
    ///     .rule(Rule::per_tenant(1, Duration::from_secs(60)))
    ///     .plans(|_: &TenantId, _: &str| Some(Quota::unlimited()))
    ///     .build()?;
    /// for _ in 0..9 {
    ///     let answer = layer.layer(handler).oneshot(Request::new(())).await?;
    ///     assert!(answer.status().is_success() && !answer.headers().contains_key("ratelimit"));
    /// }
    /// # Ok(()) }
    /// ```
    pub const fn unlimited() -> Self {
        Self { limit: None, burst: None }
    }

    /// For [`Algorithm::Gcra`](crate::Algorithm::Gcra), so many at once; at least 1, and at most a
    /// year's worth.
    #[must_use]
    pub const fn with_burst(self, most_at_once: u64) -> Self {
        let burst = at_most(most_at_once);
        Self { burst: Some(if burst == 0 { 1 } else { burst }), ..self }
    }
}

const fn at_most(number: u64) -> u64 {
    if number < crate::MAX_LIMIT { number } else { crate::MAX_LIMIT }
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
