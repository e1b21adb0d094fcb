//! A store that answers what it is told.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::yield_now;
use tower_keep_core::{Answer, ErrorClass, StoreError, key::BlockKey};
use tower_keep_rate_limit::{Limit, LimitStore, Standing, Verdict};

/// What a store is told to answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Say {
    Allow,
    Deny,
    Fail(ErrorClass),
    /// Nothing, ever.
    Nothing,
}

/// Answers what it is told, and remembers what it was asked.
#[derive(Debug)]
pub(super) struct Told {
    say: Mutex<Say>,
    at_once: AtomicBool,
    keys: Mutex<Vec<Vec<String>>>,
}

impl Told {
    /// Answers at once, as a memory store does.
    pub(super) fn new(say: Say) -> Arc<Self> {
        let keys = Mutex::default();
        Arc::new(Self { say: Mutex::new(say), at_once: AtomicBool::new(true), keys })
    }

    /// Lets the caller wait first, as a store behind a network does.
    pub(super) fn later(say: Say) -> Arc<Self> {
        let store = Self::new(say);
        store.at_once.store(false, Ordering::Relaxed);
        store
    }

    /// One of each.
    pub(super) fn both(say: Say) -> [Arc<Self>; 2] {
        [Self::new(say), Self::later(say)]
    }

    pub(super) fn say(&self, say: Say) {
        *self.say.lock().unwrap() = say;
    }

    /// The keys of every check so far.
    pub(super) fn asked(&self) -> Vec<Vec<String>> {
        self.keys.lock().unwrap().clone()
    }
}

impl LimitStore for Told {
    fn check(
        &self,
        limits: &[Limit<'_>],
        _: &[BlockKey<'_>],
    ) -> Answer<Result<Verdict, StoreError>> {
        let keys = limits.iter().map(|limit| limit.key.spell(false)).collect();
        self.keys.lock().unwrap().push(keys);
        let verdict = |allowed, remaining: fn(u64) -> u64| {
            let standing = |limit: &Limit<'_>| Standing {
                remaining: remaining(limit.quota),
                resets_in_ms: limit.window_ms,
                wait_ms: if allowed { 0 } else { limit.window_ms },
            };
            let limits = limits.iter().map(standing).collect();
            Ok(Verdict { allowed, blocked_ms: 0, known: false, at_ms: 0, limits })
        };
        let result = match *self.say.lock().unwrap() {
            Say::Allow => verdict(true, |quota| quota - 1),
            Say::Deny => verdict(false, |_| 0),
            Say::Fail(class) => Err(StoreError::new(class, "told to fail")),
            Say::Nothing => return Answer::pending(pending()),
        };
        if self.at_once.load(Ordering::Relaxed) {
            return Answer::ready(result);
        }
        Answer::pending(async {
            yield_now().await;
            result
        })
    }
}
