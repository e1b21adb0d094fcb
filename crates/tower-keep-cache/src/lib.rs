//! The one cache engine of tower-keep, under the layers that cache.
//!
//! It keeps entries and says what was purged. What is cached, for how long, and what may be done
//! with something stale is the business of its users, who bring a [`Value`] of their own.
//!
//! ```
//! # use bytes::Bytes;
//! use std::{sync::Arc, time::Duration};
//! use tower_keep_cache::{Cache, CacheBuilder, Name, Value};
//! use tower_keep_core::TenantId;
//!
//! struct Text(String);
//!
//! impl Value for Text {
//!     const KIND: &'static str = "text";
//!     const FORMAT: u8 = 1;
//!
//!     fn encode(&self, _: &mut Vec<u8>, body: &mut Vec<u8>) {
//!         body.extend_from_slice(self.0.as_bytes());
//!     }
//!
//!     fn decode(_: &[u8], body: Bytes) -> Option<Self> {
//!         String::from_utf8(body.into()).ok().map(Self)
//!     }
//!
//!     fn weight(&self) -> usize {
//!         size_of::<Self>() + self.0.len()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache: Cache<Text> = CacheBuilder::new().memory().build()?;
//! let name = Name::new(&TenantId::new("acme")?, "greeting");
//! cache.put(&name, Arc::new(Text("hello".into())), Duration::from_secs(60)).await?;
//! assert_eq!(cache.get(&name).await?.value.unwrap().0, "hello");
//! # Ok(()) }
//! ```
//!
//! # Behaviour
//!
//! 1. An entry has a [`Name`]: its tenant, and bytes that tell it from the tenant's others. All of
//!    that is compared. A hash only says where to look: two names that share a key are two entries,
//!    of which one is there at a time.
//! 2. In memory a [`Cache`] is the store itself: bounded in bytes, expiring, without a task or an
//!    await. On Redis an entry is one string, and this process has near copies of what it has read
//!    or written, for [`near_ttl`](CacheBuilder::near_ttl) at most.
//! 3. [`peek`](Cache::peek) asks nobody, [`get`](Cache::get) takes one round trip at most.
//! 4. A [`purge`](Cache::purge) looks at no entry. It counts: each tenant has a version, and each
//!    [`Tag`] that was purged has the version of its last purge, in one hash that all processes
//!    share. A fill is stored with the [`Stamp`] of the moment before it began, so what it fetched
//!    before a purge does not count as fetched after it. Whoever finds an entry has it
//!    [judged](Generations::judge).
//! 5. A process knows its tenants' [`Generations`] from a copy, which is at most a second old, read
//!    anew in the same write as an entry or beside a near hit, and told of each purge over the bus.
//!    Where the bus is not live, or has missed something, copies are not relied on and near copies
//!    not used.
//! 6. Generations that are lost are a new life: all that was stored before counts as purged. So Redis
//!    may drop anything at any time.
//! 7. What is read is not trusted: bytes that are no entry, of another format, cut, or not sealed
//!    by the [vault](CacheBuilder::vault) are not there, and counted in
//!    `tower_keep_cache_corrupt_total` by `kind` and `reason`. A body says how long it is before it
//!    is unpacked, and is no longer than 16 of the longest entries.
//! 8. Writes are seen through although nobody waits for them, and may be done twice.
//! 9. [`Flights`] has one caller of a process fetch for all who miss the same; a
//!    [lease](CacheBuilder::fill_lease), one process of many.
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | store | none: it must be named |
//! | bytes in this process | 64 MiB |
//! | near copies | for 5 s, while the bus is live |
//! | longest entry | 1 MiB: compressed, or its weight in memory |
//! | compressed | bodies over 1024 bytes, where that makes them a tenth smaller |
//! | kept for | 30 days at most |
//! | tenants whose generations are known | 4096 |
//! | purges of single tags that are known | 1000 of each tenant; of more, the older half counts as a purge of all that is older |
//!
//! # When the store fails
//!
//! Each method says so, by class, and hides nothing: its user may go on without a cache. A near copy
//! is used for as long as the bus is live and the generations are known, also while entries cannot be
//! read. A purge that failed may have been carried out, and is to be tried again.

#![cfg_attr(not(feature = "redis"), allow(dead_code, reason = "what only a shared store uses"))]

mod blob;
mod cache;
mod codec;
mod copies;
mod corrupt;
mod deferred;
mod flight;
mod found;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod memory;
mod name;
mod near;
#[cfg(feature = "redis")]
mod redis;
mod removed;
mod settings;
mod shared;
mod stamp;
#[doc(hidden)]
pub mod store;
mod value;

#[cfg(feature = "redis")]
#[doc(hidden)]
pub use self::redis::RedisStore;
pub use self::{
    cache::Cache,
    deferred::Deferred,
    flight::{Flights, Follower, Landed, Leader, Turn},
    found::{Found, Lease, LeaseToken, Place, Put},
    generation::{Generations, Purge, Validity},
    name::Name,
    settings::CacheBuilder,
    stamp::{Stamp, Tag},
    value::Value,
};
