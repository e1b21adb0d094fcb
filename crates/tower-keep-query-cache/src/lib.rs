//! Results of queries and anything else worth keeping, in memory or on Redis: as a call,
//! [`QueryCache`], and as a tower layer, [`QueryCacheLayer`].
//!
//! 1. A key holds its tenant, and tenants never meet. A query is kept under
//!    `query:{tenant}:{md5}`, a thing with an id under `cache:{tenant}:{type}:{id}`; the whole of
//!    what was asked is compared on each hit, so that no two share an entry though their hashes
//!    may be the same.
//! 2. Values are written by serde as `MessagePack` with names, so that types may grow; in this process
//!    they are kept as they are, and a hit there is an `Arc` cloned. What cannot be read any more
//!    is a counted miss; what `MessagePack` cannot tell apart ([`Cacheable`]) comes out the same.
//! 3. Of those who miss the same at the same time one loads, and the others share what it brings,
//!    errors too, as an `Arc`. A loader that is dropped or panics frees those who wait, and stores
//!    nothing. [A lease](QueryCacheBuilder::fill_lease) does the same among processes.
//! 4. [`TtlClass`] says for how long: lifetime and jitter, stale while it is loaded anew, stale
//!    where loading fails, how long it is remembered that there is nothing, the longest value.
//! 5. [Invalidation](QueryCache::invalidate) by key, tag, type or tenant is one step, and touches
//!    what is being loaded at the moment too.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tower_keep_core::TenantId;
//! use tower_keep_query_cache::{Invalidate, QueryCache, QueryKey, Source, TtlClass};
//!
//! let cache = QueryCache::builder().memory().build()?;
//! let tenant = TenantId::new("acme")?;
//! let class = TtlClass::new("query", Duration::from_secs(300));
//! let search = "select name from patients where name like ?1";
//! let key = QueryKey::query(&tenant, search, "sm%")?.of_type("patient");
//!
//! let load = || async { Ok::<_, std::io::Error>(vec!["Smith".to_owned()]) }; // ask the database
//! assert_eq!(cache.get_or_load(&key, &class, load).await?.source, Source::Loaded);
//! assert_eq!(cache.get_or_load(&key, &class, load).await?.source, Source::Near);
//!
//! // A patient was added.
//! cache.invalidate(&tenant, Invalidate::Type("patient")).await?;
//! assert_eq!(cache.get_or_load(&key, &class, load).await?.source, Source::Loaded);
//! # Ok(()) }
//! ```
//!
//! # Defaults
//!
//! 64 MiB in this process, values up to 1 MiB, near copies of a shared store's values for 5 s and
//! only while the bus is live, jitter of a tenth, no stale values, nothing remembered of what does
//! not exist, no lease; a caller waits 5 s for another's loader, and what is stale is loaded anew
//! within 60 s or by the next who asks.
//!
//! # When the store fails
//!
//! Values are loaded directly, at most 32 at the same time, and not kept; the store is waited for
//! no longer than a command's deadline. The same bound holds for a second after it has not kept what
//! it was given, because it is full or is no primary any more.
//!
//! [Stale values](TtlClass::stale_if_error) help where the loader fails, not the store: near copies
//! are used only while the bus is live, since nobody would know what was invalidated meanwhile. If
//! both fail, the loader's error is told.
//!
//! Invalidating fails, and says so: what it was about may be given again once the store is back, so
//! do it over.

mod builder;
mod cache;
mod canonical;
mod class;
mod fetched;
mod keeper;
mod kept;
mod key;
mod layer;
mod many;
mod outcome;
mod policy;
mod store;
mod want;

pub use tower_keep_cache::CacheBuilder;

pub use self::{
    builder::QueryCacheBuilder,
    cache::{Put, QueryCache},
    class::TtlClass,
    fetched::{Fetched, LoadError, Sought, Source},
    kept::Cacheable,
    key::{InvalidParameters, Invalidate, QueryKey},
    layer::{CacheableQuery, QueryCacheFuture, QueryCacheLayer, QueryCacheService},
    store::QueryStore,
};

#[cfg(test)]
mod tests;
