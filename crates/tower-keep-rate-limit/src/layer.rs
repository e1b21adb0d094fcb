//! `RateLimitLayer` and its builder.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::request::Parts;
use tower_keep_core::{ConfigError, TrustedProxies, time::millis};
use tower_layer::Layer;

use crate::{
    access::AccessList,
    endpoint::{GrpcEndpoints, MAX_METHODS},
    fields::FieldChoice,
    limiter::{Limiter, OnUnidentified, Store},
    memory::MemoryStore,
    names::RuleNames,
    plans::Plans,
    rule::{MAX_WINDOW, Rule},
    rules::Rules,
    service::RateLimit,
    setup::{Lists, Newest},
    skip::Skip,
    store::LimitStore,
};

/// How long counters are kept at least, unless told otherwise.
const DEFAULT_KEY_LIFE: Duration = Duration::from_secs(900);

/// Admits requests within the limits of its rules, and answers the others with 429
/// (`RESOURCE_EXHAUSTED` over gRPC). See the [crate's](crate) page for its behaviour.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_rate_limit::{RateLimitLayer, Rule};
///
/// let layer = RateLimitLayer::builder()
///     .memory()
///     .rule(Rule::per_user(100, Duration::from_secs(900)))
///     .rule(Rule::per_tenant(20, Duration::from_secs(1)).named("burst"))
///     .build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    pub(crate) limiter: Arc<Limiter>,
}

impl RateLimitLayer {
    /// Begins a layer without store and rules.
    pub fn builder() -> RateLimitLayerBuilder {
        RateLimitLayerBuilder {
            store: None,
            fallback: None,
            rules: Vec::new(),
            default_rule: None,
            names: Arc::default(),
            lists: Lists::default(),
            plans: None,
            grpc_methods: None,
            grpc_cap: None,
            key_life: DEFAULT_KEY_LIFE,
            proxies: TrustedProxies::none(),
            skip: Skip::default(),
            on_unidentified: OnUnidentified::default(),
            fields: FieldChoice { standard: true, legacy: false },
            expose_outcome: false,
            expose_decision: false,
        }
    }

    /// Puts other rules in the place of those there are, for all services of this layer and from
    /// the next request on. Counters stay: a limit that is raised admits at once, one that is
    /// lowered counts what was counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep_core::TenantId;
    /// use tower_keep_rate_limit::{Caller, RateLimitLayer, Rule};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let minute = Duration::from_secs(60);
    /// let layer =
    ///     RateLimitLayer::builder().memory().rule(Rule::per_tenant(100, minute)).build()?;
    /// layer.reload_rules([Rule::per_tenant(200, minute).burst_rule(20, Duration::from_secs(1))])?;
    /// let stands = layer.limits().peek(&Caller::tenant(TenantId::new("acme")?)).await?;
    /// let limits: Vec<_> = stands.rules.iter().map(|rule| (&*rule.rule, rule.limit)).collect();
    /// assert_eq!(limits, [("tenant", 200), ("tenant-burst", 20)]);
    /// // What is wrong changes nothing.
    /// assert!(layer.reload_rules([Rule::per_tenant(1, Duration::ZERO)]).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`RateLimitLayerBuilder::build`]. The rules stay as they are.
    pub fn reload_rules(&self, rules: impl IntoIterator<Item = Rule>) -> Result<(), ConfigError> {
        let limiter = &self.limiter;
        let rules = Rules::new(rules.into_iter().collect(), limiter.key_life_ms)?;
        limiter.setup.exchange(|setup| {
            limiter.names.exchange(setup.rules.all(), rules.all())?;
            setup.rules = Arc::new(rules);
            Ok(())
        })
    }

    /// Puts other lists in the place of those of [`RateLimitLayerBuilder::allow`] and
    /// [`RateLimitLayerBuilder::deny`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep_core::{Principal, TenantId};
    /// use tower_keep_rate_limit::{AccessList, RateLimitLayer, Rule};
    /// # use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = tower::service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// # });
    /// let (ops, acme) = (TenantId::new("ops")?, TenantId::new("acme")?);
    /// let layer = RateLimitLayer::builder()
    ///     .memory()
    ///     .rule(Rule::per_tenant(0, Duration::from_secs(60)))
    ///     .allow(AccessList::new().tenant(ops.clone()))
    ///     .build()?;
    /// let status = async |tenant: &TenantId| {
    ///     let mut request = Request::new(());
    ///     request.extensions_mut().insert(Principal::new(tenant.clone()));
    ///     layer.layer(handler).oneshot(request).await.map(|answer| answer.status())
    /// };
    /// assert_eq!(status(&ops).await?, 200);
    /// assert_eq!(status(&acme).await?, 429);
    /// layer.reload_lists(AccessList::new(), AccessList::new().tenant(acme.clone()))?;
    /// assert_eq!(status(&ops).await?, 429);
    /// assert_eq!(status(&acme).await?, 403);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`RateLimitLayerBuilder::build`]. The lists stay as they are.
    pub fn reload_lists(&self, allow: AccessList, deny: AccessList) -> Result<(), ConfigError> {
        let mut error = ConfigError::default();
        allow.validate("allow", &mut error);
        deny.validate("deny", &mut error);
        error.into_result(())?;
        self.limiter.setup.exchange(|setup| {
            setup.lists = Arc::new(Lists { allow, deny });
            Ok(())
        })
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.limiter))
    }
}

