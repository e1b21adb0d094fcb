//! What is kept of the database, and what makes it invalid.

use std::time::Duration;

use tower_keep::{
    Cacheable, ConfigError, Invalidate, Keep, LoadError, QueryCache, QueryKey, Sought, TenantId,
    TtlClass,
};

use crate::clinic::{
    analytics::ANALYTICS,
    overdue::Overdue,
    patients::{PAGES, PATIENT},
    prescriptions::PRESCRIPTION,
};

/// All that is kept of a tenant, each of which tells of products.
pub(super) const ALL: [Invalidate<'static>; 4] = [
    Invalidate::Type(PAGES),
    Invalidate::Type(PATIENT),
    Invalidate::Type(PRESCRIPTION),
    Invalidate::Type(ANALYTICS),
];

/// How long one of all processes has to load something: longer than to wait for the database and for
/// the summary.
const LEASE: Duration = Duration::from_secs(5);

/// The caches, for those who read the database and for those who write to it.
#[derive(Clone)]
pub(crate) struct Kept {
    cache: QueryCache,
    /// Keeps nothing: those who want the same at the same time share what one loads.
    aside: QueryCache,
    overdue: Overdue,
}

impl Kept {
    /// What is kept in `keep`'s store.
    pub(crate) fn of(keep: &Keep) -> Result<Self, ConfigError> {
        let cache = keep.query_cache().fill_lease(LEASE).build()?;
        let aside = QueryCache::builder().memory().build()?;
        Ok(Self { overdue: Overdue::of(cache.clone()), cache, aside })
    }

    /// Makes all that tells of a product invalid. Once this has returned, this process gives
    /// nothing that was read before.
    pub(crate) async fn product_changed(&self, tenant: &TenantId) {
        self.invalidate(tenant, ALL).await;
    }

    /// Makes a part of what is kept of a tenant invalid: as soon as the store answers, and it is not
    /// used until then.
    pub(super) async fn invalidate<'a>(
        &self,
        tenant: &TenantId,
        what: impl IntoIterator<Item = Invalidate<'a>> + Clone,
    ) {
        // In memory, where nothing fails.
        let _ = self.aside.invalidate_all(tenant, what.clone()).await;
        if let Err(error) = self.cache.invalidate_all(tenant, what).await {
            self.overdue.note(tenant, &error);
        }
    }

    /// The value, kept or loaded, and whether what is kept was not looked at. One loads for all who
    /// want the same; no more load at a time than the database has connections.
    pub(super) async fn find<T, F>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> (Result<Sought<T>, LoadError<sqlx::Error>>, bool)
    where
        T: Cacheable,
        F: Future<Output = sqlx::Result<Option<T>>> + Send + 'static,
    {
        if self.overdue.concerns(key.tenant()) {
            let unkept = TtlClass::new("unkept", Duration::ZERO);
            return (self.aside.find_or_load(key, &unkept, load).await, true);
        }
        (self.cache.find_or_load(key, class, load).await, false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use tokio::{task::JoinSet, time::sleep};
    use tower_keep::Source;
    use tower_keep_tests::free_port;

    use super::*;

    /// What one finds that says how many loaded before.
    async fn find(kept: Kept, tenant: TenantId, runs: Arc<AtomicUsize>) -> (usize, Source, bool) {
        let key = QueryKey::query(&tenant, "summary", &1).unwrap().of_type(ANALYTICS);
        let class = TtlClass::new("query", Duration::from_secs(300));
        let load = move || async move {
            let before = runs.fetch_add(1, SeqCst);
            sleep(Duration::from_millis(300)).await;
            Ok(Some(before))
        };
        let (sought, bypassed) = kept.find(&key, &class, load).await;
        let sought = sought.unwrap();
        (*sought.value.unwrap(), sought.source, bypassed)
    }

    #[tokio::test]
    async fn what_is_not_kept_is_loaded_by_one_for_all_and_anew_after_each_change() {
        // Nobody listens there.
        let url = format!("redis://127.0.0.1:{}", free_port().unwrap());
        let kept = Kept::of(&Keep::connect(&url).unwrap()).unwrap();
        let (acme, globex) = (TenantId::new("acme").unwrap(), TenantId::new("globex").unwrap());
        let runs = Arc::new(AtomicUsize::new(0));
        let one = |tenant: &TenantId| find(kept.clone(), tenant.clone(), Arc::clone(&runs));
        kept.product_changed(&acme).await;
        let mut callers = JoinSet::new();
        for _ in 0..200 {
            callers.spawn(one(&acme));
        }
        let all = callers.join_all().await;
        assert_eq!(runs.load(SeqCst), 1, "one loads for all");
        assert!(all.iter().all(|(value, _, bypassed)| *value == 0 && *bypassed));
        assert_eq!(all.iter().filter(|(_, source, _)| *source == Source::Loaded).count(), 1);
        assert_eq!(one(&acme).await.0, 1, "it is not kept");
        // Who asks after a change gets nothing that was begun before it.
        let before = tokio::spawn(one(&acme));
        while runs.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        kept.product_changed(&acme).await;
        assert_eq!((one(&acme).await.0, before.await.unwrap().0), (3, 2));
        assert!(!one(&globex).await.2, "another's is looked at");
    }
}
