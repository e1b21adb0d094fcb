//! Answers that were not to be stored: whoever asks for the same soon after need not wait for one
//! another.

use std::time::Duration;

use quick_cache::sync::Cache as QuickCache;
use tower_keep_cache::Name;
use tower_keep_core::time::{Clock, UnixMillis};

/// How many are remembered.
const MOST: usize = 10_000;

/// For how long.
const LASTING: Duration = Duration::from_secs(30);

/// What lately could not be stored (hit-for-miss).
pub(crate) struct HitForMiss {
    until: QuickCache<Name, UnixMillis>,
    clock: Clock,
}

impl HitForMiss {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { until: QuickCache::new(MOST), clock }
    }

    pub(crate) fn note(&self, name: &Name) {
        self.until.insert(name.clone(), self.clock.now().plus(LASTING));
    }

    /// It could be stored after all.
    pub(crate) fn forget(&self, name: &Name) {
        self.until.remove(name);
    }

    pub(crate) fn has(&self, name: &Name) -> bool {
        !self.until.is_empty() && self.until.get(name).is_some_and(|until| self.clock.now() < until)
    }
}

#[cfg(test)]
mod tests {
    use tower_keep_core::TenantId;

    use super::*;

    #[test]
    fn it_is_forgotten_in_time_or_when_it_is_stored() {
        let clock = Clock::manual(UnixMillis(1_000));
        let hit_for_miss = HitForMiss::new(clock.clone());
        let [one, other] = ["one", "other"].map(|it| Name::new(&TenantId::NONE, it));
        hit_for_miss.note(&one);
        hit_for_miss.note(&other);
        assert!(hit_for_miss.has(&one) && hit_for_miss.has(&other));
        hit_for_miss.forget(&other);
        clock.advance(LASTING.saturating_sub(Duration::from_millis(1)));
        assert!(hit_for_miss.has(&one) && !hit_for_miss.has(&other));
        clock.advance(Duration::from_millis(1));
        assert!(!hit_for_miss.has(&one));
    }
}
