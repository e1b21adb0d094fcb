//! A process that shares a cache, and what it is told.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use bytes::Bytes;
use tower_keep::{Connection, RedisConfig, StoreError, TenantId};
use tower_keep_cache::{
    Generations, RedisStore, Stamp, Tag,
    store::{
        Ask, AskEntry, AskGenerations, AskLease, Listener, PurgeStep, SharedStore, Told, ToldEntry,
        ToldGenerations,
    },
};
use tower_keep_core::{Invalidated, Invalidation};
use tower_keep_redis::{Bus, BusState, SharedBus};
use tower_keep_tests::{Line, Monitor, wait_until};

/// So generous that a slow machine is not taken for a failed store.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// What a connection says of itself, and the bus on its own.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new("group", name.as_bytes())
}

/// A connection, a bus and a store of its own, as another process would have.
pub(crate) struct Process {
    pub(crate) connection: Connection,
    pub(crate) bus: Bus,
    pub(crate) store: RedisStore,
    pub(crate) ears: Arc<Heard>,
}

impl Process {
    pub(crate) async fn new(url: &str) -> Self {
        Self::with(RedisConfig::from_url(url).unwrap()).await
    }

    /// It is there, and it hears if it is to.
    pub(crate) async fn with(config: RedisConfig) -> Self {
        let on = config.pubsub();
        let connection = Connection::connect(config.with_timeout(PATIENT)).unwrap();
        connection.require().await.unwrap();
        let bus = SharedBus::default().get(&connection, on).unwrap();
        let store = RedisStore::new(&connection, Some(&bus));
        let ears = Arc::<Heard>::default();
        let weak = Arc::downgrade(&ears);
        store.listen(weak as Weak<dyn Listener>);
        let process = Self { connection, bus, store, ears };
        process.connection.bulk().require().await.unwrap();
        if on {
            process.is_live().await;
        }
        process
    }

    pub(crate) async fn is_live(&self) {
        let live = wait_until(PATIENT, || async { self.store.is_live() });
        assert!(live.await, "{:?}", self.bus.state());
        assert_eq!(self.bus.state(), BusState::Live);
    }

    pub(crate) async fn ask(
        &self,
        key: Option<&str>,
        lease: Option<AskLease>,
        generations: Option<(&TenantId, Option<Stamp>)>,
    ) -> Result<Told, StoreError> {
        let entry = key.map(|key| AskEntry { key, lease });
        let generations = generations.map(|(tenant, known)| AskGenerations { tenant, known });
        self.store.read(Ask { entry, generations }).await
    }

    pub(crate) async fn read(&self, key: &str) -> Option<Bytes> {
        let told = self.ask(Some(key), None, None).await.unwrap();
        assert_eq!(told.generations, None);
        let entry = told.entry.unwrap();
        assert!(!entry.leased);
        entry.blob
    }

    pub(crate) async fn lease(&self, key: &str, lease: &AskLease) -> ToldEntry {
        let told = self.ask(Some(key), Some(lease.clone()), None).await;
        told.unwrap().entry.unwrap()
    }

    pub(crate) async fn write(&self, key: &str, blob: &[u8]) -> Result<(), StoreError> {
        self.store.write(key, Bytes::copy_from_slice(blob), MINUTE).await
    }

    /// All there is to know.
    pub(crate) async fn generations(&self, tenant: &TenantId) -> Generations {
        let told = self.ask(None, None, Some((tenant, None))).await.unwrap();
        match told.generations {
            Some(ToldGenerations::Whole(generations)) => generations,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn purge(
        &self,
        tenant: &TenantId,
        tags: Option<&[Tag]>,
        soft: bool,
    ) -> Result<Stamp, StoreError> {
        let (epoch, version) = (0, 0);
        let what = match tags {
            None => Invalidated::Everything { soft, epoch, version },
            Some(tags) => {
                let tags = tags.iter().map(|tag| tag.to_bytes()).collect();
                Invalidated::Tags { soft, tags, epoch, version }
            }
        };
        let message = Invalidation::new(tenant, what).encode();
        self.store.purge(PurgeStep { tenant, soft, tags, message }).await
    }

    pub(crate) async fn remove(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        let what = Invalidated::Entry(Invalidation::entry_hash(key));
        self.store.remove(key, Invalidation::new(tenant, what).encode()).await
    }
}

/// What it was told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    events: Mutex<Vec<Event>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Gap,
    Said(Invalidation),
}

impl Heard {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// What was said, once there is so much.
    pub(crate) async fn said(&self, count: usize) -> Vec<Invalidation> {
        let said = || {
            let all = self.all();
            let said = all.into_iter().filter_map(|event| match event {
                Event::Said(said) => Some(said),
                Event::Gap => None,
            });
            said.collect::<Vec<_>>()
        };
        let heard = wait_until(PATIENT, || async { said().len() >= count }).await;
        assert!(heard, "only {:?}", self.all());
        said()
    }
}

impl Listener for Heard {
    fn message(&self, payload: &[u8]) {
        let said = Invalidation::decode(payload).expect("it says nothing");
        self.events.lock().unwrap().push(Event::Said(said));
    }

    fn gap(&self) {
        self.events.lock().unwrap().push(Event::Gap);
    }
}

/// The names of the commands that were sent since it was asked last.
pub(crate) async fn sent(monitor: &mut Monitor) -> Vec<String> {
    let lines = monitor.drain().await;
    lines.iter().map(Line::name).filter(|name| !BESIDE.contains(&name.as_str())).collect()
}
