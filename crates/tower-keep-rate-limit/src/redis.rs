//! Counters in Redis: one script for all limits of a request, by the server's clock.

mod gathering;
mod reply;

use std::{fmt, sync::Arc, time::Instant};

use arrayvec::ArrayVec;
use tokio::{runtime::Handle, sync::oneshot, task::yield_now};
use tower_keep_core::{
    Answer, ConfigError, ErrorClass, StoreError,
    key::{BUS_LIMITS, BlockKey, CounterKey},
};
use tower_keep_redis::{Bus, BusState, Connection, Script, fred::types::Value};

use self::{
    gathering::{Gathering, Next},
    reply::Verdicts,
};
use crate::{
    algorithm::{Algorithm, MAX_COUNT},
    denials::{Denials, Known},
    layer::RateLimitLayerBuilder,
    store::{Limit, LimitStore, MAX_BLOCKS, MAX_LIMITS, Settlement, Verdict},
};

/// The algorithms, then the script that uses them.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(
            include_str!("algorithm/common.lua"),
            "\n",
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

/// How many bytes a check's head takes, and each of its limits.
const HEAD: usize = 2;
const LIMIT: usize = 1 + 4 * size_of::<f64>();

/// So many checks go in one command at most: the server does nothing else meanwhile.
const TOGETHER: usize = 32;

/// Counts in Redis, in one command per check: all processes that use the same Redis count
/// together, exactly.
///
/// Checks that are asked for at about the same time go in one command, up to 32 of them, each
/// decided by itself and in order: under load a check costs less than a command. No check waits for
/// others to come. In a cluster each goes by itself.
///
/// A counter is text under [`CounterKey::spell`]: `count window_start_ms` for a fixed window,
/// `count window_start_ms count_before` for a sliding one, `@arrival_us` for GCRA, or
/// `@arrival_us+owed_us` where a late cost is more than a burst. A bare integer
/// (somebody's own `INCR`) is read with its expiry as a fixed window. A block is the moment it
/// ends, in milliseconds, under [`BlockKey::spell`]. In a cluster a tenant's keys lie in one slot.
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    denials: Option<Arc<Denials>>,
    gathering: Arc<Gathering<Waiting>>,
}

/// One check as the script takes it.
struct Check {
    keys: Vec<String>,
    /// How many limits and blocks, and all of the limits: see `redis.lua`.
    packed: Vec<u8>,
    limits: usize,
}

/// A check that is about to be sent, and who waits for it.
struct Waiting {
    check: Check,
    answer: oneshot::Sender<Result<Verdict, StoreError>>,
}

impl RedisStore {
    /// Counts through `connection`.
    pub fn new(connection: Connection) -> Self {
        Self { connection, denials: None, gathering: Gathering::new(TOGETHER) }
    }

    /// Remembers who is over a limit or blocked, up to 100,000 of them, and denies them without a
    /// command until the moment that the server told. All processes forget as soon as a caller is
    /// reset or its block ends, which they tell each other on `bus`; and each when the limit that
    /// is asked for is another one. While the bus is not live, everybody is asked about.
    ///
    /// By rules with a late cost they are remembered for a tenth of a second at most, and for less
    /// once a cost is settled in this process: what was reserved may come back at any time.
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

    /// Carries out what may end denials, and has them forgotten unless it was surely not done. Who
    /// is remembered as denied would stay so everywhere, perhaps for long, so nobody need wait.
    fn then_forget(
        &self,
        doing: impl Future<Output = Result<Value, StoreError>> + Send + 'static,
    ) -> Answer<Result<(), StoreError>> {
        let forget = self.forget_denials();
        to_its_end(async move {
            let done = doing.await.map(drop);
            let is_undone = |error: &StoreError| error.class() != ErrorClass::Unknown;
            if done.as_ref().is_err_and(is_undone) {
                return done;
            }
            done.and(forget.await)
        })
    }
}

