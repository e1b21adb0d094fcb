//! What the engine asks of a store that processes share, in the engine's own terms.

use std::{sync::Weak, time::Duration};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tower_keep_core::{Answer, StoreError, TenantId};

use crate::{
    found::Place,
    generation::Generations,
    stamp::{Stamp, Tag},
};

/// The longest that an entry is kept.
pub const LONGEST_TTL: Duration = Duration::from_secs(30 * 86_400);

/// How long a tenant's generations are kept after they were made or last purged: longer than what
/// they are about.
pub const GENERATIONS_TTL: Duration = Duration::from_secs(40 * 86_400);

/// The most tags of one purge: so many fit into one message of the bus.
pub const MAX_TAGS: usize = 250;

/// What is to be read, in one round trip.
#[derive(Debug)]
pub struct Ask<'a> {
    /// An entry.
    pub entry: Option<AskEntry<'a>>,
    /// A tenant's generations.
    pub generations: Option<AskGenerations<'a>>,
}

/// An entry that is to be read.
#[derive(Debug)]
pub struct AskEntry<'a> {
    /// Its key.
    pub key: &'a str,
    /// If there is none, this is to be put there in the same step.
    pub lease: Option<AskLease>,
}

/// What is to stand in the place of an entry that is not there, while it is being made.
#[derive(Clone, Debug)]
pub struct AskLease {
    /// It as bytes.
    pub blob: Bytes,
    /// How long it stands there.
    pub lasting: Duration,
}

/// Generations that are to be read.
#[derive(Debug)]
pub struct AskGenerations<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// What is known of them: if they are still so, they need not be told.
    pub known: Option<Stamp>,
}

/// What was read: of each thing that was asked for.
#[derive(Debug, Default)]
pub struct Told {
    /// The entry.
    pub entry: Option<ToldEntry>,
    /// The generations.
    pub generations: Option<ToldGenerations>,
}

/// An entry as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToldEntry {
    /// What is there, or was before the lease: an entry, another's lease, or anything.
    pub blob: Option<Bytes>,
    /// The lease that was asked for stands there now.
    pub leased: bool,
}

/// Generations as they were read.
#[derive(Debug, PartialEq, Eq)]
pub enum ToldGenerations {
    /// They are as known.
    Unchanged,
    /// They are so.
    Whole(Generations),
}

/// One purge.
#[derive(Debug)]
pub struct PurgeStep<'a> {
    /// Whose caches.
    pub tenant: &'a TenantId,
    /// Whether what it purges is only stale.
    pub soft: bool,
    /// At most [`MAX_TAGS`], each once; `None` for everything.
    pub tags: Option<&'a [Tag]>,
    /// What is to be published, of the kind [`BUS_CACHES`](tower_keep_core::key::BUS_CACHES). Its
    /// last 16 bytes are to be replaced by the epoch and the version that the purge has made, 8
    /// bytes each, big-endian.
    pub message: Vec<u8>,
}

/// Keeps blobs and generations for all processes that share it.
///
/// # The law
///
/// 1. A blob is kept for its time at most, and may be lost before. What is read is a whole blob
///    that was written there, or another program's bytes.
/// 2. What [`Ask`] asks for is read by commands of one write to the socket; only generations that
///    have changed take another. The generations are read not earlier than [`read`](Self::read)
///    was called.
/// 3. A lease is put only where nothing is, in the same step as it is found out, or in the
///    place of what is [claimed](Self::claim), in one step too. Where the server
///    refuses it (it is full), the entry is read without. [`release`](Self::release) takes away
///    that very lease and nothing else.
/// 4. A tenant's generations that are not there are made, by reading and by purging alike, with a
///    random epoch that all processes agree on. They live for [`GENERATIONS_TTL`] after they were
///    made or changed.
/// 5. A purge is one atomic step, the twin of [`Generations::purged`]. It says which epoch and
///    version it made, and tells all who listen, in the order of the versions.
/// 6. Removing tells all who listen, after it was done or at the same time.
/// 7. Whoever listens hears all messages of the bus of the kind
///    [`BUS_CACHES`](tower_keep_core::key::BUS_CACHES), its own included, in order, and of each gap.
/// 8. Each is carried out only when its answer is awaited. Each write may be carried out although
///    its answer says `Unknown`.
pub trait SharedStore: Send + Sync + 'static {
    /// Reads an entry, a tenant's generations, or both.
    fn read(&self, ask: Ask<'_>) -> Answer<Result<Told, StoreError>>;

    /// Reads several entries at once, in the order of their keys.
    fn read_many(&self, keys: &[String]) -> Answer<Result<Vec<Option<Bytes>>, StoreError>> {
        let ask = |key| Ask { entry: Some(AskEntry { key, lease: None }), generations: None };
        let reads: Vec<_> = keys.iter().map(|key| self.read(ask(key))).collect();
        Answer::pending(async move {
            let told = try_join_all(reads).await?;
            Ok(told.into_iter().map(|told| told.entry.and_then(|entry| entry.blob)).collect())
        })
    }

    /// Puts a blob in the place of what is there.
    fn write(&self, key: &str, blob: Bytes, ttl: Duration) -> Answer<Result<(), StoreError>>;

    /// Takes away what is there, and publishes the message.
    fn remove(&self, key: &str, message: Vec<u8>) -> Answer<Result<(), StoreError>>;

    /// Puts a lease for so long in the place of what was found there, if it is still that, or if
    /// nothing is there any more; whether it has.
    fn claim(
        &self,
        key: &str,
        place: &Place,
        lease: Bytes,
        lasting: Duration,
    ) -> Answer<Result<bool, StoreError>>;

    /// Takes away a lease, if it is still the one that stands there.
    fn release(&self, key: &str, lease: Bytes) -> Answer<Result<(), StoreError>>;

    /// Has a lease last so long from now on, if it is still the one that stands there.
    fn renew(&self, key: &str, lease: Bytes, lasting: Duration) -> Answer<Result<(), StoreError>>;

    /// Purges.
    fn purge(&self, step: PurgeStep<'_>) -> Answer<Result<Stamp, StoreError>>;

    /// Whether all that others publish is heard here now, or a gap will be told. Costs next to
    /// nothing: it is asked for each hit.
    fn is_live(&self) -> bool;

    /// Tells `listener` what is heard, for as long as it is there. Called once, within a tokio
    /// runtime.
    fn listen(&self, listener: Weak<dyn Listener>);
}

/// Who is told what is heard on the bus.
pub trait Listener: Send + Sync {
    /// Somebody has published this payload.
    fn message(&self, payload: &[u8]);

    /// Messages may have been missed up to now.
    fn gap(&self);
}
