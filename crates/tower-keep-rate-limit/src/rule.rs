//! What a limit is: whom it counts together, how many in how long, for which requests.

mod closure;
mod filter;
mod scope;

use std::{sync::Arc, time::Duration};

use http::{Method, request::Parts};
use tower_keep_core::{ConfigError, CostUnit, Head, key::DEFAULT_RULE, time::millis};

pub(crate) use self::closure::Closure;
use self::filter::Filter;
pub use self::scope::Scope;
use crate::{
    algorithm::{Algorithm, Terms, gcra},
    plans::Quota,
};

/// The most that a limit can allow in one window.
pub const MAX_LIMIT: u64 = 1_000_000_000;
/// The longest window: one year of 365 days.
pub const MAX_WINDOW: Duration = Duration::from_secs(31_536_000);
/// The shortest interval between two requests that GCRA is exact enough for, in microseconds.
const MIN_INTERVAL: u64 = 10;

/// What happens to a request when the store that counts for a rule fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreError {
    /// Count in this process until the store is back. The count starts empty, and each process
    /// has its own: in each window of an outage up to the number of processes times the limit
    /// may be admitted.
    #[default]
    Local,
    /// Let the request pass uncounted.
    Open,
    /// Answer 503 (`UNAVAILABLE` over gRPC), never 429.
    Closed,
}

/// Whether a rule is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It denies what is over its limit.
    #[default]
    Enforce,
    /// It counts what it would admit, denies nothing, is told to no caller, and does not stop
    /// other rules. What it would have denied is counted in
    /// `tower_keep_shadow_denied_total{layer, rule}`, whether or not another rule denied it; but
    /// for requests that were refused before it was looked at (known denials).
    Shadow,
    /// It does not exist, but keeps its place and its counters.
    Off,
}

/// One limit: at most `limit` requests in each window, for each group of its [`Scope`].
///
/// Unless another [`Algorithm`] is chosen, the window is fixed and anchored: it opens with a
/// group's first request and ends one window later, when the full limit is there again at once.
///
/// ```
/// use std::time::Duration;
/// use http::Method;
/// use tower_keep_rate_limit::{Algorithm, OnStoreError, Rule, Scope};
///
/// let daily = Rule::per_user(10_000, Duration::from_secs(86_400))
///     .named("daily")
///     .algorithm(Algorithm::SlidingWindow)
///     .burst_rule(20, Duration::from_secs(1));
/// let login = Rule::per(Scope::tenant().address().endpoint(), 10, Duration::from_secs(60))
///     .named("login")
///     .methods([Method::POST])
///     .paths(["/login", "/password/{*rest}"])
///     .on_store_error(OnStoreError::Closed);
/// # let _ = (daily, login);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a rule does nothing until it is given to a layer"]
pub struct Rule {
    name: Arc<str>,
    pub(crate) scope: Scope,
    pub(crate) limit: u64,
    window: Duration,
    /// The same in milliseconds.
    window_ms: u64,
    pub(crate) algorithm: Algorithm,
    burst: Option<u64>,
    beside: Option<(u64, Duration)>,
    pub(crate) mode: Mode,
    pub(crate) hidden: bool,
    pub(crate) told_inside: bool,
    filter: Filter,
    pub(crate) part: Option<Closure<Option<String>>>,
    cost: Option<Closure<u64>>,
    pub(crate) late: Option<CostUnit>,
    pub(crate) on_store_error: OnStoreError,
}

impl Rule {
    /// At most `limit` requests per `window` for each group of `scope`. Named `default`.
    ///
    /// A limit of 0 denies always, without asking the store.
    pub fn per(scope: Scope, limit: u64, window: Duration) -> Self {
        Self {
            name: DEFAULT_RULE.into(),
            scope,
            limit,
            window,
            window_ms: millis(window),
            algorithm: Algorithm::default(),
            burst: None,
            beside: None,
            mode: Mode::default(),
            hidden: false,
            told_inside: false,
            filter: Filter::default(),
            part: None,
            cost: None,
            late: None,
            on_store_error: OnStoreError::default(),
        }
    }

