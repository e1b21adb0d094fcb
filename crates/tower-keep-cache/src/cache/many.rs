//! Several entries at once, and what is known without asking.

use std::{sync::Arc, time::Duration};

use tower_keep_core::{Answer, StoreError, TenantId};

use super::{Cache, Mode};
use crate::{found::Found, generation::Generations, name::Name, value::Value};

impl<V: Value> Cache<V> {
    /// What there is of each, in their order: by one round trip for all. Like [`get`](Self::get), it
    /// looks at no near copies. It asks for no [lease](crate::Lease).
    pub fn get_many(&self, names: &[Name]) -> Answer<Result<Vec<Found<V>>, StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => {
                let now = self.clock().now();
                Answer::ready(Ok(names.iter().map(|name| memory.get(name, now)).collect()))
            }
            Mode::Shared(shared) => {
                let (shared, names) = (Arc::clone(shared), names.to_vec());
                Answer::pending(async move { shared.get_many(&names).await })
            }
        }
    }

    /// Keeps several values, each for this long at most, as [`put`](Self::put) does: by one round
    /// trip for all.
    pub fn put_many(
        &self,
        values: Vec<(Name, Arc<V>, Duration)>,
    ) -> Answer<Result<(), StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => {
                for (name, value, ttl) in values {
                    memory.put(&name, value, ttl);
                }
                Answer::ready(Ok(()))
            }
            Mode::Shared(shared) => shared.put_many(values),
        }
    }

    /// The state of a tenant's purges as this process knows it, however long ago it was told: at
    /// least all purges that this process has made are in it. What these generations say is
    /// [`Gone`](crate::Validity::Gone) must not be used; that they say nothing proves nothing.
    pub fn known(&self, tenant: &TenantId) -> Arc<Generations> {
        match &self.0 {
            Mode::Memory(memory) => memory.generations(tenant),
            Mode::Shared(shared) => shared.held(tenant),
        }
    }
}
