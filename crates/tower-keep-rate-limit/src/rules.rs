//! The rules of one layer, validated together and made ready for requests.

use http::{HeaderValue, Method};
use tower_keep_core::ConfigError;

use crate::{rule::Rule, store::MAX_LIMITS};

/// Some of a layer's rules, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched(u8);

impl Matched {
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The rules of one layer.
#[derive(Debug)]
pub(crate) struct Rules {
    all: Box<[Rule]>,
    /// The `RateLimit-Policy` field for every combination of rules.
    policies: Box<[HeaderValue]>,
    /// How long counters are kept at least, in milliseconds.
    key_life_ms: u64,
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>, key_life_ms: u64) -> Result<Self, ConfigError> {
        let mut error = ConfigError::default();
        if rules.is_empty() || rules.len() > MAX_LIMITS {
            let message = format!("a layer has 1 to {MAX_LIMITS} rules, not {}", rules.len());
            error.push("rules", message);
        }
        for (index, rule) in rules.iter().enumerate() {
            rule.validate(&mut error);
            if rules.iter().take(index).any(|other| other.name() == rule.name()) {
                let name = rule.name().escape_debug();
                error.push(format!("rule `{name}`"), "another rule has the same name");
            }
        }
        error.into_result(())?;
        let combinations = 0..1_usize << rules.len();
        let policies = combinations.map(|bits| policy(&rules, bits)).collect();
        Ok(Self { all: rules.into(), policies, key_life_ms })
    }

    /// All rules.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.all.iter()
    }

    /// The rules that count a request with `method`.
    pub(crate) fn matching(&self, method: &Method) -> Matched {
        self.subset(Matched(u8::MAX), |rule| rule.matches(method))
    }

    /// Those of `matched` that are `wanted`.
    pub(crate) fn subset(&self, matched: Matched, wanted: impl Fn(&Rule) -> bool) -> Matched {
        let places = self.all.iter().enumerate();
        let bits = places
            .filter(|(index, rule)| matched.0 & (1 << index) != 0 && wanted(rule))
            .fold(0, |bits, (index, _)| bits | 1 << index);
        Matched(bits)
    }

    /// The rules in `matched`, in the order given to the layer.
    pub(crate) fn iter(&self, matched: Matched) -> impl Iterator<Item = &Rule> {
        let places = self.all.iter().enumerate();
        places.filter(move |(index, _)| matched.0 & (1 << index) != 0).map(|(_, rule)| rule)
    }

    /// The `RateLimit-Policy` field that names the rules in `matched`.
    pub(crate) fn policy(&self, matched: Matched) -> Option<&HeaderValue> {
        self.policies.get(usize::from(matched.0)).filter(|_| !matched.is_empty())
    }

    /// How long a counter of `rule` is kept after its window opened, in milliseconds.
    pub(crate) fn life_ms(&self, rule: &Rule) -> u64 {
        self.key_life_ms.max(rule.window_ms())
    }
}

fn policy(rules: &[Rule], bits: usize) -> HeaderValue {
    let named = rules.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    let items: Vec<String> = named.map(|(_, rule)| rule.to_string()).collect();
    // Names are plain ASCII, so this is always a header value.
    HeaderValue::try_from(items.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn names_are_unique_and_there_are_1_to_8_rules() {
        assert!(Rules::new(vec![], 0).is_err());
        let nine = (0..9).map(|n| Rule::per_user(1, MINUTE).named(format!("r{n}"))).collect();
        assert!(Rules::new(nine, 0).is_err());
        let twice = vec![Rule::per_user(1, MINUTE), Rule::per_tenant(1, MINUTE).named("user")];
        assert!(Rules::new(twice, 0).unwrap_err().to_string().contains("same name"));
    }

    #[test]
    fn the_policy_names_the_rules_that_matched() {
        let rules = vec![
            Rule::per_user(100, MINUTE),
            Rule::per_user(5, Duration::from_secs(1)).named("login").methods([Method::POST]),
        ];
        let rules = Rules::new(rules, 0).unwrap();
        let policy = |method| rules.policy(rules.matching(&method)).unwrap().to_str().unwrap();
        assert_eq!(policy(Method::GET), r#""user";q=100;w=60"#);
        assert_eq!(policy(Method::POST), r#""user";q=100;w=60, "login";q=5;w=1"#);
        let only_posts = vec![Rule::per_user(1, MINUTE).methods([Method::POST])];
        let rules = Rules::new(only_posts, 0).unwrap();
        assert!(rules.matching(&Method::GET).is_empty());
        assert_eq!(rules.policy(rules.matching(&Method::GET)), None);
    }

    #[test]
    fn counters_outlive_their_window() {
        let rules = Rules::new(vec![Rule::per_user(1, MINUTE)], 900_000).unwrap();
        assert_eq!(rules.iter(Matched(1)).map(|rule| rules.life_ms(rule)).next(), Some(900_000));
        let rules = Rules::new(vec![Rule::per_user(1, MINUTE)], 1).unwrap();
        assert_eq!(rules.iter(Matched(1)).map(|rule| rules.life_ms(rule)).next(), Some(60_000));
    }
}
