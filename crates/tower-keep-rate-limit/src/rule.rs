//! What a limit is: whom it counts together, how many in how long, for which requests.

use std::{fmt, time::Duration};

use http::Method;
use tower_keep_core::{ConfigError, time::millis};

/// The most that a limit can allow in one window.
pub const MAX_LIMIT: u64 = 1_000_000_000;
/// The longest window: one year of 365 days.
pub const MAX_WINDOW: Duration = Duration::from_secs(31_536_000);
/// The name of the rule whose keys carry no rule name.
const DEFAULT_NAME: &str = "default";

/// Whom a rule counts together. The tenant is part of every scope; each further part makes the
/// groups smaller.
///
/// ```
/// use tower_keep_rate_limit::Scope;
///
/// let each_user_on_each_route = Scope::tenant().user().endpoint();
/// let each_address = Scope::tenant().address();
/// # let _ = (each_user_on_each_route, each_address);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub(crate) user: bool,
    pub(crate) endpoint: bool,
    pub(crate) address: bool,
}

impl Scope {
    /// The whole tenant.
    pub const fn tenant() -> Self {
        Self { user: false, endpoint: false, address: false }
    }

    /// Each user apart. A request without a user counts by its client address.
    #[must_use]
    pub const fn user(self) -> Self {
        Self { user: true, ..self }
    }

    /// Each endpoint (route template) apart. Requests that match no route count together.
    #[must_use]
    pub const fn endpoint(self) -> Self {
        Self { endpoint: true, ..self }
    }

    /// Each client address apart, whoever the user is: an IPv4 address, or an IPv6 /64 network.
    /// Cannot be combined with [`Scope::user`].
    #[must_use]
    pub const fn address(self) -> Self {
        Self { address: true, ..self }
    }
}

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

/// One limit: at most `limit` requests in each window, for each group of its [`Scope`].
///
/// The window is fixed and anchored: it opens with a group's first request and ends one window
/// later, when the full limit is there again at once.
///
/// ```
/// use std::time::Duration;
/// use http::Method;
/// use tower_keep_rate_limit::{OnStoreError, Rule, Scope};
///
/// let daily = Rule::per_user(10_000, Duration::from_secs(86_400)).named("daily");
/// let login = Rule::per(Scope::tenant().address().endpoint(), 10, Duration::from_secs(60))
///     .named("login")
///     .methods([Method::POST])
///     .on_store_error(OnStoreError::Closed);
/// # let _ = (daily, login);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a rule does nothing until it is given to a layer"]
pub struct Rule {
    name: String,
    pub(crate) scope: Scope,
    pub(crate) limit: u64,
    window: Duration,
    methods: Option<Vec<Method>>,
    pub(crate) on_store_error: OnStoreError,
}

impl Rule {
    /// At most `limit` requests per `window` for each group of `scope`. Named `default`.
    ///
    /// A limit of 0 denies always, without asking the store.
    pub fn per(scope: Scope, limit: u64, window: Duration) -> Self {
        Self {
            name: DEFAULT_NAME.to_owned(),
            scope,
            limit,
            window,
            methods: None,
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
        self.name = name.into();
        self
    }

    /// Counts requests with one of these methods only.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
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

    /// The rule's name as part of a key; the default rule has none.
    pub(crate) fn key_name(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| *name != DEFAULT_NAME)
    }

    /// The window's length in milliseconds.
    pub(crate) fn window_ms(&self) -> u64 {
        millis(self.window)
    }

    /// The window's length in whole seconds, rounded up.
    pub(crate) fn window_seconds(&self) -> u64 {
        self.window_ms().div_ceil(1000)
    }

    /// Whether the rule counts requests with `method`.
    pub(crate) fn matches(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
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
        if self.methods.as_ref().is_some_and(Vec::is_empty) {
            error.push(&name, "`methods` was given no method, so the rule would match nothing");
        }
    }
}

impl fmt::Display for Rule {
    /// As an item of the `RateLimit-Policy` field: `"user";q=100;w=900`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\";q={};w={}", self.name, self.limit, self.window_seconds())
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
    fn windows_are_told_in_whole_seconds_rounded_up() {
        let rule = Rule::per_user(5, Duration::from_millis(1500)).named("burst");
        assert_eq!(rule.to_string(), "\"burst\";q=5;w=2");
    }
}
