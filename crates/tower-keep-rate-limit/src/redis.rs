//! Counters in Redis: one script for all limits of a request, by the server's clock.

mod reply;

use std::{fmt, sync::Arc};

use tokio::runtime::Handle;
use tower_keep_core::{
    Answer, ConfigError, StoreError,
    key::{BUS_LIMITS, BlockKey, CounterKey},
};
use tower_keep_redis::{Bus, BusState, Connection, Script, fred::types::Value};

use crate::{
    algorithm::Algorithm,
    denials::{Denials, Known},
    layer::RateLimitLayerBuilder,
    store::{Limit, LimitStore, MAX_LIMITS, Settlement, Verdict},
};

/// The algorithms, then the script that uses them.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(
            include_str!("algorithm/fixed_window.lua"),
            "\n",
            include_str!("algorithm/sliding_window.lua"),
            "\n",
            include_str!("algorithm/gcra.lua"),
            "\n",
            include_str!("algorithm/kinds.lua"),
            "\n",
            include_str!($file)
        ))
    };
}

static CHECK: Script = script!("redis.lua");
static SETTLE: Script = script!("settle.lua");
static BLOCK: Script = Script::new(include_str!("block.lua"));

/// Counts in Redis, in one command per check: all processes that use the same Redis count
/// together, exactly.
///
/// A counter is text under [`CounterKey::spell`]: `count window_start_ms` for a fixed window,
/// `count window_start_ms count_before` for a sliding one, `@arrival_us` for GCRA. A bare integer
/// (somebody's own `INCR`) is read with its expiry as a fixed window. A block is the moment it
/// ends, in milliseconds, under [`BlockKey::spell`]. In a cluster a tenant's keys lie in one slot.
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    denials: Option<Arc<Denials>>,
}

impl RedisStore {
    /// Counts through `connection`.
    pub const fn new(connection: Connection) -> Self {
        Self { connection, denials: None }
    }

    /// Remembers who is over a limit or blocked, up to 100,000 of them, and denies them without a
    /// command until the moment that the server told. All processes forget as soon as a caller is
    /// reset or its block ends, which they tell each other on `bus`; and each when the limit that
    /// is asked for is another one. While the bus is not live, everybody is asked about.
    ///
    /// Callers of rules with a late cost are not remembered: what they reserved may come back at
    /// any time.
    ///
    /// # Errors
    ///
    /// When no tokio runtime is running here.
    pub fn remember_denials(mut self, bus: &Bus) -> Result<Self, ConfigError> {
        self.denials = Some(Denials::beside(bus)?);
        Ok(self)
    }

