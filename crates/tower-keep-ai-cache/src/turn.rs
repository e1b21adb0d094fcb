//! Who asks the upstream for all who want the same: in this process, and among processes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::{runtime::Handle, task::AbortHandle, time::sleep};
use tower_keep_cache::{Cache, Generations, Leader, LeaseToken, Name, Stamp, Tag, Validity};
use tower_keep_core::Follow;

use crate::entry::{ALL, Entry};

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
    /// The upstream could not be asked.
    Failed,
}

/// The head of an answer, as others may be told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The state of the tenant's purges when it was asked for, and what it can be purged by; `None`
    /// where the store does not answer.
    pub(crate) since: Option<(Stamp, Tag)>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Told {
    /// Whether it was asked for since the last flush.
    pub(crate) fn is_valid(&self, generations: &Generations) -> bool {
        self.since
            .is_none_or(|(stamp, tag)| generations.judge(stamp, [*ALL, tag]) != Validity::Gone)
    }
}

/// The one who asks. When it is dropped those who wait are told, and another process may ask.
#[derive(Default)]
pub(crate) struct Lead {
    pub(crate) leader: Option<Leader<Flown>>,
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
