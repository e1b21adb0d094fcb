//! Which names the rules of several layers have, where those layers share a store.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tower_keep_core::{ConfigError, CostUnit};

use crate::{
    algorithm::Algorithm,
    rule::{Rule, Scope},
};

/// The rules of all layers on one store, by name.
///
/// A rule's counters are found by its name and scope. Two layers that give the same name to
/// rules of the same scope with different windows or algorithms would end each other's windows, and
/// with different units of a late cost would add up what is not alike, so the second one is refused.
/// Rules of the same name, scope, window and unit count together; their limits may differ.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tower_keep_rate_limit::{MemoryStore, RateLimitLayer, Rule, RuleNames};
///
/// let (store, names) = (Arc::new(MemoryStore::new()), Arc::new(RuleNames::default()));
/// let layer = |rule| {
///     RateLimitLayer::builder().memory_store(store.clone()).names(names.clone()).rule(rule).build()
/// };
/// let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
/// let per_minute = layer(Rule::per_user(100, minute))?;
/// assert!(layer(Rule::per_user(3, hour)).is_err());
/// assert!(layer(Rule::per_user(3, hour).named("login")).is_ok());
/// // A layer that is gone, with all its services, has given its names back.
/// drop(per_minute);
/// assert!(layer(Rule::per_user(3, hour)).is_ok());
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct RuleNames(Mutex<HashMap<String, Vec<Taken>>>);

/// A name as several rules may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    scope: Scope,
    algorithm: Algorithm,
    window_ms: u64,
    /// What it counts in, if that is known late.
    late: Option<CostUnit>,
    /// How many rules do.
    rules: usize,
}

impl Taken {
    fn by(rule: &Rule) -> Self {
        let Rule { scope, algorithm, late, .. } = *rule;
        Self { scope, algorithm, window_ms: rule.window_ms(), late, rules: 1 }
    }

    /// Whether both count in the same way.
    fn is_like(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.window_ms == other.window_ms
            && self.late == other.late
    }

    /// As an error tells it.
    fn in_words(&self) -> String {
        let unit = self.late.map_or("requests", CostUnit::name);
        format!("its window is {} ms of {unit} ({:?})", self.window_ms, self.algorithm)
    }
}

impl RuleNames {
    /// Gives back the names of the rules `before`, and takes those of the rules `after`; all or
    /// nothing.
    pub(crate) fn exchange(&self, before: &[Rule], after: &[Rule]) -> Result<(), ConfigError> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = names.clone();
        for rule in before {
            let uses = taken.entry(rule.name().to_owned()).or_default();
            let by = Taken::by(rule);
            if let Some(same) = uses.iter_mut().find(|it| it.scope == by.scope && it.is_like(&by)) {
                same.rules -= 1;
            }
            uses.retain(|it| it.rules > 0);
        }
        let mut error = ConfigError::default();
        for rule in after {
            let by = Taken::by(rule);
            let uses = taken.entry(rule.name().to_owned()).or_default();
            let shares = |it: &&Taken| may_share_keys(it.scope, by.scope);
            if let Some(other) = uses.iter().filter(shares).find(|it| !it.is_like(&by)) {
                let message = format!(
                    "another layer on the same store has a rule of this name, which counts in \
                     another way: {}, not {}: give one of them another name",
                    other.in_words(),
                    by.in_words()
                );
                error.push(format!("rule `{}`", rule.name()), message);
            }
            match uses.iter_mut().find(|it| it.scope == by.scope && it.is_like(&by)) {
                Some(same) => same.rules += 1,
                None => uses.push(by),
            }
        }
        error.into_result(())?;
        *names = taken;
        Ok(())
    }
}

/// Whether rules of one name and these scopes can have a counter in common. A user without a
/// name counts by address.
const fn may_share_keys(one: Scope, other: Scope) -> bool {
    let by_caller = one.user || one.address;
    one.endpoint == other.endpoint && by_caller == (other.user || other.address)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_has_one_window_wherever_keys_may_be_shared() {
        let names = RuleNames::default();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let take = |rule: Rule| names.exchange(&[], &[rule]).is_ok();
        assert!(take(Rule::per_user(100, minute)));
        assert!(take(Rule::per_user(7, minute)), "another limit is no other window");
        assert!(!take(Rule::per_user(100, hour)));
        assert!(!take(Rule::per_address(100, hour).named("user")), "both may count by address");
        assert!(take(Rule::per_tenant(100, hour).named("user")), "another key altogether");
        assert!(take(Rule::per_user(100, hour).named("daily")));
        assert!(take(Rule::per_user(1, minute)), "what was refused took nothing");
        let sliding = Rule::per_user(1, minute).algorithm(Algorithm::SlidingWindow);
        assert!(!take(sliding), "its counters are others");
        let late = |unit| Rule::per_user(1, minute).late(unit);
        assert!(!take(late(CostUnit::TOKENS)), "tokens are not requests");
        assert!(take(late(CostUnit::TOKENS).named("tokens")));
        assert!(take(late(CostUnit::TOKENS).named("tokens")));
        assert!(!take(late(CostUnit::BYTES).named("tokens")));
        assert!(!take(Rule::per_user(1, minute).named("tokens")));
    }

    #[test]
    fn names_are_exchanged_all_or_nothing() {
        let names = RuleNames::default();
        let rule = |seconds| [Rule::per_user(1, Duration::from_secs(seconds))];
        names.exchange(&[], &rule(60)).unwrap();
        names.exchange(&rule(60), &rule(30)).unwrap();
        assert!(names.exchange(&[], &rule(60)).is_err(), "it is 30 s now");
        names.exchange(&[], &rule(30)).unwrap();
        assert!(names.exchange(&rule(30), &rule(60)).is_err(), "the other layer is still there");
        assert!(names.exchange(&[], &rule(30)).is_ok());
    }
}
