//! What could not be invalidated, because the store was away: made up for, and not looked at
//! meanwhile.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tower_keep::{QueryCache, StoreError, TenantId};

use crate::clinic::kept::ALL;

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(250);

/// The tenants whose values in the store may be older than the database. Nobody remembers them when
/// the process ends: then they may be given until their time is over.
#[derive(Clone)]
pub(super) struct Overdue {
    cache: QueryCache,
    /// With how often each was noted.
    tenants: Arc<Mutex<HashMap<TenantId, u64>>>,
}

impl Overdue {
    pub(super) fn of(cache: QueryCache) -> Self {
        Self { cache, tenants: Arc::default() }
    }

    /// Whether what is kept of the tenant must not be used.
    pub(super) fn concerns(&self, tenant: &TenantId) -> bool {
        self.tenants().contains_key(tenant)
    }

    /// Has all that is kept of the tenant invalidated as soon as the store answers.
    pub(super) fn note(&self, tenant: &TenantId, error: &StoreError) {
        tracing::warn!("to be invalidated later, and not used until then: {error}");
        match self.tenants().entry(tenant.clone()) {
            Entry::Occupied(mut noted) => *noted.get_mut() += 1,
            Entry::Vacant(place) => {
                place.insert(1);
                let (overdue, tenant) = (self.clone(), tenant.clone());
                tokio::spawn(async move { overdue.make_up(&tenant).await });
            }
        }
    }

    async fn make_up(&self, tenant: &TenantId) {
        loop {
            sleep(PAUSE).await;
            let noted = self.tenants().get(tenant).copied();
            if self.cache.invalidate_all(tenant, ALL).await.is_ok() {
                let mut tenants = self.tenants();
                // What was written meanwhile may have come too late for this.
                if tenants.get(tenant).copied() == noted {
                    tenants.remove(tenant);
                    return;
                }
            }
        }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, u64>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
