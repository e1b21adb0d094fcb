//! Which entries are known to be long.

use std::hash::{BuildHasher as _, RandomState};

use quick_cache::sync::Cache;

/// How many are remembered; one that is forgotten costs another round trip once.
const CAPACITY: usize = 4096;

/// The hashes of the keys of long entries. Two keys with the same hash do no harm: what is asked
/// for on the wrong connection is there as well.
pub(super) struct Large {
    known: Cache<u64, ()>,
    hasher: RandomState,
}

impl Large {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(CAPACITY), hasher: RandomState::new() }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.known.get(&self.hasher.hash_one(key)).is_some()
    }

    /// Remembers whether it is.
    pub(super) fn note(&self, key: &str, is_large: bool) {
        let hash = self.hasher.hash_one(key);
        if is_large {
            self.known.insert(hash, ());
        } else if self.known.get(&hash).is_some() {
            self.known.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_known_and_not_too_much_of_it() {
        let large = Large::new();
        assert!(!large.has("a"));
        large.note("a", true);
        assert!(large.has("a") && !large.has("b"));
        large.note("a", false);
        assert!(!large.has("a"));
        for number in 0..3 * CAPACITY {
            large.note(&number.to_string(), true);
        }
        assert!(large.known.len() <= CAPACITY + CAPACITY / 8, "{}", large.known.len());
    }
}
