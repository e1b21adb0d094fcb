//! Callers who are known to be over a limit: they are refused without asking the server again.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrayvec::ArrayVec;
use quick_cache::sync::Cache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tokio::{runtime::Handle, task::AbortHandle};
use tower_keep_core::{
    ConfigError,
    key::{BUS_LIMITS, BlockKey},
    time::millis,
};
use tower_keep_redis::{Bus, BusEvent, BusState};

use crate::{
    algorithm::{Algorithm, Terms},
    store::{Limit, MAX_LIMITS, NEVER, Standing, Verdict},
};

/// How many are remembered; further ones take the place of those that are asked for least.
const CAPACITY: usize = 100_000;
/// How long a denial is believed by a rule with a late cost: what others have reserved may come
/// back at any time, in processes that do not tell.
const LATE: Duration = Duration::from_millis(100);

/// What the server has said about denied callers, for as long as it holds.
///
/// It holds until the moment the server told, by the clock of this process. The server's answer was
/// given some time between the question and its arrival: a denial is believed from the one, so that
/// nobody is kept out too long, and told from the other, so that waiting is enough. It holds until
/// somebody says on the bus that it may not. Where the bus is not live, nothing is believed and
/// nothing remembered.
pub(crate) struct Denials {
    known: Cache<u128, Denial>,
    /// Callers choose parts of the keys; a secret keeps them from choosing collisions.
    secret: (u64, u64),
    /// Counts how often everything was forgotten: an answer that was asked for before is not
    /// remembered after.
    epoch: AtomicU64,
    bus: Bus,
    listener: AbortHandle,
}

/// One denial, by a limit or a block.
#[derive(Clone, Copy)]
struct Denial {
    believed_until: Instant,
    told_until: Instant,
    /// The limit that it was, and what was asked of it; `None` for a block.
    asked: Option<(Terms, u64)>,
    remaining: u64,
}

/// A limit whose denial would be remembered.
#[derive(Clone, Copy)]
struct Memorable {
    key: u128,
    terms: Terms,
    cost: u64,
    /// For how long it is believed at most.
    most: Duration,
}

/// What is asked now, to be remembered if it is denied.
pub(crate) struct Asking {
    at: Instant,
    epoch: u64,
    limits: ArrayVec<Option<Memorable>, MAX_LIMITS>,
    blocks: ArrayVec<u128, 2>,
}

/// What is known of a check before anybody is asked.
pub(crate) enum Known {
    /// It is denied.
    Denied(Box<Verdict>),
    /// Nothing, and the answer is to be remembered.
    Unknown(Box<Asking>),
    /// Nothing, and nothing is to be remembered.
    Nothing,
}

impl Denials {
    /// Remembers while this bus is live.
    pub(crate) fn beside(bus: &Bus) -> Result<Arc<Self>, ConfigError> {
        let runtime = Handle::try_current().map_err(|_| {
            ConfigError::new("runtime", "to remember denials takes a tokio runtime")
        })?;
        let random = RandomState::new();
        let mut events = bus.events();
        Ok(Arc::new_cyclic(|denials: &Weak<Self>| {
            let denials = Weak::clone(denials);
            let listening = runtime.spawn(async move {
                loop {
                    let forget = match events.recv().await {
                        BusEvent::Gap => true,
                        BusEvent::Message(message) => message.kind == BUS_LIMITS,
                    };
                    // Before the first event there may be nobody yet who could forget.
                    if let Some(denials) = denials.upgrade().filter(|_| forget) {
                        denials.forget();
                    }
                }
            });
            Self {
                known: Cache::new(CAPACITY),
                secret: (random.hash_one(0_u8), random.hash_one(1_u8)),
                epoch: AtomicU64::new(0),
                bus: bus.clone(),
                listener: listening.abort_handle(),
            }
        }))
    }

