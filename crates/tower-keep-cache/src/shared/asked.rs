//! Leases that were asked for.

use std::{sync::Arc, time::Duration};

use super::Shared;
use crate::{
    codec,
    found::{Lease, LeaseToken},
    name::Name,
    store::AskLease,
    value::Value,
};

/// A lease that was asked for, and may stand there by now. It is taken away again unless its fate was
/// [told](Self::told): when whoever asked goes away, or an error hides it.
pub(super) struct AskedLease<'a, V: Value> {
    shared: &'a Arc<Shared<V>>,
    name: &'a Name,
    token: Option<[u8; 16]>,
    lasting: Duration,
}

impl<'a, V: Value> AskedLease<'a, V> {
    /// One that is nobody else's. There is none without random bytes, or if nobody is to have one.
    pub(super) fn new(shared: &'a Arc<Shared<V>>, name: &'a Name) -> Option<Self> {
        let lasting = shared.fill_lease?;
        let mut token = [0; 16];
        getrandom::fill(&mut token).ok()?;
        Some(Self { shared, name, token: Some(token), lasting })
    }

    pub(super) fn ask(&self) -> AskLease {
        let blob = codec::lease(self.token.unwrap_or_default());
        AskLease { blob, lasting: self.lasting }
    }

    /// Whether it stands there; `or` says what stands there else.
    pub(super) fn told(mut self, leased: bool, or: Lease) -> Lease {
        match self.token.take() {
            Some(token) if leased => Lease::Ours(LeaseToken(token)),
            _ => or,
        }
    }
}

impl<V: Value> Drop for AskedLease<'_, V> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // It is seen through although nobody waits for it.
            drop(self.shared.release(self.name, LeaseToken(token)));
        }
    }
}