    /// Tells all processes, this one first, that a denial may be none any more.
    fn forget_denials(&self) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let denials = self.denials.clone();
        async move {
            let Some(denials) = denials else { return Ok(()) };
            denials.forget();
            if matches!(denials.bus().state(), BusState::Off { .. }) {
                return Ok(());
            }
            denials.bus().publish(BUS_LIMITS, &[]).await
        }
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
    fn check(
        &self,
        limits: &[Limit<'_>],
        blocks: &[BlockKey<'_>],
    ) -> Answer<Result<Verdict, StoreError>> {
        let asked = limits.len();
        if !(1..=MAX_LIMITS).contains(&asked) {
            return Answer::ready(Err(StoreError::refused("a check has 1 to 8 limits")));
        }
        let asking = match self.denials.as_ref().map(|denials| denials.ask(limits, blocks)) {
            Some(Known::Denied(verdict)) => return Answer::ready(Ok(*verdict)),
            Some(Known::Unknown(asking)) => Some(asking).zip(self.denials.clone()),
            Some(Known::Nothing) | None => None,
        };
        let connection = self.connection.clone();
        let tagged = connection.is_clustered();
        let mut keys: Vec<_> = limits.iter().map(|limit| limit.key.spell(tagged)).collect();
        // Only a cluster refuses keys that it would take one by one.
        let alone = (tagged && asked == 1).then(|| keys.clone());
        keys.extend(blocks.iter().map(|block| block.spell(tagged)));
        let mut arguments = Vec::with_capacity(5 * asked);
        for limit in limits {
            arguments.push(Value::from_static_str(kind(limit.algorithm, limit.shadow)));
            arguments.extend(numbers(limit).map(argument));
            arguments.push(argument(limit.cost));
        }
        let again = alone.map(|keys| (keys, arguments.clone()));
        let reply = connection.run_script(&CHECK, keys, arguments);
        Answer::pending(async move {
            let mut reply = reply.await;
            // While its slot moves, a counter cannot be read together with blocks that may be on
            // either side. It is counted, and for that time nobody is blocked.
            if let Some((keys, arguments)) = again.filter(|_| is_moving(&reply)) {
                reply = connection.run_script(&CHECK, keys, arguments).await;
            }
            let verdict = read(&reply?, asked)?;
            if let Some((asking, denials)) = &asking {
                denials.learn(asking, &verdict);
            }
            Ok(verdict)
        })
    }

    fn settle(&self, settlements: &[Settlement<'_>]) -> Answer<Result<(), StoreError>> {
        let tagged = self.connection.is_clustered();
        let keys = settlements.iter().map(|settled| settled.limit.key.spell(tagged)).collect();
        let mut arguments = Vec::with_capacity(6 * settlements.len());
        for Settlement { limit, difference, window } in settlements {
            arguments.push(Value::from_static_str(kind(limit.algorithm, false)));
            arguments.extend(numbers(limit).map(argument));
            arguments.extend([Value::Integer(*difference), argument(*window)]);
        }
        let reply = self.connection.run_script(&SETTLE, keys, arguments);
        see_through(async move { reply.await.map(drop) })
    }

    fn reset(&self, keys: &[CounterKey<'_>]) -> Answer<Result<(), StoreError>> {
        let tagged = self.connection.is_clustered();
        let keys: Vec<String> = keys.iter().map(|key| key.spell(tagged)).collect();
        let Some(first) = keys.first().cloned() else { return Answer::ready(Ok(())) };
        let arguments = keys.into_iter().map(Value::from).collect();
        let reply = self.connection.command("DEL", Some(&first), arguments);
        let forget = self.forget_denials();
        Answer::pending(async move {
            reply.await?;
            forget.await
        })
    }

    fn block(&self, key: BlockKey<'_>, for_ms: u64) -> Answer<Result<(), StoreError>> {
        let key = key.spell(self.connection.is_clustered());
        let reply = self.connection.run_script(&BLOCK, vec![key], vec![argument(for_ms)]);
        let forget = self.forget_denials();
        Answer::pending(async move {
            reply.await?;
            forget.await
        })
    }
}

/// Carries out in a task of its own what nobody may wait for.
fn see_through(
    settling: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> Answer<Result<(), StoreError>> {
    let settling = async move {
        let result = settling.await;
        if let Err(error) = &result {
            metrics::counter!("tower_keep_settlements_lost_total", "layer" => "rate_limit")
                .increment(1);
            tracing::debug!("rate limit: a late cost is lost: {error}");
        }
        result
    };
    // Outside a runtime, which is the end of the program, there is only the caller to do it.
    let Ok(runtime) = Handle::try_current() else { return Answer::pending(settling) };
    let task = runtime.spawn(settling);
    let lost = |_| StoreError::unknown("the task that settles a late cost has ended");
    Answer::pending(async move { task.await.map_err(lost).and_then(|result| result) })
}

/// Whether the server has some of the keys and another one may have the others.
fn is_moving(reply: &Result<Value, StoreError>) -> bool {
    reply.as_ref().is_err_and(|error| error.message().starts_with("TRYAGAIN"))
}

fn read(reply: &Value, asked: usize) -> Result<Verdict, StoreError> {
    let Value::Array(items) = reply else { return Err(reply::nonsense()) };
    let number = |item: &Value| match item {
        Value::Integer(number) => Some(*number),
        _ => None,
    };
    let numbers: Option<Vec<i64>> = items.iter().map(number).collect();
    reply::decode(&numbers.ok_or_else(reply::nonsense)?, asked)
}

/// The letter of an algorithm, in upper case for a limit that is watched only.
const fn kind(algorithm: Algorithm, shadow: bool) -> &'static str {
    match (algorithm, shadow) {
        (Algorithm::FixedWindow, false) => "f",
        (Algorithm::FixedWindow, true) => "F",
        (Algorithm::SlidingWindow, false) => "s",
        (Algorithm::SlidingWindow, true) => "S",
        (Algorithm::Gcra, false) => "g",
        (Algorithm::Gcra, true) => "G",
    }
}

fn numbers(limit: &Limit<'_>) -> [u64; 3] {
    let terms = limit.terms();
    [terms.quota, terms.window, limit.life_ms]
}

/// Numbers travel as text; what is no limit's is far below 2^53.
fn argument(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
