//! Where values are kept, and processes that share the place.

use std::{sync::Arc, time::Duration};

use tower_keep::{RedisConfig, TenantId};
use tower_keep_core::time::{Clock, UnixMillis};
use tower_keep_query_cache::{QueryCache, QueryCacheBuilder, QueryKey, Source, TtlClass};
use tower_keep_redis::{Bus, Connection, SharedBus};
use tower_keep_tests::wait_until;

use crate::limit_store::site::{Kind, Site};

/// So generous that a slow machine is not taken for a failed store.
pub(super) const PATIENT: Duration = Duration::from_secs(30);
pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(super) fn key(id: impl std::fmt::Display) -> QueryKey {
    QueryKey::named(&tenant("acme"), "thing", id)
}

pub(super) fn class() -> TtlClass {
    TtlClass::new("test", MINUTE).jitter(0.0)
}

/// One process's cache, and what it needs.
pub(super) struct Process {
    pub(super) cache: QueryCache,
    /// The same without near copies: it asks the store.
    far: QueryCache,
    pub(super) clock: Clock,
    _connection: Option<(Connection, Bus)>,
}

impl Process {
    pub(super) fn memory() -> Self {
        let clock = Clock::manual(UnixMillis(1_000_000));
        let cache = QueryCache::builder().memory().clock(clock.clone()).build().unwrap();
        Self { far: cache.clone(), cache, clock, _connection: None }
    }

    pub(super) async fn at(url: &str) -> Self {
        let config = RedisConfig::from_url(url).unwrap().with_timeout(PATIENT);
        Self::with(config, |builder| builder).await
    }

    /// It is there, and it hears if it is to.
    pub(super) async fn with(
        config: RedisConfig,
        set: impl FnOnce(QueryCacheBuilder) -> QueryCacheBuilder,
    ) -> Self {
        let on = config.pubsub();
        let connection = Connection::connect(config).unwrap();
        connection.require().await.unwrap();
        connection.bulk().require().await.unwrap();
        let bus = SharedBus::default().get(&connection, on).unwrap();
        let clock = Clock::manual(UnixMillis(1_000_000));
        let builder = QueryCache::builder()
            .clock(clock.clone())
            .store(|builder| builder.redis(&connection, Some(&bus)));
        let far = builder.clone().store(|builder| builder.near(false)).build().unwrap();
        let cache = set(builder).build().unwrap();
        let process = Self { cache, far, clock, _connection: Some((connection, bus)) };
        if on {
            process.is_live().await;
        }
        process
    }

    /// Near copies are used.
    pub(super) async fn is_live(&self) {
        let probe = QueryKey::named(&tenant("probe"), "probe", 0);
        let live =
            wait_until(PATIENT, || async { self.load(&probe, 0).await == (0, Source::Near) });
        assert!(live.await, "nothing is near");
    }

    /// Asks for a number; the loader brings this one.
    pub(super) async fn load(&self, key: &QueryKey, number: u64) -> (u64, Source) {
        self.load_as(key, &class(), number).await
    }

    pub(super) async fn load_as(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        number: u64,
    ) -> (u64, Source) {
        let load = move || async move { Ok::<_, String>(number) };
        let fetched = self.cache.get_or_load(key, class, load).await.unwrap();
        (*fetched.value, fetched.source)
    }

    /// Waits until this process knows that it was invalidated.
    pub(super) async fn hears(&self, key: &QueryKey) {
        let heard = || async { self.cache.get::<u64>(key).await.unwrap().is_none() };
        assert!(wait_until(PATIENT, heard).await, "it was not heard");
    }

    /// Waits until the other processes can find this number: what is loaded is given before the
    /// store has it.
    pub(super) async fn is_stored(&self, key: &QueryKey, number: u64) {
        let stored = || async {
            let got = self.far.get::<u64>(key).await.unwrap();
            got.is_some_and(|got| *got == number)
        };
        assert!(wait_until(PATIENT, stored).await, "it was not stored");
    }
}

/// A place, and two processes that share it. In memory they are one.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) site: Option<Site>,
    pub(super) one: Arc<Process>,
    pub(super) other: Arc<Process>,
}

impl Place {
    pub(super) async fn all() -> Vec<Self> {
        let one = Arc::new(Process::memory());
        let name = "memory".to_owned();
        let mut all = vec![Self { name, site: None, other: Arc::clone(&one), one }];
        for kind in Kind::ALL {
            all.push(Self::start(kind).await);
        }
        all
    }

    pub(super) async fn start(kind: Kind) -> Self {
        let site = Site::start(kind).await;
        let one = Arc::new(Process::at(&site.url()).await);
        let other = Arc::new(Process::at(&site.url()).await);
        Self { name: kind.name(), site: Some(site), one, other }
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.site.is_some()
    }
}
