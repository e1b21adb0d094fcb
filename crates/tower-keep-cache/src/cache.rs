//! The cache.

mod many;

use std::{fmt, sync::Arc, time::Duration};

use tower_keep_core::{
    Answer, ConfigError, StoreError, TenantId,
    time::{Clock, UnixMillis},
};

use crate::{
    found::{Found, LeaseToken, Put},
    generation::{Generations, Purge},
    memory::Memory,
    name::Name,
    settings::{CacheBuilder, Kept},
    shared::Shared,
    value::Value,
};

/// Entries of one kind, in memory or in a store that processes share. Cheap to clone.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// # use bytes::Bytes;
/// use tower_keep_cache::{Cache, CacheBuilder, Name, Purge, Stamp, Tag, Validity, Value};
/// use tower_keep_core::TenantId;
///
/// /// A text, when it was fetched and what it can be purged by.
/// struct Text {
///     text: String,
///     stamp: Stamp,
///     tag: Tag,
/// }
/// # impl Value for Text {
/// #     const KIND: &'static str = "text";
/// #     const FORMAT: u8 = 1;
/// #     fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
/// #         meta.extend(self.stamp.epoch.to_be_bytes());
/// #         meta.extend(self.stamp.version.to_be_bytes());
/// #         meta.extend(self.tag.to_bytes());
/// #         body.extend(self.text.as_bytes());
/// #     }
/// #     fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
/// #         let number = |at: usize| Some(u64::from_be_bytes(meta.get(at..at + 8)?.try_into().ok()?));
/// #         let stamp = Stamp { epoch: number(0)?, version: number(8)? };
/// #         let tag = Tag::from_bytes(meta.get(16..)?.try_into().ok()?);
/// #         Some(Self { text: String::from_utf8(body.to_vec()).ok()?, stamp, tag })
/// #     }
/// #     fn weight(&self) -> usize {
/// #         size_of::<Self>() + self.text.len()
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<Text> = CacheBuilder::new().memory().build()?;
/// let tenant = TenantId::new("acme")?;
/// let name = Name::new(&tenant, "GET /items");
///
/// // A fill: the stamp is taken before what is stored is fetched.
/// let stamp = cache.get(&name).await?.generations.stamp();
/// let tag = Tag::new("group", b"items");
/// let text = Text { text: "three items".into(), stamp, tag };
/// cache.put(&name, Arc::new(text), Duration::from_secs(60)).await?;
///
/// // A use: what is there is judged by what was purged since.
/// let validity = || {
///     let found = cache.peek(&name)?;
///     let text = found.value?;
///     Some(found.generations.judge(text.stamp, [text.tag]))
/// };
/// assert_eq!(validity(), Some(Validity::Valid));
/// cache.purge(&tenant, &Purge::tags([tag]).soft()).await?;
/// assert_eq!(validity(), Some(Validity::Stale));
/// cache.purge(&tenant, &Purge::everything()).await?;
/// assert_eq!(validity(), Some(Validity::Gone));
/// cache.remove(&name).await?;
/// assert_eq!(validity(), None);
/// # Ok(()) }
/// ```
pub struct Cache<V: Value>(Mode<V>);

enum Mode<V: Value> {
    Memory(Arc<Memory<V>>),
    Shared(Arc<Shared<V>>),
}

impl<V: Value> Cache<V> {
    pub(crate) fn new(settings: &CacheBuilder) -> Result<Self, ConfigError> {
        Ok(Self(match &settings.store {
            None => {
                return Err(ConfigError::new("store", "none is named: `memory` or `redis`"));
            }
            Some(Kept::Memory) => Mode::Memory(Arc::new(Memory::new(settings))),
            Some(Kept::Shared(store)) => Mode::Shared(Shared::new(settings, Arc::clone(store))?),
        }))
    }

    /// What this process knows of an entry without asking anybody. In memory mode that is all
    /// there is to know, and never `None`; otherwise it is a near copy that may be used, or `None`:
    /// then [`get`](Self::get) asks.
    #[inline]
    pub fn peek(&self, name: &Name) -> Option<Found<V>> {
        self.peek_at(name, self.clock().now())
    }

    /// The same, for whoever has looked at the cache's [clock](Self::clock) already, which takes
    /// about as long as all else.
    #[inline]
    pub fn peek_at(&self, name: &Name, now: UnixMillis) -> Option<Found<V>> {
        match &self.0 {
            Mode::Memory(memory) => Some(memory.get(name, now)),
            Mode::Shared(shared) => shared.peek(name, now),
        }
    }

    /// What there is: by one round trip at most; in memory mode it is there at once. A near copy is
    /// not looked at, see [`peek`](Self::peek): whoever finds one that is
    /// [`Gone`](crate::Validity::Gone) asks here whether there is another by now.
    ///
    /// Where there are [leases](CacheBuilder::fill_lease), it asks for the right to make what is not
    /// there: whoever has no use for that [looks](Self::look). When the answer is dropped on its way,
    /// what was given is given back.
    pub fn get(&self, name: &Name) -> Answer<Result<Found<V>, StoreError>> {
        self.ask(name, true)
    }

    /// The same for whoever does not make what is not there: it asks for no [lease](crate::Lease),
    /// though it may find that of another.
    pub fn look(&self, name: &Name) -> Answer<Result<Found<V>, StoreError>> {
        self.ask(name, false)
    }

