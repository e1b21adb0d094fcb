//! Lua scripts.

use std::sync::OnceLock;

use fred::{types::Value, util::sha1_hash};

/// A Lua script, run with [`Connection::run_script`].
///
/// It is sent in full only to a server that does not have it yet, and by its SHA-1 ever after.
///
/// ```
/// use tower_keep_redis::Script;
///
/// static COUNT: Script = Script::new("return redis.call('INCR', KEYS[1])");
/// assert_eq!(COUNT.sha().len(), 40);
/// ```
///
/// [`Connection::run_script`]: crate::Connection::run_script
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    sha: OnceLock<String>,
}

impl Script {
    /// A script of this source; for a `static`.
    pub const fn new(source: &'static str) -> Self {
        Self { source, sha: OnceLock::new() }
    }

    /// Its Lua text.
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// The lower-case SHA-1 of its text, as `EVALSHA` takes it.
    pub fn sha(&self) -> &str {
        self.sha.get_or_init(|| sha1_hash(self.source))
    }

    /// The arguments of `EVALSHA`.
    pub(crate) fn arguments(&'static self, keys: Vec<String>, args: Vec<Value>) -> Vec<Value> {
        let mut all = Vec::with_capacity(2 + keys.len() + args.len());
        all.push(Value::from_static_str(self.sha()));
        all.push(Value::Integer(i64::try_from(keys.len()).unwrap_or(i64::MAX)));
        all.extend(keys.into_iter().map(Value::from));
        all.extend(args);
        all
    }

    /// Turns the arguments of `EVALSHA` into those of `EVAL`.
    pub(crate) fn spell_out(&self, arguments: &mut [Value]) {
        if let Some(first) = arguments.first_mut() {
            *first = Value::from_static_str(self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SCRIPT: Script = Script::new("abc123");

    #[test]
    fn arguments_by_hash_and_in_full() {
        assert_eq!(SCRIPT.sha(), "6367c48dd193d56ea7b0baad25b19455e529f5ee");
        let mut all = SCRIPT.arguments(vec!["a".into(), "b".into()], vec![7.into()]);
        let rest = [2.into(), "a".into(), "b".into(), 7.into()];
        assert_eq!(all.first(), Some(&SCRIPT.sha().into()));
        assert_eq!(all.get(1..), Some(&rest[..]));
        SCRIPT.spell_out(&mut all);
        assert_eq!(all.first(), Some(&SCRIPT.source().into()));
        assert_eq!(all.get(1..), Some(&rest[..]));
    }
}