impl RedisStore {
    /// Asks the server, together with whoever asks at about the same time.
    fn ask(&self, check: Check) -> Answer<Result<Verdict, StoreError>> {
        let connection = self.connection.clone();
        // In a cluster the others' keys may lie on other nodes.
        let (false, Ok(runtime)) = (connection.is_clustered(), Handle::try_current()) else {
            return Answer::pending(async move { ask_alone(&connection, check).await });
        };
        let (answer, told) = oneshot::channel();
        match self.gathering.add(Waiting { check, answer }, Instant::now(), runtime.id()) {
            Next::Wait => {}
            Next::TakeSoon(turn) => drop(runtime.spawn(async move {
                // Whoever can ask now does so first.
                yield_now().await;
                ask_together(&connection, turn.take()).await;
            })),
            Next::Go(waiting) => {
                drop(runtime.spawn(async move { ask_together(&connection, waiting).await }));
            }
        }
        let lost = |_| StoreError::unknown("the task that asks the server has ended");
        Answer::pending(async move { told.await.map_err(lost).and_then(|verdict| verdict) })
    }
}

/// Sends one check.
async fn ask_alone(connection: &Connection, check: Check) -> Result<Verdict, StoreError> {
    let Check { keys, packed, limits } = check;
    let arguments = |packed: &[u8]| vec![Value::from(packed)];
    // Only a cluster refuses keys that it would take one by one.
    let alone = keys.first().cloned().filter(|_| connection.is_clustered() && limits == 1);
    let mut reply = connection.run_script(&CHECK, keys, arguments(&packed)).await;
    // While its slot moves, a counter cannot be read together with blocks that may be on either
    // side. It is counted, and for that time nobody is blocked.
    if let Some(alone) = alone.filter(|_| is_moving(&reply)) {
        let mut packed = packed;
        packed.splice(..HEAD, [1, 0]);
        reply = connection.run_script(&CHECK, vec![alone], arguments(&packed)).await;
    }
    Verdicts::of(&reply).next(limits)
}

/// Sends these checks as one command, but for those that nobody waits for any more.
async fn ask_together(connection: &Connection, mut waiting: Vec<Waiting>) {
    waiting.retain(|it| !it.answer.is_closed());
    let (mut keys, mut arguments) = (Vec::new(), Vec::new());
    for Waiting { check, .. } in &mut waiting {
        keys.append(&mut check.keys);
        arguments.push(Value::from(check.packed.as_slice()));
    }
    if keys.is_empty() {
        return;
    }
    let reply = connection.run_script(&CHECK, keys, arguments).await;
    let mut verdicts = Verdicts::of(&reply);
    for Waiting { check, answer } in waiting {
        // Nobody may be waiting any more.
        let _ = answer.send(verdicts.next(check.limits));
    }
}

/// Whether the server has some of the keys and another one may have the others.
fn is_moving(reply: &Result<Value, StoreError>) -> bool {
    reply.as_ref().is_err_and(|error| error.message().starts_with("TRYAGAIN"))
}

