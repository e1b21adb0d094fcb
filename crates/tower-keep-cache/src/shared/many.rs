//! Several entries at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join, try_join_all};
use tower_keep_core::{Answer, StoreError, TenantId};

use super::{Begun, Copy, Shared, steps::SHORTEST_TTL};
use crate::{
    found::Found,
    generation::Generations,
    name::Name,
    store::{Ask, AskGenerations, LONGEST_TTL, ToldEntry},
    value::Value,
};

impl<V: Value> Shared<V> {
    /// The generations as they were known last.
    pub(crate) fn held(&self, tenant: &TenantId) -> Arc<Generations> {
        self.copies.of(tenant).current()
    }

    /// The entries as the store has them.
    pub(crate) async fn get_many(&self, names: &[Name]) -> Result<Vec<Found<V>>, StoreError> {
        let mut begun: HashMap<&TenantId, Begun> = HashMap::new();
        for name in names {
            begun.entry(name.tenant()).or_insert_with(|| self.begin(name.tenant()));
        }
        let ageing = begun
            .iter()
            .filter(|(_, begun)| self.age(begun).is_none_or(Copy::is_ageing))
            .map(|(tenant, begun)| self.renew(tenant, begun));
        let keys: Vec<String> = names.iter().map(|name| name.key(V::KIND)).collect();
        let entries = self.store.read_many(&keys);
        let (_, blobs) = try_join(try_join_all(ageing), entries).await?;
        let mut found = Vec::with_capacity(names.len());
        let mut blobs = blobs.into_iter();
        for (name, key) in names.iter().zip(&keys) {
            let Some(begun) = begun.get(name.tenant()) else { continue };
            let entry = ToldEntry { blob: blobs.next().flatten(), leased: false };
            let (value, lease) = self.read(key, name, begun, entry);
            let generations = self.judges(name.tenant(), begun).await?;
            found.push(Found { value, generations, lease });
        }
        Ok(found)
    }

    async fn renew(&self, tenant: &TenantId, begun: &Begun) -> Result<(), StoreError> {
        let known = begun.copy.known();
        let ask = Ask { entry: None, generations: Some(AskGenerations { tenant, known }) };
        if let Some(told) = self.store.read(ask).await?.generations {
            begun.copy.install(told, known, begun.tick, begun.now);
        }
        Ok(())
    }

    pub(crate) fn put_many(
        self: &Arc<Self>,
        values: Vec<(Name, Arc<V>, Duration)>,
    ) -> Answer<Result<(), StoreError>> {
        let mut blobs = Vec::with_capacity(values.len());
        for (name, value, ttl) in values {
            let ttl = ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
            let key = name.key(V::KIND);
            let begun = self.begin(name.tenant());
            let expires = begun.now.plus(ttl);
            if let Some(blob) = self.codec.encode(&key, &name, &*value, expires) {
                self.keep_near(&key, &name, &value, expires, &begun);
                blobs.push((key, blob, ttl));
            } else {
                // Is seen through although nobody waits for it.
                drop(self.remove(&name));
            }
        }
        let shared = Arc::clone(self);
        self.see_through(async move {
            let writes = blobs.into_iter().map(|(key, blob, ttl)| {
                let shared = &shared;
                async move { shared.store.write(&key, blob, ttl).await }
            });
            // One that fails stops no other.
            join_all(writes).await.into_iter().collect()
        })
    }
}
