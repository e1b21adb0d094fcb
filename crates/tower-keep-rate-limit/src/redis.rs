//! Counters in Redis: one script for all limits of a request, by the server's clock.

use std::{fmt, sync::Arc};

use arrayvec::ArrayVec;
use tower_keep_core::{Answer, StoreError};
use tower_keep_redis::{Connection, Script, fred::types::Value};

use crate::{
    layer::RateLimitLayerBuilder,
    store::{Limit, LimitStore, MAX_LIMITS, Standing, Verdict},
};

static CHECK: Script = Script::new(concat!(
    include_str!("algorithm/fixed_window.lua"),
    "\n",
    include_str!("redis.lua")
));

/// Counts in Redis, in one command per check: all processes that use the same Redis count
/// together, exactly.
///
/// A counter is the text `count window_start_ms` under
/// [`CounterKey::spell`](tower_keep_core::key::CounterKey::spell); a bare integer (somebody's own
/// `INCR`) is read with its expiry. In a cluster a tenant's counters lie in one slot.
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
}

impl RedisStore {
    /// Counts through `connection`.
    pub const fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl RateLimitLayerBuilder {
    /// Counts in Redis.
    pub fn redis(self, connection: &Connection) -> Self {
        self.store(Arc::new(RedisStore::new(connection.clone())))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl LimitStore for RedisStore {
    fn check(&self, limits: &[Limit<'_>]) -> Answer<Result<Verdict, StoreError>> {
        let asked = limits.len();
        if !(1..=MAX_LIMITS).contains(&asked) {
            return Answer::ready(Err(StoreError::refused("a check has 1 to 8 limits")));
        }
        let tagged = self.connection.is_clustered();
        let keys = limits.iter().map(|limit| limit.key.spell(tagged)).collect();
        let numbers = |limit: &Limit<'_>| [limit.quota, limit.window_ms, limit.life_ms];
        // Numbers travel as text; all are far below 2^53.
        let arguments = limits.iter().flat_map(numbers).map(argument).collect();
        let reply = self.connection.run_script(&CHECK, keys, arguments);
        Answer::pending(async move { decode(&reply.await?, asked) })
    }
}

fn argument(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Reads `{allowed, remaining_1, resets_in_1, …}`. Redis is outside this program: what does not
/// look like that is an error, and the check may have been counted.
fn decode(reply: &Value, asked: usize) -> Result<Verdict, StoreError> {
    let unexpected =
        || StoreError::unknown("the server's reply to the limit script makes no sense");
    let Value::Array(items) = reply else { return Err(unexpected()) };
    let number = |value: &Value| match value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    };
    let (first, rest) = items.split_first().ok_or_else(unexpected)?;
    let allowed = number(first)? == 1;
    if rest.len() != 2 * asked {
        return Err(unexpected());
    }
    let mut limits = ArrayVec::new();
    for pair in rest.chunks_exact(2) {
        if let [remaining, resets_in_ms] = pair {
            let standing =
                Standing { remaining: number(remaining)?, resets_in_ms: number(resets_in_ms)? };
            limits.try_push(standing).map_err(|_| unexpected())?;
        }
    }
    Ok(Verdict { allowed, limits })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn array(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().copied().map(Value::Integer).collect())
    }

    #[test]
    fn a_reply_is_read_and_nonsense_is_an_error() {
        let verdict = decode(&array(&[1, 7, 900, 0, 5]), 2).unwrap();
        assert!(verdict.allowed);
        assert_eq!(verdict.limits[1], Standing { remaining: 0, resets_in_ms: 5 });
        for (reply, asked) in [
            (array(&[]), 0),
            (array(&[1]), 1),
            (array(&[1, 2]), 1),
            (array(&[1, -1, 5]), 1),
            (array(&[1, 1, 5, 6]), 1),
            (Value::Null, 1),
            (Value::Array(vec![Value::Null, Value::Null, Value::Null]), 1),
            (array(&[1; 19]), 9),
        ] {
            assert!(decode(&reply, asked).is_err(), "{reply:?}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(numbers in prop::collection::vec(any::<i64>(), 0..20), asked in 0_usize..10) {
            let _ = decode(&array(&numbers), asked);
        }
    }
}