impl Check {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "what is no limit's is far below 2^53, and a cost above it is above every limit"
    )]
    fn new(limits: &[Limit<'_>], blocks: &[BlockKey<'_>], tagged: bool) -> Self {
        let mut keys = Vec::with_capacity(limits.len() + blocks.len());
        keys.extend(limits.iter().map(|limit| limit.key.spell(tagged)));
        keys.extend(blocks.iter().map(|block| block.spell(tagged)));
        let mut packed = Vec::with_capacity(HEAD + LIMIT * limits.len());
        // There are few of either.
        packed.extend([limits.len(), blocks.len()].map(|count| count as u8));
        for limit in limits {
            packed.extend(kind(limit.algorithm, limit.shadow).bytes());
            // What the script cannot count to would fail, and with it the checks beside this one.
            let [quota, window, life] = terms(limit).map(|number| number.min(MAX_COUNT));
            for number in [quota, window, life, limit.cost] {
                packed.extend((number as f64).to_be_bytes());
            }
        }
        Self { keys, packed, limits: limits.len() }
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
        if !(1..=MAX_LIMITS).contains(&asked) || blocks.len() > MAX_BLOCKS {
            let message = "a check has 1 to 8 limits, and up to 2 blocks";
            return Answer::ready(Err(StoreError::refused(message)));
        }
        let asking = match self.denials.as_ref().map(|denials| denials.ask(limits, blocks)) {
            Some(Known::Denied(verdict)) => return Answer::ready(Ok(*verdict)),
            Some(Known::Unknown(asking)) => Some(asking).zip(self.denials.clone()),
            Some(Known::Nothing) | None => None,
        };
        let check = Check::new(limits, blocks, self.connection.is_clustered());
        let verdict = self.ask(check);
        let Some((asking, denials)) = asking else { return verdict };
        Answer::pending(async move {
            let verdict = verdict.await?;
            denials.learn(&asking, &verdict);
            Ok(verdict)
        })
    }

    fn settle(&self, settlements: &[Settlement<'_>]) -> Answer<Result<(), StoreError>> {
        if settlements.len() > MAX_LIMITS {
            let message = "up to 8 counters are settled at once";
            return Answer::ready(Err(StoreError::refused(message)));
        }
        let tagged = self.connection.is_clustered();
        let keys = settlements.iter().map(|settled| settled.limit.key.spell(tagged)).collect();
        let mut arguments = Vec::with_capacity(6 * settlements.len());
        for Settlement { limit, difference, window } in settlements {
            arguments.push(Value::from_static_str(kind(limit.algorithm, false)));
            arguments.extend(terms(limit).map(argument));
            arguments.extend([Value::Integer(*difference), argument(*window)]);
        }
        let reply = self.connection.run_script(&SETTLE, keys, arguments);
        let back = settlements.iter().filter(|settled| settled.difference < 0);
        let room = self.denials.clone().map(|denials| {
            let back = back.map(|settled| denials.fingerprint(&settled.limit.key));
            (back.collect::<ArrayVec<_, MAX_LIMITS>>(), denials)
        });
        see_through(async move {
            let result = reply.await.map(drop);
            if let Some((back, denials)) = room {
                denials.forget_these(&back);
            }
            result
        })
    }

    fn reset(&self, keys: &[CounterKey<'_>]) -> Answer<Result<(), StoreError>> {
        let tagged = self.connection.is_clustered();
        let keys: Vec<String> = keys.iter().map(|key| key.spell(tagged)).collect();
        let Some(first) = keys.first().cloned() else { return Answer::ready(Ok(())) };
        let arguments = keys.into_iter().map(Value::from).collect();
        let reply = self.connection.command("DEL", Some(&first), arguments);
        self.then_forget(reply)
    }

    fn block(&self, key: BlockKey<'_>, for_ms: u64) -> Answer<Result<(), StoreError>> {
        let key = key.spell(self.connection.is_clustered());
        let reply = self.connection.run_script(&BLOCK, vec![key], vec![argument(for_ms)]);
        self.then_forget(reply)
    }
}

/// Carries out a settlement, and says by itself if it fails.
fn see_through(
    settling: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> Answer<Result<(), StoreError>> {
    to_its_end(async move {
        let result = settling.await;
        if let Err(error) = &result {
            metrics::counter!("tower_keep_settlements_lost_total", "layer" => "rate_limit")
                .increment(1);
            tracing::debug!("rate limit: a late cost is lost: {error}");
        }
        result
    })
}

/// Carries out in a task of its own what nobody may wait for.
fn to_its_end(
    doing: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> Answer<Result<(), StoreError>> {
    // Outside a runtime, which is the end of the program, there is only the caller to do it.
    let Ok(runtime) = Handle::try_current() else { return Answer::pending(doing) };
    let task = runtime.spawn(doing);
    let lost = |_| StoreError::unknown("the task that tells the server has ended");
    Answer::pending(async move { task.await.map_err(lost).and_then(|result| result) })
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

fn terms(limit: &Limit<'_>) -> [u64; 3] {
    let terms = limit.terms();
    [terms.quota, terms.window, limit.life_ms]
}

/// Numbers travel as text; what is no limit's is far below 2^53.
fn argument(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
