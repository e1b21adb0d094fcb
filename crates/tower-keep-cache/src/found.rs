//! What a cache says of an entry.

use std::{fmt, sync::Arc};

use bytes::Bytes;

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
    /// Nobody's yet: something is there. Whoever finds that it is of no use to anybody any more
    /// [claims](crate::Cache::claim) its place.
    Taken(Place),
}

/// Where something stands that was found there, told from all that may be written there later.
#[derive(Clone, PartialEq, Eq)]
pub struct Place(Bytes);

impl Place {
    /// So many bytes from the beginning tell a blob from others that have the same name: of the same
    /// moment, for the same state of the tenant's purges.
    const LENGTH: usize = 256;

    /// The place of this blob. Takes none of it with it but a reference.
    pub(crate) fn of(blob: &Bytes) -> Self {
        Self(blob.slice(..blob.len().min(Self::LENGTH)))
    }

    /// The beginning of what was found there.
    #[doc(hidden)]
    pub fn beginning(&self) -> Bytes {
        self.0.clone()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
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