    fn ask(&self, name: &Name, leasing: bool) -> Answer<Result<Found<V>, StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => Answer::ready(Ok(memory.get(name, self.clock().now()))),
            Mode::Shared(shared) => {
                let (shared, name) = (Arc::clone(shared), name.clone());
                Answer::pending(async move { shared.get(&name, leasing).await })
            }
        }
    }

    /// Keeps a value for this long at most, and no longer than 30 days. It is seen through although
    /// nobody waits for it. What is over [the longest](CacheBuilder::max_entry_bytes) is not kept,
    /// and what was there is removed.
    pub fn put(
        &self,
        name: &Name,
        value: Arc<V>,
        ttl: Duration,
    ) -> Answer<Result<Put, StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => Answer::ready(Ok(memory.put(name, value, ttl))),
            Mode::Shared(shared) => shared.put(name, &value, ttl),
        }
    }

    /// Removes an entry, everywhere. It is seen through although nobody waits for it. A fill that is
    /// under way may bring it back: what must not come back is [purged](Self::purge) by a tag.
    pub fn remove(&self, name: &Name) -> Answer<Result<(), StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => {
                memory.remove(name);
                Answer::ready(Ok(()))
            }
            Mode::Shared(shared) => shared.remove(name),
        }
    }

    /// The state of a tenant's purges, at most a second old.
    pub fn generations(&self, tenant: &TenantId) -> Answer<Result<Arc<Generations>, StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => Answer::ready(Ok(memory.generations(tenant))),
            Mode::Shared(shared) => {
                if let Some(known) = shared.known(tenant) {
                    return Answer::ready(Ok(known));
                }
                let (shared, tenant) = (Arc::clone(shared), tenant.clone());
                Answer::pending(async move { shared.reread(&tenant).await })
            }
        }
    }

    /// Purges. Once it has returned without an error, this process uses nothing any more that was
    /// purged; others do not within 100 ms while the bus is live, and within a second otherwise. It
    /// is seen through although nobody waits for it. It may be done over where the error says
    /// [`Unknown`](tower_keep_core::ErrorClass::Unknown).
    pub fn purge(&self, tenant: &TenantId, what: &Purge) -> Answer<Result<(), StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => {
                memory.purge(tenant, what);
                Answer::ready(Ok(()))
            }
            Mode::Shared(shared) => shared.purge(tenant, what),
        }
    }

    /// Asks for the right to make anew what was found and is of no use to anybody any more, because it
    /// was purged or does not decode: its [`lease`](Found::lease) is [`Ours`](crate::Lease::Ours) then,
    /// or [`Theirs`](crate::Lease::Theirs) if another was quicker, who may even have made it already.
    /// If something else is there by now it is left alone. What is not
    /// [`Taken`](crate::Lease::Taken) stays as it is.
    pub fn claim(&self, name: &Name, found: Found<V>) -> Answer<Found<V>> {
        match &self.0 {
            Mode::Memory(_) => Answer::ready(found),
            Mode::Shared(shared) => shared.claim(name, found),
        }
    }

    /// Gives back the right to make an entry, so that another process may. It is seen through
    /// although nobody waits for it.
    pub fn release(&self, name: &Name, lease: LeaseToken) -> Answer<Result<(), StoreError>> {
        match &self.0 {
            Mode::Memory(_) => Answer::ready(Ok(())),
            Mode::Shared(shared) => shared.release(name, lease),
        }
    }

    /// Has the right to make an entry last as long from now on as it did at first, if it is still
    /// ours.
    pub fn renew(&self, name: &Name, lease: LeaseToken) -> Answer<Result<(), StoreError>> {
        match &self.0 {
            Mode::Memory(_) => Answer::ready(Ok(())),
            Mode::Shared(shared) => shared.extend(name, lease),
        }
    }

    /// Waits until the process that makes an entry has made it, or has given up, but no longer than
    /// this. What is found then may still be [`Theirs`](crate::Lease::Theirs).
    pub fn wait(&self, name: &Name, at_most: Duration) -> Answer<Result<Found<V>, StoreError>> {
        match &self.0 {
            Mode::Memory(memory) => Answer::ready(Ok(memory.get(name, self.clock().now()))),
            Mode::Shared(shared) => {
                let (shared, name) = (Arc::clone(shared), name.clone());
                Answer::pending(async move { shared.wait(&name, at_most).await })
            }
        }
    }

    /// Where it takes the time from.
    #[inline]
    pub fn clock(&self) -> &Clock {
        match &self.0 {
            Mode::Memory(memory) => memory.clock(),
            Mode::Shared(shared) => shared.clock(),
        }
    }

    /// Whether [`get`](Self::get) asks for the right to make what is not there. Of one process only
    /// one should ask: whoever else asks waits for another process that is its own.
    pub fn takes_leases(&self) -> bool {
        self.lease().is_some()
    }

    /// How long that right lasts, if it asks for it.
    pub fn lease(&self) -> Option<Duration> {
        match &self.0 {
            Mode::Memory(_) => None,
            Mode::Shared(shared) => shared.lease(),
        }
    }

    /// Whether entries are in this process and nowhere else.
    pub const fn is_memory(&self) -> bool {
        matches!(self.0, Mode::Memory(_))
    }

    /// How many bytes the entries in this process take, near copies too, and how many they may.
    pub fn weight(&self) -> (u64, u64) {
        match &self.0 {
            Mode::Memory(memory) => memory.weight(),
            Mode::Shared(shared) => shared.weight(),
        }
    }
}

impl<V: Value> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Mode::Memory(memory) => Mode::Memory(Arc::clone(memory)),
            Mode::Shared(shared) => Mode::Shared(Arc::clone(shared)),
        })
    }
}

impl<V: Value> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = if self.is_memory() { "memory" } else { "shared" };
        f.debug_struct("Cache").field("kind", &V::KIND).field("store", &store).finish()
    }
}

#[cfg(test)]
mod tests;
