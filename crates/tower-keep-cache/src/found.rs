//! What a cache says of an entry.

use std::{fmt, sync::Arc};

use crate::generation::Generations;

/// What is known of an entry: the value, if there is one, and what to judge it by.
///
/// The generations are from the same moment or before it, so their stamp is right for a fill that
/// begins now.
pub struct Found<V> {
    /// The value, unless there is none, or none that can be used.
    pub value: Option<Arc<V>>,
    /// The state of the tenant's purges.
    pub generations: Arc<Generations>,
    /// Who makes what is not there.
    pub lease: Lease,
}

/// Whose it is to make an entry that is not there, among all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lease {
    /// Nobody's: it is there, or nobody asked.
    #[default]
    None,
    /// Ours. Whoever makes it puts it, and who does not [releases](crate::Cache::release) it.
    Ours(LeaseToken),
    /// Another process makes it at this moment: [`Cache::wait`](crate::Cache::wait).
    Theirs,
}

/// Tells a lease from all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeaseToken(pub(crate) [u8; 16]);

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken")
    }
}

/// What came of putting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept.
    Stored,
    /// It is over the size that entries may have. What was there before is removed.
    TooLarge,
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        let Self { value, generations, lease } = self;
        Self { value: value.clone(), generations: Arc::clone(generations), lease: lease.clone() }
    }
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("value", &self.value.is_some())
            .field("generations", &self.generations)
            .field("lease", &self.lease)
            .finish()
    }
}