/// Builds a [`RateLimitLayer`].
#[derive(Clone)]
#[must_use = "call `build` to get the layer"]
pub struct RateLimitLayerBuilder {
    store: Option<Store>,
    fallback: Option<Arc<MemoryStore>>,
    rules: Vec<Rule>,
    default_rule: Option<Rule>,
    names: Arc<RuleNames>,
    lists: Lists,
    plans: Option<Arc<dyn Plans>>,
    grpc_methods: Option<Vec<String>>,
    grpc_cap: Option<usize>,
    key_life: Duration,
    proxies: TrustedProxies,
    skip: Skip,
    on_unidentified: OnUnidentified,
    fields: FieldChoice,
    expose_outcome: bool,
    expose_decision: bool,
}

impl RateLimitLayerBuilder {
    /// Counts in this process, in a store of the layer's own.
    pub fn memory(self) -> Self {
        self.memory_store(Arc::new(MemoryStore::new()))
    }

    /// Counts in this process, in a store that other layers may share.
    pub fn memory_store(mut self, store: Arc<MemoryStore>) -> Self {
        self.store = Some(Store::Memory(store));
        self.fallback = None;
        self
    }

    /// Counts in a store of any kind. While it fails, rules with
    /// [`OnStoreError::Local`](crate::OnStoreError::Local) count in this process.
    pub fn store(self, store: Arc<dyn LimitStore>) -> Self {
        self.store_with_fallback(store, Arc::new(MemoryStore::new()))
    }

    /// Counts in `store`, and while it fails in `fallback`, which other layers may share.
    pub fn store_with_fallback(
        mut self,
        store: Arc<dyn LimitStore>,
        fallback: Arc<MemoryStore>,
    ) -> Self {
        self.store = Some(Store::Other(store));
        self.fallback = Some(fallback);
        self
    }

    /// Adds a rule. Up to 8, with different names. A request is admitted only if every rule that
    /// matches it admits it; if one does not, none counts it.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The rule of a layer that is given no other.
    pub fn default_rule(mut self, rule: Rule) -> Self {
        self.default_rule = Some(rule);
        self
    }

    /// Shares the names of rules with the other layers on the same store.
    pub fn names(mut self, names: Arc<RuleNames>) -> Self {
        self.names = names;
        self
    }

    /// Lets these callers pass uncounted (default: nobody). Their answers carry no rate-limit
    /// fields.
    pub fn allow(mut self, callers: AccessList) -> Self {
        self.lists.allow = callers;
        self
    }

    /// Refuses these callers with 403 (`PERMISSION_DENIED` over gRPC), whatever their limits
    /// (default: nobody), also where the request is one that is [skipped](Self::skip). Who is on
    /// both lists is refused.
    pub fn deny(mut self, callers: AccessList) -> Self {
        self.lists.deny = callers;
        self
    }

    /// Asks for the limits of each tenant (default: the rules' own).
    pub fn plans(mut self, plans: impl Plans) -> Self {
        self.plans = Some(Arc::new(plans));
        self
    }

