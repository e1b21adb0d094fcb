//! The rules of one layer, validated together and made ready for requests.

use http::HeaderValue;
use tower_keep_core::ConfigError;

use crate::{
    algorithm::{Algorithm, Terms, gcra},
    rule::{Mode, Rule},
    store::MAX_LIMITS,
    subject::Wants,
};

/// Some of a layer's rules, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched(u8);

impl Matched {
    /// The first rule alone.
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) const fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }
}

/// The rules of one layer.
#[derive(Debug)]
pub(crate) struct Rules {
    all: Box<[Rule]>,
    /// The `RateLimit-Policy` field for every combination of rules.
    policies: Box<[Option<HeaderValue>]>,
    /// How long counters are kept at least, in milliseconds.
    key_life_ms: u64,
    /// What they need to know of a request.
    pub(crate) wants: Wants,
    /// Whether more may follow from a decision than its fields: something is told to handlers,
    /// settled later, or watched only.
    pub(crate) has_extras: bool,
    /// Whether a closure looks at requests' heads.
    pub(crate) needs_parts: bool,
    /// What the only rule grants, if there is but one, and each request that it counts costs 1 and
    /// asks nothing else.
    alone: Option<Terms>,
}

impl Rules {
    pub(crate) fn new(given: Vec<Rule>, key_life_ms: u64) -> Result<Self, ConfigError> {
        let mut rules = Vec::with_capacity(given.len());
        for mut rule in given {
            let burst = rule.take_burst_rule();
            rules.push(rule);
            rules.extend(burst);
        }
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
        let wants = Wants {
            address: rules.iter().any(|rule| rule.scope.address),
            route: rules.iter().any(|rule| rule.scope.endpoint),
        };
        let needs_parts = rules.iter().any(Rule::needs_parts);
        let has_extras = rules
            .iter()
            .any(|rule| rule.told_inside || rule.late.is_some() || rule.mode == Mode::Shadow);
        let alone = match &*rules {
            [only] if !has_extras => only.plain_terms(),
            _ => None,
        };
        let all = rules.into();
        Ok(Self { all, policies, key_life_ms, wants, has_extras, needs_parts, alone })
    }

    /// The only rule, and what it grants, where nothing else is to be asked of it.
    #[inline]
    pub(crate) fn alone(&self) -> Option<(&Rule, Terms)> {
        self.all.first().zip(self.alone)
    }

    /// All rules.
    pub(crate) fn all(&self) -> &[Rule] {
        &self.all
    }

    /// The `RateLimit-Policy` field that names the rules in `matched`, with their own limits.
    pub(crate) fn policy(&self, matched: Matched) -> Option<&HeaderValue> {
        self.policies.get(usize::from(matched.0)).and_then(Option::as_ref)
    }

    /// How long a counter of `rule` is kept after its window opened, in milliseconds: at least as
    /// long as it counts.
    #[inline]
    pub(crate) fn life_ms(&self, rule: &Rule, limit: u64, burst: u64) -> u64 {
        let window = rule.window_ms();
        let counts = match rule.algorithm {
            Algorithm::FixedWindow => window,
            Algorithm::SlidingWindow => 2 * window,
            Algorithm::Gcra => gcra::burst(burst, gcra::interval(limit, window)).div_ceil(1000),
        };
        self.key_life_ms.max(counts)
    }
}

fn policy(rules: &[Rule], bits: usize) -> Option<HeaderValue> {
    let named = rules.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    let told = named.filter(|(_, rule)| is_told(rule));
    policy_of(told.map(|(_, rule)| (rule, rule.limit)))
}

/// Whether callers are told of a rule.
pub(crate) fn is_told(rule: &Rule) -> bool {
    rule.mode == Mode::Enforce && !rule.hidden
}

/// The `RateLimit-Policy` field for these rules and limits: `"user";q=100;w=900`.
pub(crate) fn policy_of<'a>(told: impl Iterator<Item = (&'a Rule, u64)>) -> Option<HeaderValue> {
    let item = |(rule, limit): (&Rule, u64)| {
        format!("\"{}\";q={limit};w={}", rule.name(), rule.window_seconds())
    };
    let items: Vec<String> = told.map(item).collect();
    // Names are plain ASCII, so this is always a header value.
    HeaderValue::try_from(items.join(", ")).ok().filter(|value| !value.is_empty())
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
        let five = (0..5).map(|n| {
            Rule::per_user(1, MINUTE).named(format!("r{n}")).burst_rule(1, Duration::from_secs(1))
        });
        assert!(Rules::new(five.collect(), 0).is_err(), "burst rules are rules");
        let twice = vec![Rule::per_user(1, MINUTE), Rule::per_tenant(1, MINUTE).named("user")];
        assert!(Rules::new(twice, 0).unwrap_err().to_string().contains("same name"));
    }

    #[test]
    fn the_policy_names_the_rules_that_are_told() {
        let rules = vec![
            Rule::per_user(100, MINUTE).burst_rule(5, Duration::from_millis(1500)),
            Rule::per_tenant(9, MINUTE).hidden(),
            Rule::per_endpoint(9, MINUTE).mode(Mode::Shadow),
        ];
        let rules = Rules::new(rules, 0).unwrap();
        let policy = |bits| rules.policy(Matched(bits)).map(|value| value.to_str().unwrap());
        assert_eq!(policy(0b0001), Some(r#""user";q=100;w=60"#));
        assert_eq!(policy(0b1111), Some(r#""user";q=100;w=60, "user-burst";q=5;w=2"#));
        assert_eq!(policy(0b1100), None);
        assert_eq!(policy(0), None);
    }

    #[test]
    fn counters_outlive_what_they_count() {
        let life = |rule: Rule, key_life| {
            let rules = Rules::new(vec![rule], key_life).unwrap();
            let rule = &rules.all()[0];
            rules.life_ms(rule, rule.limit, rule.most_at_once(rule.limit, None))
        };
        assert_eq!(life(Rule::per_user(1, MINUTE), 900_000), 900_000);
        assert_eq!(life(Rule::per_user(1, MINUTE), 1), 60_000);
        assert_eq!(life(Rule::per_user(1, MINUTE).algorithm(Algorithm::SlidingWindow), 1), 120_000);
        let gcra = Rule::per_user(6, MINUTE).algorithm(Algorithm::Gcra).burst(12);
        assert_eq!(life(gcra, 1), 120_000);
    }
}
