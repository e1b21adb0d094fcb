//! What all services of one layer share.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use http::request::Parts;
use tower_keep_cache::{Cache, Flights, Generations, Name};
use tower_keep_core::{Budget, TenantId, time::UnixMillis};

use crate::{
    control::Policy,
    entry::{About, Entry, tag},
    identity::Keying,
    provider::{Usage, route::Routes},
    question::Question,
    ttl::Ttls,
    turn::Flown,
    whose::Sharing,
};

pub(crate) type Skip = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// What a layer was built with, and what it keeps.
pub(crate) struct Settings {
    pub(crate) cache: Cache<Entry>,
    pub(crate) flights: Flights<Flown>,
    pub(crate) routes: Routes,
    pub(crate) policy: Policy,
    pub(crate) keying: Keying,
    pub(crate) sharing: Sharing,
    pub(crate) ttls: Ttls,
    pub(crate) skip: Vec<Skip>,
    /// What the operator calls who answers, part of every identity.
    pub(crate) upstream: String,
    /// The operator's own count, part of every identity.
    pub(crate) epoch: u64,
    /// How requests are told apart, part of every identity.
    pub(crate) terms: Vec<u8>,
    /// Answers that were cut at the most tokens they may have are stored.
    pub(crate) take_cut: bool,
    /// Stored events are sent one by one.
    pub(crate) cut_events: bool,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    /// What all answers on their way may hold.
    pub(crate) in_flight: Budget,
    /// How long a request waits for another's answer.
    pub(crate) patience: Duration,
    /// How long the upstream is waited for when nobody else waits any more, and then for the rest of
    /// an answer.
    pub(crate) linger: Duration,
    /// How long an answer may take to come, though its client may be gone.
    pub(crate) fill_timeout: Duration,
    /// By which part of it at most a lifetime is cut.
    pub(crate) jitter: f64,
    /// Where all entries are looked for, in tests.
    pub(crate) digest: Option<[u8; 16]>,
}

impl Settings {
    pub(crate) fn now(&self) -> UnixMillis {
        self.cache.clock().now()
    }

    /// What an entry is called.
    pub(crate) fn name(&self, tenant: &TenantId, model: &str, identity: &[u8]) -> Name {
        let name = Name::ai(tenant, model, identity);
        match self.digest {
            Some(digest) => name.with_digest(digest),
            None => name,
        }
    }

    /// What is known of an answer that has come now. `generations` are from before it was asked for.
    pub(crate) fn about(
        &self,
        question: &Question,
        generations: &Generations,
        usage: Usage,
    ) -> About {
        let (stamp, made) = (generations.stamp(), self.now());
        let until = made.plus(self.cut(question.ttl, made));
        About { stamp, tag: tag(&question.model), made, until, usage }
    }

    /// A lifetime less up to its jitter, so that what was stored together does not end together.
    fn cut(&self, ttl: Duration, made: UnixMillis) -> Duration {
        // As good as random.
        let random = (RandomState::new().hash_one(made) >> 32) as u32;
        let cut = ttl.mul_f64(self.jitter * f64::from(random) / f64::from(u32::MAX));
        ttl.saturating_sub(cut)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("sharing", &self.sharing)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
