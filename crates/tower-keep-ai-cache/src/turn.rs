//! Who asks the upstream for all who want the same: in this process, and among processes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep},
};
use tower_keep_cache::{
    Cache, Generations, Landed, Leader, LeaseToken, Name, Stamp, Tag, Turn, Validity,
};
use tower_keep_core::{Follow, time::UnixMillis};

use crate::{
    entry::{ALL, Entry},
    settings::Settings,
};

/// What those are brought who wait for another's answer.
#[derive(Clone, Debug)]
pub(crate) enum Flown {
    /// It is stored, and was in this state of the tenant's purges.
    Kept(Arc<Entry>, Arc<Generations>),
    /// It is on its way.
    Live(Arc<Told>, Follow),
    /// It is here.
    Here(Arc<Told>, Bytes),
    /// It is for nobody else.
    Unshared,
}

/// The head of an answer, as others may be told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The state of the tenant's purges when it was asked for, as far as it was known where the store
    /// does not answer, and what it can be purged by.
    pub(crate) since: (Stamp, Tag),
    /// When the oldest part of it was made, if some of it was stored.
    pub(crate) oldest: Option<UnixMillis>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Told {
    /// Whether it was asked for before a flush of which these tell.
    fn is_flushed(&self, generations: &Generations) -> bool {
        let (stamp, tag) = self.since;
        generations.judge(stamp, [*ALL, tag]) == Validity::Gone
    }
}

impl Flown {
    /// Whether it is of no use to who has come after a flush.
    pub(crate) fn is_flushed(&self, generations: &Generations) -> bool {
        match self {
            Self::Unshared => false,
            Self::Kept(entry, _) => !entry.is_valid(generations),
            Self::Live(told, _) | Self::Here(told, _) => told.is_flushed(generations),
        }
    }
}

/// What comes of wanting what others may be asking for.
pub(crate) enum Share<T> {
    /// It is here.
    Here(T),
    /// Another has brought it.
    Flown(Flown),
    /// Ask for all: those who come later follow, or, if `after_a_flush`, all who have come since one.
    Lead { leader: Leader<Flown>, after_a_flush: bool },
    /// Ask for oneself.
    Alone,
}

/// Waits for others who ask the same, unless `look` finds it. When the one who asks fails, the next
/// one asks, one at a time, as long as anybody has patience. What was asked for before a flush is not
/// for those who come after it: they ask together, once.
pub(crate) async fn share<T>(
    settings: &Settings,
    name: &Name,
    look: impl Fn() -> Option<T>,
) -> Share<T> {
    let until = Instant::now() + settings.patience;
    let mut flight = name.as_bytes().to_vec();
    let mut is_plain = true;
    loop {
        if let Some(here) = look() {
            return Share::Here(here);
        }
        let follower = match settings.flights.join(&flight) {
            Turn::Alone => return Share::Alone,
            Turn::Lead(leader) => return Share::Lead { leader, after_a_flush: !is_plain },
            Turn::Follow(follower) => follower,
        };
        let left = until.saturating_duration_since(Instant::now());
        match follower.wait(left).await {
            Landed::Abandoned => {}
            Landed::TimedOut => return Share::Alone,
            Landed::Value(flown) => {
                let cache = &settings.cache;
                let told = cache.generations(name.tenant()).await;
                let generations = told.unwrap_or_else(|_| cache.known(name.tenant()));
                if !flown.is_flushed(&generations) {
                    return Share::Flown(flown);
                }
                if !std::mem::take(&mut is_plain) {
                    return Share::Alone;
                }
                let Stamp { epoch, version } = generations.stamp();
                // Begins with a byte that no name begins with.
                let tail = [epoch.to_be_bytes(), version.to_be_bytes()].concat();
                flight = [&[0xff][..], &tail, name.as_bytes()].concat();
            }
        }
    }
}

/// The one who asks. When it is dropped those who wait are told, and another process may ask.
#[derive(Default)]
pub(crate) struct Lead {
    pub(crate) leader: Option<Leader<Flown>>,
    /// What was asked for before a flush is still on its way: its lease is not waited for.
    pub(crate) after_a_flush: bool,
    pub(crate) lease: Option<Leased>,
}

impl Lead {
    /// Tells those who wait, and those who come until this is dropped.
    pub(crate) fn share(&self, flown: Flown) {
        if let Some(leader) = &self.leader {
            leader.share(flown);
        }
    }

    /// Tells those who wait, and nobody who comes later.
    pub(crate) fn land(&mut self, flown: Flown) {
        if let Some(leader) = self.leader.take() {
            leader.land(flown);
        }
    }

    /// Whether somebody waits.
    pub(crate) fn has_followers(&self) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.followers() > 0)
    }

    /// Nobody who comes from now on shares it.
    pub(crate) fn close(&mut self) {
        self.leader = None;
    }
}

/// The right to make an entry, renewed as long as this is there, and then given back.
pub(crate) struct Leased {
    cache: Cache<Entry>,
    name: Name,
    /// `None` once there is nothing to give back.
    token: Option<LeaseToken>,
    renewing: Option<AbortHandle>,
}

impl Leased {
    /// Renews a lease that lasts so long.
    pub(crate) fn new(
        cache: &Cache<Entry>,
        name: &Name,
        token: LeaseToken,
        lasting: Duration,
    ) -> Self {
        let (cache, name) = (cache.clone(), name.clone());
        let renewing = Handle::try_current().ok().map(|runtime| {
            let (cache, name) = (cache.clone(), name.clone());
            let renew = async move {
                loop {
                    sleep(lasting / 3).await;
                    // If it fails there is time for another.
                    drop(cache.renew(&name, token).await);
                }
            };
            runtime.spawn(renew).abort_handle()
        });
        Self { cache, name, token: Some(token), renewing }
    }

    /// What is put takes the place of the lease: there is nothing to give back.
    pub(crate) fn used(mut self) {
        self.token = None;
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(renewing) = &self.renewing {
            renewing.abort();
        }
        if let Some(token) = self.token {
            // Is seen through although nobody waits for it.
            drop(self.cache.release(&self.name, token));
        }
    }
}