    /// For each tenant as a whole. Named `tenant`.
    pub fn per_tenant(limit: u64, window: Duration) -> Self {
        Self::per(Scope::tenant(), limit, window).named("tenant")
    }

    /// For each user, on all endpoints together. Named `user`.
    pub fn per_user(limit: u64, window: Duration) -> Self {
        Self::per(Scope::tenant().user(), limit, window).named("user")
    }

    /// For each endpoint, all users together. Named `endpoint`.
    pub fn per_endpoint(limit: u64, window: Duration) -> Self {
        Self::per(Scope::tenant().endpoint(), limit, window).named("endpoint")
    }

    /// For each client address. Named `address`.
    pub fn per_address(limit: u64, window: Duration) -> Self {
        Self::per(Scope::tenant().address(), limit, window).named("address")
    }

    /// Gives the rule another name. Names are unique in a layer; they stand in the answer's
    /// headers and, but for `default`, in the counters' keys. Layers on one store count together
    /// where they use the same name (see [`RuleNames`](crate::RuleNames)). 1 to 64 letters, digits, `.`, `_`
    /// or `-`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// How it counts (default: [`Algorithm::FixedWindow`]).
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// For [`Algorithm::Gcra`], how much may come at once (default: the limit).
    pub const fn burst(mut self, most_at_once: u64) -> Self {
        self.burst = Some(most_at_once);
        self
    }

    /// Adds a second rule beside this one, alike in all but its limit and its window, which is
    /// fixed: for example 20 per second beside 100 per 900 s. It is called `burst` beside the
    /// rule `default`, and `user-burst` beside `user`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep_core::{TenantId, UserId};
    /// use tower_keep_rate_limit::{Caller, RateLimitLayer, Rule};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rule = Rule::per_user(100, Duration::from_secs(900)).burst_rule(20, Duration::from_secs(1));
    /// let layer = RateLimitLayer::builder().memory().rule(rule).build()?;
    /// let caller = Caller::tenant(TenantId::new("acme")?).user(UserId::new("42")?);
    /// let stands = layer.limits().peek(&caller).await?;
    /// let limits: Vec<_> = stands.rules.iter().map(|rule| (&*rule.rule, rule.limit)).collect();
    /// assert_eq!(limits, [("user", 100), ("user-burst", 20)]);
    /// # Ok(()) }
    /// ```
    pub const fn burst_rule(mut self, limit: u64, window: Duration) -> Self {
        self.beside = Some((limit, window));
        self
    }

    /// Whether it is enforced (default: yes).
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Leaves the rule out of the header fields and of the names of violated policies. It denies
    /// all the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep_rate_limit::{RateLimitLayer, Rule};
    /// # use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = tower::service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// # });
    /// let hour = Duration::from_secs(3600);
    /// let layer = RateLimitLayer::builder()
    ///     .memory()
    ///     .rule(Rule::per_tenant(1, hour).named("secret").hidden())
    ///     .rule(Rule::per_tenant(9, hour))
    ///     .build()?;
    /// let first = layer.layer(handler).oneshot(Request::new(())).await?;
    /// assert_eq!(first.headers()["ratelimit-policy"], r#""tenant";q=9;w=3600"#);
    /// let second = layer.layer(handler).oneshot(Request::new(())).await?;
    /// assert_eq!(second.status(), 429);
    /// # Ok(()) }
    /// ```
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Puts a [`RateLimitDecision`](crate::RateLimitDecision) into the extensions of the requests
    /// it counts, so that handlers see how their caller stands.
    pub const fn tell_handlers(mut self) -> Self {
        self.told_inside = true;
        self
    }

    /// Makes the groups smaller by something in the request: an API key, a model. What the
    /// closure returns is part of the counter's key; `None` for several requests counts them
    /// together. Let it be something that the caller cannot choose at will.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tower_keep_rate_limit::Rule;
    ///
    /// let by_model = Rule::per_tenant(50, Duration::from_secs(60)).named("model").by(|head| {
    ///     let model = head.headers.get("x-model")?.to_str().ok()?;
    ///     ["small", "large"].contains(&model).then(|| model.to_owned())
    /// });
    /// # let _ = by_model;
    /// ```
    pub fn by(mut self, part: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.part = Some(Closure::new(part));
        self
    }

