//! Which tenants this demo takes.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tower_keep::{KnownTenants, TenantId};

/// Takes any tenant's name, but only so many different ones, until the program is started again.
/// Anybody can use them up: a real service knows its tenants.
pub(crate) struct FirstTenants {
    seen: Mutex<HashSet<TenantId>>,
    most: usize,
    always: &'static [&'static str],
}

impl FirstTenants {
    /// Takes the first `most` names that come, and `always`.
    pub(crate) fn new(most: usize, always: &'static [&'static str]) -> Self {
        Self { seen: Mutex::default(), most, always }
    }
}

impl KnownTenants for FirstTenants {
    fn contains(&self, tenant: &TenantId) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.always.contains(&tenant.as_str()) || seen.contains(tenant) {
            return true;
        }
        let has_room = seen.len() < self.most;
        if has_room {
            seen.insert(tenant.clone());
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_so_many_are_taken_and_stay() {
        let tenants = FirstTenants::new(2, &["public"]);
        let take = |name| tenants.contains(&TenantId::new(name).unwrap());
        assert!(take("a") && take("b") && take("public") && take("a"));
        assert!(!take("c"));
        assert!(take("b") && take("public"));
    }
}