    /// The bus that tells when to forget.
    pub(crate) const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Forgets everything, because something may have been allowed.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.known.clear();
    }

    /// Forgets what is remembered under these fingerprints: something has come back there.
    pub(crate) fn forget_these(&self, fingerprints: &[u128]) {
        for fingerprint in fingerprints {
            self.known.remove(fingerprint);
        }
    }

    /// What is known of this check.
    pub(crate) fn ask(&self, limits: &[Limit<'_>], blocks: &[BlockKey<'_>]) -> Known {
        if self.bus.state() != BusState::Live || limits.iter().all(|limit| limit.cost == 0) {
            return Known::Nothing;
        }
        let asking = Asking {
            at: Instant::now(),
            epoch: self.epoch.load(Ordering::Acquire),
            limits: limits.iter().map(|limit| self.memorable(limit)).collect(),
            blocks: blocks.iter().map(|block| self.fingerprint(block)).collect(),
        };
        match self.known_verdict(&asking) {
            Some(verdict) => Known::Denied(Box::new(verdict)),
            None => Known::Unknown(Box::new(asking)),
        }
    }

    /// Remembers who was denied, until when.
    pub(crate) fn learn(&self, asking: &Asking, verdict: &Verdict) {
        if verdict.allowed {
            return;
        }
        let answered = Instant::now();
        let deny = |wait: u64, most: Duration, asked, remaining| {
            let wait = Duration::from_millis(wait);
            let (believed_until, told_until) =
                (asking.at.checked_add(wait.min(most))?, answered.checked_add(wait)?);
            Some(Denial { believed_until, told_until, asked, remaining })
        };
        let mut learned: ArrayVec<(u128, Denial), { MAX_LIMITS + 2 }> = ArrayVec::new();
        for (limit, standing) in asking.limits.iter().zip(&verdict.limits) {
            let Some(Memorable { key, terms, cost, most }) = *limit else { continue };
            if standing.wait_ms == 0 || standing.wait_ms == NEVER {
                continue;
            }
            let denial = deny(standing.wait_ms, most, Some((terms, cost)), standing.remaining);
            learned.extend(denial.map(|denial| (key, denial)));
        }
        if verdict.blocked_ms > 0 {
            // Which of the blocks it was is not told. The narrowest is asked for only with this
            // very caller, and its tenant's is asked for with it.
            let denial = deny(verdict.blocked_ms, Duration::MAX, None, 0);
            let denial = asking.blocks.last().copied().zip(denial);
            learned.extend(denial);
        }
        for (key, denial) in learned {
            self.known.insert(key, denial);
        }
        // Somebody said "forget" meanwhile, perhaps after the server had answered.
        if self.epoch.load(Ordering::Acquire) != asking.epoch {
            self.known.clear();
        }
    }

    fn known_verdict(&self, asking: &Asking) -> Option<Verdict> {
        if self.known.is_empty() {
            return None;
        }
        let is_believed = |denial: &Denial| denial.believed_until > asking.at;
        // Rounded up.
        let left = |denial: &Denial| {
            millis(denial.told_until.saturating_duration_since(asking.at)).saturating_add(1)
        };
        let mut verdict = Verdict {
            allowed: false,
            blocked_ms: 0,
            known: true,
            at_ms: 0,
            limits: ArrayVec::new(),
        };
        for key in &asking.blocks {
            let block = self.known.get(key).filter(|denial| denial.asked.is_none());
            let block = block.filter(is_believed).as_ref().map_or(0, left);
            verdict.blocked_ms = verdict.blocked_ms.max(block);
        }
        let mut denied = verdict.blocked_ms > 0;
        for limit in &asking.limits {
            let mut standing = Standing::default();
            let found = limit.and_then(|limit| Some((limit, self.known.get(&limit.key)?)));
            if let Some((limit, denial)) = found.filter(|(_, it)| it.told_until > asking.at) {
                let (terms, least) = denial.asked?;
                // A denial of other terms tells nothing of these.
                if terms == limit.terms {
                    match limit.cost.cmp(&least) {
                        // It may fit, or have to wait for longer than was told.
                        std::cmp::Ordering::Less => return None,
                        std::cmp::Ordering::Greater if !opens_at_once(terms) => return None,
                        _ => {}
                    }
                    // Of one that is not believed any more the wait is told all the same: where
                    // another denies, waiting is to be enough for both.
                    denied |= is_believed(&denial);
                    let wait_ms = left(&denial);
                    standing =
                        Standing { remaining: denial.remaining, resets_in_ms: wait_ms, wait_ms };
                }
            }
            verdict.limits.push(standing);
        }
        denied.then_some(verdict)
    }

    /// What a denial by this limit would be remembered under. One that is watched only denies
    /// nothing; one that is settled later may have room again before it resets.
    fn memorable(&self, limit: &Limit<'_>) -> Option<Memorable> {
        let denies = !limit.shadow && limit.cost > 0;
        denies.then(|| Memorable {
            key: self.fingerprint(&limit.key),
            terms: limit.terms(),
            cost: limit.cost,
            most: if limit.late { LATE } else { Duration::MAX },
        })
    }

    /// What the denials by this counter are remembered under.
    pub(crate) fn fingerprint(&self, key: &impl Hash) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        key.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

/// Whether all that a limit grants is there again at one moment, so that every cost waits for the same.
const fn opens_at_once(terms: Terms) -> bool {
    matches!(terms.algorithm, Algorithm::FixedWindow)
}

impl Drop for Denials {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
