//! Which parts of a query tell requests apart.

use std::borrow::Cow;

/// Which parameters of a query tell responses apart, and whether their order does. By default all
/// of them in the order they come in.
///
/// The service still sees the query as it came. Leave out only what it does not look at: else one
/// caller's parameter decides what the next one gets.
///
/// ```
/// use tower_keep_response_cache::QueryRules;
///
/// let rules = QueryRules::new().without(["utm_*", "fbclid"]).sorted();
/// # let _ = rules;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRules {
    which: Which,
    sorted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Which {
    #[default]
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

impl QueryRules {
    /// All parameters, in the order they come in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only parameters of these names; a name that ends with `*` stands for all that begin so.
    #[must_use]
    pub fn only<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.which = Which::Only(names.into_iter().map(Into::into).collect());
        self
    }

    /// All parameters but those of these names; a name that ends with `*` stands for all that
    /// begin so.
    #[must_use]
    pub fn without<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.which = Which::Without(names.into_iter().map(Into::into).collect());
        self
    }

    /// The order of parameters with different names makes no difference.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.sorted = true;
        self
    }

    /// Whether a query is compared byte for byte.
    pub(super) fn keep_all_as_is(&self) -> bool {
        self.which == Which::All && !self.sorted
    }

    /// What of a query is compared; `None` where nothing is left of it.
    ///
    /// A parameter that is not written plainly stays, where it is: one service reads `u%74m_x` or
    /// `a=1;b=2` as another does not.
    pub(super) fn apply<'a>(&self, query: &'a str) -> Option<Cow<'a, str>> {
        let mut kept: Vec<&str> =
            query.split('&').filter(|parameter| self.keeps(parameter)).collect();
        if self.sorted && kept.iter().all(|parameter| is_plain(parameter)) {
            kept.sort_by_key(|parameter| name(parameter));
        }
        match kept.as_slice() {
            [] | [""] => None,
            [one] => Some(Cow::Borrowed(one)),
            several => Some(Cow::Owned(several.join("&"))),
        }
    }

    fn keeps(&self, parameter: &str) -> bool {
        let among = |names: &[String]| {
            names.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name(parameter).starts_with(start),
                None => name(parameter) == pattern,
            })
        };
        match &self.which {
            Which::All => true,
            Which::Only(names) => !is_plain(parameter) || among(names),
            Which::Without(names) => !is_plain(parameter) || !among(names),
        }
    }
}

fn name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

/// Whether every service takes the parameter for the same name and value.
fn is_plain(parameter: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name(parameter).bytes().all(plain) && !parameter.contains(';')
}
