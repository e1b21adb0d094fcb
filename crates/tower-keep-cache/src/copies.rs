//! What this process knows of its tenants' generations.

mod copy;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter, sync};
use tower_keep_core::{Invalidation, TenantId};

pub(crate) use self::copy::{Copy, Purged};

/// How many tenants' generations are known at once, about. Those of a tenant that was forgotten are
/// read anew; in memory mode they are lost, and with them all that the tenant has.
const TENANTS: usize = 4096;

/// The copies of many tenants' generations.
pub(crate) struct Copies {
    map: sync::Cache<TenantId, Arc<Copy>, UnitWeighter, DefaultHashBuilder, Forget>,
    by_hash: Arc<ByHash>,
    ticks: AtomicU64,
    /// When messages may have been missed last.
    gap: AtomicU64,
    /// Makes what is not known yet.
    new: fn() -> Copy,
}

/// The copies by what a message names their tenants.
type ByHash = Mutex<HashMap<[u8; 16], Arc<Copy>>>;

impl Copies {
    pub(crate) fn new(new: fn() -> Copy) -> Self {
        Self::bounded(TENANTS, new)
    }

    pub(crate) fn bounded(tenants: usize, new: fn() -> Copy) -> Self {
        let by_hash = Arc::default();
        let forget = Forget(Arc::clone(&by_hash));
        let hasher = DefaultHashBuilder::default();
        let map = sync::Cache::with(tenants, tenants as u64, UnitWeighter, hasher, forget);
        // A moment of 0 is before all.
        Self { map, by_hash, ticks: AtomicU64::new(1), gap: AtomicU64::new(0), new }
    }

    /// This moment, after all that came before it. Moments of the clock do not tell what came first.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// What was known before this moment may be wrong.
    pub(crate) fn gap(&self) {
        self.gap.store(self.tick(), Ordering::SeqCst);
    }

    /// The last moment at which messages may have been missed.
    pub(crate) fn last_gap(&self) -> u64 {
        self.gap.load(Ordering::SeqCst)
    }

    /// The copy of a tenant's generations.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Copy> {
        let found: Result<_, std::convert::Infallible> =
            self.map.get_or_insert_with(tenant, || {
                let copy = Arc::new((self.new)());
                // Before it can be found, and so before it can be forgotten.
                lock(&self.by_hash).insert(Invalidation::tenant_hash(tenant), Arc::clone(&copy));
                Ok(copy)
            });
        match found {
            Ok(copy) => copy,
            Err(never) => match never {},
        }
    }

    /// The copy of the generations of the tenant that a message names.
    pub(crate) fn named(&self, hash: &[u8; 16]) -> Option<Arc<Copy>> {
        lock(&self.by_hash).get(hash).cloned()
    }

    #[cfg(test)]
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (self.map.len(), lock(&self.by_hash).len())
    }
}

/// Retires copies that are forgotten. It is called while nobody can look for the tenant.
#[derive(Clone)]
struct Forget(Arc<ByHash>);

impl Lifecycle<TenantId, Arc<Copy>> for Forget {
    type RequestState = ();

    fn begin_request(&self) {}

    fn on_evict(&self, (): &mut (), tenant: TenantId, copy: Arc<Copy>) {
        copy.retire();
        let hash = Invalidation::tenant_hash(&tenant);
        let mut by_hash = lock(&self.0);
        if by_hash.get(&hash).is_some_and(|known| Arc::ptr_eq(known, &copy)) {
            by_hash.remove(&hash);
        }
    }
}

/// Nothing in it can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