    /// Counts requests with one of these methods only.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.filter.methods(methods);
        self
    }

    /// Counts requests whose path matches one of these patterns only: `/login`, `/users/{id}`,
    /// `/api/{*rest}`. They are compared with the path as it was asked, and with the percent-encoding
    /// undone, where `%2F` may be a slash or not; a `/` more at the end is another path.
    pub fn paths<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.filter.paths(patterns);
        self
    }

    /// Counts requests only for which `predicate` is true. Can be added several times: all must
    /// be.
    pub fn when(mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.filter.also(predicate);
        self
    }

    /// How much a request costs (default: 1). 0 is admitted uncounted; what costs more than the
    /// limit is never admitted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep_rate_limit::{RateLimitLayer, Rule};
    /// # use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = tower::service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// # });
    /// let rule = Rule::per_tenant(10, Duration::from_secs(60))
    ///     .cost(|head| if head.uri.path() == "/export" { 8 } else { 1 });
    /// let layer = RateLimitLayer::builder().memory().rule(rule).build()?;
    /// for (path, status) in [("/export", 200), ("/export", 429), ("/", 200), ("/", 200), ("/", 429)] {
    ///     let answer = layer.layer(handler).oneshot(Request::get(path).body(())?).await?;
    ///     assert_eq!(answer.status(), status, "{path}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn cost(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.cost = Some(Closure::new(cost));
        self
    }

    /// Counts what a request turns out to have cost in `unit`, which is known only when its answer
    /// ends: tokens, bytes. What [`Rule::cost`] says (default: 1) is reserved meanwhile, and must
    /// be at least 1.
    ///
    /// [`CostUnit::BYTES`] are those of the response's body, counted here. Any other unit is told
    /// by the service inside, through the [`LateCost`](tower_keep_core::LateCost) in the request's
    /// extensions. The answer to a HEAD request ends with its head.
    pub const fn late(mut self, unit: CostUnit) -> Self {
        self.late = Some(unit);
        self
    }

    /// What happens when the store fails (default: count in this process).
    pub const fn on_store_error(mut self, policy: OnStoreError) -> Self {
        self.on_store_error = policy;
        self
    }

    /// The rule's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The rule's name as part of a key; the default rule has none.
    pub(crate) fn key_name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| *name != DEFAULT_RULE)
    }

    /// The most at once, if `limit` is its limit.
    pub(crate) fn most_at_once(&self, limit: u64, burst: Option<u64>) -> u64 {
        if self.algorithm == Algorithm::Gcra {
            burst.or(self.burst).unwrap_or(limit)
        } else {
            limit
        }
    }

    /// Its limit and the most at once, where a plan has this in place of its own; `None` where that
    /// is no limit. No plan grants more than a rule may.
    #[inline]
    pub(crate) fn granted(&self, quota: Option<Quota>) -> Option<(u64, u64)> {
        let Some(quota) = quota else {
            return Some((self.limit, self.most_at_once(self.limit, None)));
        };
        let limit = quota.limit?;
        if self.algorithm != Algorithm::Gcra {
            return Some((limit, limit));
        }
        let limit = limit.min(self.most_by_gcra());
        let year = millis(MAX_WINDOW) * 1000 / gcra::interval(limit, self.window_ms);
        Some((limit, self.most_at_once(limit, quota.burst).min(year)))
    }

    /// The highest limit that GCRA is exact enough for.
    const fn most_by_gcra(&self) -> u64 {
        self.window_ms.saturating_mul(1000) / MIN_INTERVAL
    }

    /// What it grants, if each request that it counts costs 1 and it makes no part of the key.
    pub(crate) fn plain_terms(&self) -> Option<Terms> {
        let is_plain = self.part.is_none() && self.cost.is_none() && self.late.is_none();
        let burst = self.most_at_once(self.limit, None);
        is_plain.then(|| Terms::new(self.algorithm, self.limit, self.window_ms, burst))
    }

    /// The window's length in milliseconds.
    pub(crate) const fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// The window's length in whole seconds, rounded up.
    pub(crate) const fn window_seconds(&self) -> u64 {
        self.window_ms().div_ceil(1000)
    }

    /// Whether the rule counts the request with this head.
    #[inline]
    pub(crate) fn matches(&self, head: Head<'_>) -> bool {
        self.mode != Mode::Off && self.filter.matches(head)
    }

    /// Whether a closure looks at requests' heads.
    pub(crate) fn needs_parts(&self) -> bool {
        self.filter.needs_parts() || self.part.is_some() || self.cost.is_some()
    }

    /// What the request with this head costs before it is known.
    #[inline]
    pub(crate) fn cost_of(&self, head: Head<'_>) -> u64 {
        let cost = self.cost.as_ref().map_or(1, |cost| cost.ask(head));
        if self.late.is_some() { cost.max(1) } else { cost }
    }

    /// The rule beside it, if it has one.
    pub(crate) fn take_burst_rule(&mut self) -> Option<Self> {
        let (limit, window) = self.beside.take()?;
        let name = if &*self.name == DEFAULT_RULE {
            "burst".to_owned()
        } else {
            format!("{}-burst", self.name)
        };
        let window_ms = millis(window);
        let burst = Self { limit, window, window_ms, burst: None, ..self.clone() }.named(name);
        Some(burst.algorithm(Algorithm::FixedWindow))
    }

    /// Notes in `error` everything that is wrong with the rule.
    pub(crate) fn validate(&self, error: &mut ConfigError) {
        let name = format!("rule `{}`", self.name.escape_debug());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            error.push(&name, "a name has 1 to 64 letters, digits, `.`, `_` or `-`");
        }
        if self.limit > MAX_LIMIT {
            error.push(&name, format!("the limit {} is over {MAX_LIMIT}", self.limit));
        }
        if self.window_ms() == 0 || self.window > MAX_WINDOW {
            let message = format!(
                "the window {:?} is not between 1 ms and {} s",
                self.window,
                MAX_WINDOW.as_secs()
            );
            error.push(&name, message);
        }
        if self.scope.user && self.scope.address {
            error.push(&name, "a scope has the user or the client address, not both");
        }
        if self.algorithm == Algorithm::Gcra {
            self.validate_gcra(&name, error);
        } else if self.burst.is_some() {
            error.push(&name, "`burst` is for `Algorithm::Gcra`; `burst_rule` is for windows");
        }
        self.filter.validate(&name, error);
    }

    fn validate_gcra(&self, name: &str, error: &mut ConfigError) {
        let (limit, window) = (self.limit, self.window_ms());
        let interval = gcra::interval(limit, window);
        if limit > self.most_by_gcra() {
            error.push(name, "GCRA is for up to 100,000 per second: choose a window");
        }
        let most = self.most_at_once(limit, None);
        if most == 0 && limit > 0 {
            error.push(name, "a burst of 0 would deny always");
        }
        if most > MAX_LIMIT || gcra::burst(most, interval) > millis(MAX_WINDOW) * 1000 {
            error.push(
                name,
                format!("a burst of {most} is over {MAX_LIMIT}, or over a year's worth"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn problems(rule: &Rule) -> usize {
        let mut error = ConfigError::default();
        rule.validate(&mut error);
        error.problems().len()
    }

    #[test]
    fn rules_are_validated() {
        assert_eq!(problems(&Rule::per_user(0, SECOND)), 0, "0 is a limit: deny always");
        assert_eq!(problems(&Rule::per_user(MAX_LIMIT, MAX_WINDOW)), 0);
        assert_eq!(problems(&Rule::per_user(MAX_LIMIT + 1, SECOND)), 1);
        assert_eq!(problems(&Rule::per_user(1, Duration::ZERO)), 1);
        assert_eq!(problems(&Rule::per_user(1, Duration::from_micros(999))), 1);
        assert_eq!(problems(&Rule::per_user(1, MAX_WINDOW + SECOND)), 1);
        assert_eq!(problems(&Rule::per_user(1, Duration::MAX)), 1);
        assert_eq!(problems(&Rule::per(Scope::tenant().user().address(), 1, SECOND)), 1);
        assert_eq!(problems(&Rule::per_user(1, SECOND).methods([])), 1);
        for name in ["", "a b", "a:b", "ü", "\"", &"x".repeat(65)] {
            assert_eq!(problems(&Rule::per_user(1, SECOND).named(name)), 1, "{name:?}");
        }
    }

    #[test]
    fn bursts_are_validated() {
        let gcra = |limit, window| Rule::per_user(limit, window).algorithm(Algorithm::Gcra);
        assert_eq!(problems(&gcra(100_000, SECOND)), 0);
        assert_eq!(problems(&gcra(100_001, SECOND)), 1);
        assert_eq!(problems(&gcra(0, SECOND)), 0);
        assert_eq!(problems(&gcra(1, MAX_WINDOW)), 0);
        assert_eq!(problems(&gcra(1, MAX_WINDOW).burst(2)), 1);
        assert_eq!(problems(&gcra(5, SECOND).burst(0)), 1);
        assert_eq!(problems(&gcra(5, SECOND).burst(500)), 0);
        assert_eq!(problems(&Rule::per_user(5, SECOND).burst(5)), 1);
    }

    #[test]
    fn a_plan_grants_no_more_than_a_rule_may() {
        let gcra = Rule::per_user(5, SECOND).algorithm(Algorithm::Gcra);
        let granted = |rule: &Rule, quota| rule.granted(Some(quota));
        let most = Quota::new(1_000_000_000);
        assert_eq!(granted(&gcra, most), Some((100_000, 100_000)), "as many as are admitted");
        assert_eq!(granted(&gcra, most.with_burst(7)), Some((100_000, 7)));
        assert_eq!(granted(&gcra, Quota::new(0)), Some((0, 0)));
        let millisecond = Rule::per_user(1, SECOND / 1000).algorithm(Algorithm::Gcra);
        assert_eq!(granted(&millisecond, most), Some((100, 100)));
        let slow = Quota::new(1).with_burst(1_000_000_000);
        assert_eq!(granted(&gcra, slow), Some((1, 31_536_000)), "a year's worth");
        assert_eq!(granted(&gcra.clone().burst(3), Quota::new(9)), Some((9, 3)), "its own burst");
        assert_eq!(granted(&Rule::per_user(5, SECOND), most), Some((1_000_000_000, 1_000_000_000)));
        assert_eq!(gcra.granted(None), Some((5, 5)));
        assert_eq!(granted(&gcra, Quota::unlimited()), None);
        assert_eq!(granted(&gcra, Quota::unlimited().with_burst(3)), None);
    }

    #[test]
    fn a_burst_rule_is_alike_but_for_its_limit() {
        let mut rule = Rule::per_user(100, MAX_WINDOW)
            .algorithm(Algorithm::SlidingWindow)
            .hidden()
            .burst_rule(20, SECOND);
        let burst = rule.take_burst_rule().unwrap();
        assert_eq!((burst.name(), burst.limit, burst.window_ms()), ("user-burst", 20, 1000));
        assert!(burst.hidden && burst.scope == rule.scope);
        assert_eq!(burst.algorithm, Algorithm::FixedWindow);
        assert!(rule.take_burst_rule().is_none());
        let mut default = Rule::per(Scope::tenant(), 1, SECOND).burst_rule(1, SECOND);
        assert_eq!(default.take_burst_rule().unwrap().name(), "burst");
    }

    #[test]
    fn windows_are_told_in_whole_seconds_rounded_up() {
        assert_eq!(Rule::per_user(5, Duration::from_millis(1500)).window_seconds(), 2);
    }

    #[test]
    fn a_late_cost_reserves_at_least_one() {
        let (head, ()) = http::Request::new(()).into_parts();
        let free = Rule::per_user(5, SECOND).cost(|_| 0);
        assert_eq!(free.cost_of((&head).into()), 0);
        assert_eq!(free.late(CostUnit::TOKENS).cost_of((&head).into()), 1);
    }
}
