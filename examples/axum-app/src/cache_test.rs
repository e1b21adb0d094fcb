//! `POST /api/test/cache`: how fast the cache is, as seen from here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRef, State, rejection::JsonRejection},
    routing::post,
};
use data_encoding::HEXLOWER;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};
use tower_keep::{ConfigError, Keep, QueryCache, QueryKey, TenantId, TtlClass};

use crate::{
    auth::{Auth, SignedIn},
    body::{self, MAX_BODY},
    problem::Problem,
};

mod round;

use self::round::{Rounds, Tally};

/// The most rounds of one run.
const MOST: u32 = 100_000;
/// How many go their rounds at the same time, each with one entry: other processes are told of each
/// removal, and would give up all near copies for ever new names.
const WORKERS: u32 = 8;
/// A run ends after this time, done or not: less than a request may take.
const LONGEST: Duration = Duration::from_secs(8);
/// Nothing is left behind; should the process end meanwhile, it is gone by itself.
const TTL: Duration = Duration::from_secs(60);
/// What the entries take in this process at most. It is room of their own: nothing is put out for
/// them.
const ROOM: u64 = 1024 * 1024;

#[derive(Clone)]
struct Bench {
    cache: QueryCache,
    class: TtlClass,
    /// For one run at a time.
    turn: Arc<Semaphore>,
    /// What no other process calls its entries.
    name: Arc<str>,
    auth: Auth,
}

impl FromRef<Bench> for Auth {
    fn from_ref(bench: &Bench) -> Self {
        bench.auth.clone()
    }
}

/// The route, to be put inside a principal and a session layer.
pub(crate) fn router(keep: &Keep, auth: Auth) -> Result<Router, ConfigError> {
    let mut name = [0; 8];
    getrandom::fill(&mut name)
        .map_err(|error| ConfigError::new("randomness", error.to_string()))?;
    let bench = Bench {
        // What comes from Redis is measured, not a copy of it.
        cache: keep.query_cache().store(|store| store.capacity(ROOM).near(false)).build()?,
        class: TtlClass::new("cache-test", TTL),
        turn: Arc::new(Semaphore::new(1)),
        name: HEXLOWER.encode(&name).into(),
        auth,
    };
    Ok(Router::new()
        .route("/api/test/cache", post(run))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(bench))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    operations: u32,
}

/// Ends the rounds when nobody waits for them any more.
struct EndsWith(Arc<AtomicBool>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// So many rounds of putting, getting and removing. It takes the processor from others, so not
/// anybody may ask for it, and one at a time.
async fn run(
    State(bench): State<Bench>,
    SignedIn { session, .. }: SignedIn,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let wish = body::object(body, r#"the body is {"operations":1000}"#)?;
    let Wish { operations } = wish;
    if !(1..=MOST).contains(&operations) {
        return Err(Problem::bad_request(format!("`operations` is from 1 to {MOST}")));
    }
    let busy = || Problem::new(StatusCode::CONFLICT, "another run is under way");
    let turn = Arc::clone(&bench.turn).try_acquire_owned().map_err(|_| busy())?;
    let over = Arc::new(AtomicBool::new(false));
    let waits = EndsWith(Arc::clone(&over));
    let tenant = session.tenant().clone();
    // By itself, so that it comes to a clean end also if nobody waits for it.
    let whole = tokio::spawn(async move {
        let told = bench.measure(&tenant, operations, &over).await;
        drop(turn);
        told
    });
    let told = whole.await.map_err(|_| Problem::busy("the run came to no end"));
    drop(waits);
    told.map(Json)
}

impl Bench {
    async fn measure(&self, tenant: &TenantId, operations: u32, over: &Arc<AtomicBool>) -> Value {
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS.min(operations) {
            let rounds = Rounds {
                cache: self.cache.clone(),
                class: self.class.clone(),
                key: QueryKey::named(tenant, "cache-test", format_args!("{}-{worker}", self.name)),
                // The first ones take what does not come out even.
                number: operations / WORKERS + u32::from(worker < operations % WORKERS),
                until: begun + LONGEST,
                over: Arc::clone(over),
            };
            workers.spawn(rounds.go());
        }
        let mut tally = Tally::default();
        while let Some(one) = workers.join_next().await {
            tally.add(one.unwrap_or_default());
        }
        let took = begun.elapsed();
        // No more than were asked for.
        let done = u32::try_from(tally.put.len()).unwrap_or(operations);
        json!({
            "operations": operations,
            "completed": done,
            "seconds": took.as_secs_f64(),
            "seconds_at_most": LONGEST.as_secs(),
            // Each round is three.
            "ops_per_second": 3.0 * f64::from(done) / took.as_secs_f64(),
            "set": round::told(&mut tally.put),
            "get": round::told(&mut tally.get),
            "delete": round::told(&mut tally.remove),
            "hits": tally.near + tally.store,
            "hits_from": { "near": tally.near, "store": tally.store },
            "misses": tally.misses,
            "errors": tally.errors,
        })
    }
}
