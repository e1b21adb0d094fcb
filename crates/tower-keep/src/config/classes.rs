//! The `<CLASS>_CACHE_TTL` variables.

use std::{collections::BTreeMap, time::Duration};

use super::cache::LONGEST;
use crate::env::Env;

/// What follows a class's name in its variable.
pub(super) const SUFFIX: &str = "_CACHE_TTL";
/// The classes whose lifetimes differ from the rest if nobody says so, in seconds.
const DEFAULTS: [(&str, u64); 2] = [("QUERY", 300), ("PRESCRIPTION", 7200)];
/// Classes of the AI cache, which has its own defaults.
const ANSWERS: [&str; 2] = ["OCR", "ANALYSIS"];
/// Not values of this cache.
const OTHERS: [&str; 1] = ["AI"];

/// For how long values are kept, by class: what the `<CLASS>_CACHE_TTL` variables say.
///
/// A class's name is written in capitals there, and what is neither letter nor digit as `_`: the
/// class `lab-result` has the variable `LAB_RESULT_CACHE_TTL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassTtls(BTreeMap<String, Duration>);

impl ClassTtls {
    /// What is said of this class: by a variable, by the program, or by default, which is 300 s for
    /// `query` and 7200 s for `prescription`.
    pub fn get(&self, class: &str) -> Option<Duration> {
        let name = variable(class);
        let default = || DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, ttl)| *ttl);
        self.0.get(&name).copied().or_else(|| default().map(Duration::from_secs))
    }

    /// Says it, whatever the environment does.
    pub fn set(&mut self, class: &str, ttl: Duration) {
        self.0.insert(variable(class), ttl);
    }

    /// Reads those of the known classes, and of the variables with these names.
    pub(super) fn read(env: &mut Env<'_>, names: impl IntoIterator<Item = String>) -> Self {
        let known = DEFAULTS.iter().map(|(name, _)| *name).chain(ANSWERS);
        let known = known.map(|name| format!("{name}{SUFFIX}"));
        let mut ttls = BTreeMap::new();
        let mut seen = Vec::new();
        for name in known.chain(names) {
            let Some(class) = name.strip_suffix(SUFFIX).filter(|class| !class.is_empty()) else {
                continue;
            };
            if OTHERS.contains(&class) || seen.contains(&name) {
                continue;
            }
            if let Some(seconds) = env.number(&name, 1..=LONGEST) {
                ttls.insert(class.to_owned(), Duration::from_secs(seconds));
            }
            seen.push(name);
        }
        Self(ttls)
    }
}

/// The class as its variable begins.
fn variable(class: &str) -> String {
    let spell = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
    class.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> (ClassTtls, Vec<String>) {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut env = Env::new(&lookup);
        let names = variables.iter().map(|(name, _)| (*name).to_owned());
        let ttls = ClassTtls::read(&mut env, names);
        (ttls, env.error.problems().iter().map(|problem| problem.name.clone()).collect())
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_set_is_the_documented_default() {
        let (ttls, problems) = read(&[("QUERY_CACHE_TTL", "")]);
        assert_eq!(
            [ttls.get("query"), ttls.get("prescription")],
            [Some(seconds(300)), Some(seconds(7200))]
        );
        assert_eq!((ttls.get("settings"), problems.len()), (None, 0));
    }

    #[test]
    fn any_class_has_a_variable() {
        let (mut ttls, problems) = read(&[
            ("QUERY_CACHE_TTL", "5"),
            ("LAB_RESULT_CACHE_TTL", "6"),
            ("CACHE_TTL", "7"),
            ("_CACHE_TTL", "8"),
            ("AI_CACHE_TTL", "never read here"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            [ttls.get("query"), ttls.get("lab-result")],
            [Some(seconds(5)), Some(seconds(6))]
        );
        assert_eq!((ttls.get("ai"), ttls.get("")), (None, None));
        ttls.set("lab.result", seconds(9));
        assert_eq!(ttls.get("LAB_RESULT"), Some(seconds(9)));
    }

    #[test]
    fn what_is_no_time_is_told_once_by_name() {
        let (_, problems) = read(&[("QUERY_CACHE_TTL", "0"), ("X_CACHE_TTL", "1h")]);
        assert_eq!(problems, ["QUERY_CACHE_TTL", "X_CACHE_TTL"]);
    }
}
