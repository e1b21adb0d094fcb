//! One worker's rounds, and what was measured of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use serde_json::{Value, json};
use tower_keep::{QueryCache, QueryKey, Source, TtlClass};

/// As long as a small row.
const VALUE: &str = "a value of some length, as it may be cached for a patient or a prescription";

/// What one worker is to do.
pub(super) struct Rounds {
    pub(super) cache: QueryCache,
    pub(super) class: TtlClass,
    /// Nobody else's.
    pub(super) key: QueryKey,
    pub(super) number: u32,
    pub(super) until: Instant,
    /// Whether it is to end now.
    pub(super) over: Arc<AtomicBool>,
}

/// What was measured: microseconds for each operation that was done.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) put: Vec<f32>,
    pub(super) get: Vec<f32>,
    pub(super) remove: Vec<f32>,
    /// Hits in this process.
    pub(super) near: usize,
    /// Hits in the store that processes share.
    pub(super) store: usize,
    pub(super) misses: usize,
    pub(super) errors: usize,
}

impl Rounds {
    /// Each round ends with the entry removed.
    pub(super) async fn go(self) -> Tally {
        let mut tally = Tally::default();
        let key = &self.key;
        for _ in 0..self.number {
            if self.over.load(Relaxed) || Instant::now() >= self.until {
                break;
            }
            let begun = Instant::now();
            let put = self.cache.put(key, &self.class, VALUE.to_owned()).await;
            tally.put.push(micros(begun));
            let begun = Instant::now();
            let got = self.cache.get::<String>(key).await;
            tally.get.push(micros(begun));
            let begun = Instant::now();
            let removed = self.cache.remove(key).await;
            tally.remove.push(micros(begun));
            match &got {
                Ok(Some(got)) if got.source == Source::Near => tally.near += 1,
                Ok(Some(_)) => tally.store += 1,
                Ok(None) => tally.misses += 1,
                Err(_) => {}
            }
            tally.errors +=
                [put.is_err(), got.is_err(), removed.is_err()].iter().filter(|it| **it).count();
        }
        tally
    }
}

fn micros(since: Instant) -> f32 {
    since.elapsed().as_secs_f32() * 1e6
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.put.extend(other.put);
        self.get.extend(other.get);
        self.remove.extend(other.remove);
        self.near += other.near;
        self.store += other.store;
        self.misses += other.misses;
        self.errors += other.errors;
    }
}

/// The median and the 99th percentile.
pub(super) fn told(micros: &mut [f32]) -> Value {
    micros.sort_unstable_by(f32::total_cmp);
    let at = |percent: usize| {
        // The smallest that so many are not above.
        let rank = (micros.len() * percent).div_ceil(100).max(1);
        micros.get(rank - 1).copied()
    };
    json!({ "p50_us": at(50), "p99_us": at(99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut hundred: Vec<f32> = (1..=100_u8).rev().map(f32::from).collect();
        assert_eq!(told(&mut hundred), json!({ "p50_us": 50.0, "p99_us": 99.0 }));
        assert_eq!(told(&mut [7.0]), json!({ "p50_us": 7.0, "p99_us": 7.0 }));
        assert_eq!(told(&mut []), json!({ "p50_us": null, "p99_us": null }));
    }
}