    /// Counts these gRPC methods, such as `/shop.Orders/Place`, as endpoints of their own where no
    /// [`RouteTemplate`](tower_keep_core::RouteTemplate) is told; all others are `~unmatched`
    /// (default: all are).
    pub fn grpc_methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.grpc_methods = Some(methods.into_iter().map(Into::into).collect());
        self
    }

    /// As [`grpc_methods`](Self::grpc_methods), for a program that cannot list them: the first
    /// `most` paths (at most 1000) that each tenant calls are endpoints of their own, further ones
    /// and those over 256 bytes `~unmatched`. So are further ones of any tenant once there are
    /// 100,000 paths (26 MB of names at the worst) or 10,000 tenants; nothing is forgotten.
    /// The path is the caller's to choose: whoever uses up a tenant's places has the others of
    /// that tenant count as `~unmatched`, so prefer the list.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep_rate_limit::{RateLimitLayer, Rule};
    ///
    /// let builder = || {
    ///     RateLimitLayer::builder().memory().rule(Rule::per_endpoint(100, Duration::from_secs(60)))
    /// };
    /// let listed = builder().grpc_methods(["/shop.Orders/Place", "/shop.Orders/Cancel"]).build()?;
    /// let capped = builder().grpc_methods_up_to(50).build()?;
    /// assert!(builder().grpc_methods(["/a.B/C"]).grpc_methods_up_to(50).build().is_err());
    /// assert!(builder().grpc_methods_up_to(1001).build().is_err());
    /// # let _ = (listed, capped);
    /// # Ok::<_, tower_keep_core::ConfigError>(())
    /// ```
    pub const fn grpc_methods_up_to(mut self, most: usize) -> Self {
        self.grpc_cap = Some(most);
        self
    }

    /// How long a counter is kept at least after its window opened (default 900 s, at most a
    /// year). A counter always lives as long as its window.
    pub const fn key_life(mut self, life: Duration) -> Self {
        self.key_life = life;
        self
    }

    /// The proxies whose `X-Forwarded-For` is believed (default: none).
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Lets requests pass uncounted for which `predicate` is true, beside those that are skipped
    /// by default: `OPTIONS`, and the methods of gRPC's health and reflection services. The answers
    /// to skipped requests carry no rate-limit fields.
    pub fn skip(mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip.also(predicate);
        self
    }

    /// Counts `OPTIONS` and gRPC's health and reflection services too.
    pub fn skip_nothing_by_default(mut self) -> Self {
        self.skip.not_by_default();
        self
    }

    /// What happens to a request that has not what a rule counts by: neither user nor address, or
    /// no address where the rule counts by that alone (default: all such requests count together,
    /// and one warning is logged).
    pub const fn on_unidentified(mut self, policy: OnUnidentified) -> Self {
        self.on_unidentified = policy;
        self
    }

    /// Whether answers carry `RateLimit-Policy` and `RateLimit` (default: yes).
    pub const fn headers(mut self, send: bool) -> Self {
        self.fields.standard = send;
        self
    }

    /// Whether answers carry `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
    /// `X-RateLimit-Reset` (seconds from now) of the tightest limit (default: no).
    pub const fn legacy_headers(mut self, send: bool) -> Self {
        self.fields.legacy = send;
        self
    }

    /// Whether the [`RateLimitOutcome`](crate::RateLimitOutcome) is put into the response's
    /// extensions (default: no).
    pub const fn expose_outcome(mut self, expose: bool) -> Self {
        self.expose_outcome = expose;
        self
    }

    /// Whether a [`RateLimitDecision`](crate::RateLimitDecision) over all rules is put into the
    /// response's extensions (default: no).
    pub const fn expose_decision(mut self, expose: bool) -> Self {
        self.expose_decision = expose;
        self
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names everything wrong at once: no store, no rule, more than 8, two
    /// of one name, a limit, window, burst or key life out of range, a scope of user and address, a
    /// path that is no pattern, a network that is none.
    pub fn build(self) -> Result<RateLimitLayer, ConfigError> {
        let mut error = ConfigError::default();
        if self.key_life > MAX_WINDOW {
            let message = format!("{:?} is over {} s", self.key_life, MAX_WINDOW.as_secs());
            error.push("key_life", message);
        }
        self.lists.allow.validate("allow", &mut error);
        self.lists.deny.validate("deny", &mut error);
        let endpoints = match (self.grpc_methods, self.grpc_cap) {
            (Some(_), Some(_)) => {
                error.push("grpc_methods", "give either a list of methods or a number of them");
                GrpcEndpoints::Unmatched
            }
            (Some(methods), None) => GrpcEndpoints::Listed(methods.into_iter().collect()),
            (None, Some(most)) => {
                if most > MAX_METHODS {
                    error.push("grpc_methods_up_to", format!("`{most}` is over {MAX_METHODS}"));
                }
                GrpcEndpoints::capped(most)
            }
            (None, None) => GrpcEndpoints::Unmatched,
        };
        let mut rules = self.rules;
        if rules.is_empty() {
            rules.extend(self.default_rule);
        }
        let rules = Rules::new(rules, millis(self.key_life)).map_err(|found| error.merge(found));
        if self.store.is_none() {
            error.push("store", "no store was named: call `memory`, `redis` or `store`");
        }
        let (Ok(rules), Some(store)) = (rules, self.store) else { return Err(error) };
        error.into_result(())?;
        self.names.exchange(&[], rules.all())?;
        Ok(RateLimitLayer {
            limiter: Arc::new(Limiter {
                setup: Newest::new(rules, self.lists),
                plans: self.plans,
                endpoints,
                store,
                fallback: self.fallback,
                names: self.names,
                key_life_ms: millis(self.key_life),
                proxies: self.proxies,
                skip: self.skip,
                on_unidentified: self.on_unidentified,
                fields: self.fields,
                expose_outcome: self.expose_outcome,
                expose_decision: self.expose_decision,
                warned: AtomicBool::new(false),
            }),
        })
    }
}

impl fmt::Debug for RateLimitLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayerBuilder").field("rules", &self.rules).finish_non_exhaustive()
    }
}
