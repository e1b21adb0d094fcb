//! Which names the rules of several layers have, where those layers share a store.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tower_keep_core::ConfigError;

use crate::rule::{Rule, Scope};

/// The rules of all layers on one store, by name.
///
/// A rule's counters are found by its name and scope. Two layers that give the same name to
/// rules of the same scope with different windows would end each other's windows, so the second
/// one is refused. Rules of the same name, scope and window count together; their limits may
/// differ.
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
/// assert!(layer(Rule::per_user(100, minute)).is_ok());
/// assert!(layer(Rule::per_user(3, hour)).is_err());
/// assert!(layer(Rule::per_user(3, hour).named("login")).is_ok());
/// ```
#[derive(Debug, Default)]
pub struct RuleNames(Mutex<HashMap<String, Vec<(Scope, u64)>>>);

impl RuleNames {
    /// Takes the names of `rules`, all or none.
    pub(crate) fn take<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule> + Clone,
    ) -> Result<(), ConfigError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut error = ConfigError::default();
        for rule in rules.clone() {
            let (name, here) = (rule.name(), rule.window_ms());
            let same_keys = |other: &&(Scope, u64)| may_share_keys(other.0, rule.scope);
            let mut others = taken.get(name).into_iter().flatten().filter(same_keys);
            if let Some((_, there)) = others.find(|(_, there)| *there != here) {
                let message = format!(
                    "another layer on the same store has a rule of this name, whose window is \
                     {there} ms, not {here} ms: give one of them another name"
                );
                error.push(format!("rule `{name}`"), message);
            }
        }
        error.into_result(())?;
        for rule in rules {
            let entry = (rule.scope, rule.window_ms());
            let entries = taken.entry(rule.name().to_owned()).or_default();
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
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
        let take = |rule: Rule| names.take([rule].iter()).is_ok();
        assert!(take(Rule::per_user(100, minute)));
        assert!(take(Rule::per_user(7, minute)), "another limit is no other window");
        assert!(!take(Rule::per_user(100, hour)));
        assert!(!take(Rule::per_address(100, hour).named("user")), "both may count by address");
        assert!(take(Rule::per_tenant(100, hour).named("user")), "another key altogether");
        assert!(take(Rule::per_user(100, hour).named("daily")));
        assert!(take(Rule::per_user(1, minute)), "what was refused took nothing");
    }
}
