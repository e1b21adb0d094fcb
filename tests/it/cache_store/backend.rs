//! Caches under test, their time, and entries of a behaviour's own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;
use tower_keep::TenantId;
use tower_keep_cache::{Cache, Found, Generations, Name, Purge, Put, Stamp, Tag, Validity, Value};
use tower_keep_core::time::Clock;
use tower_keep_tests::wait_until;

/// A time that no test outlives.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
const PATIENT: Duration = Duration::from_secs(30);

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new("test", name.as_bytes())
}

/// Bytes, when their fill began and what they can be purged by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stamp: Stamp,
    pub(crate) tags: Vec<Tag>,
    pub(crate) body: Bytes,
}

impl Value for Entry {
    const KIND: &'static str = "entry";
    const FORMAT: u8 = 3;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        meta.extend(self.stamp.epoch.to_be_bytes());
        meta.extend(self.stamp.version.to_be_bytes());
        meta.extend(self.tags.iter().flat_map(|tag| tag.to_bytes()));
        body.extend_from_slice(&self.body);
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        let (epoch, rest) = meta.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (tags, []) = rest.as_chunks() else { return None };
        let (epoch, version) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*version));
        let tags = tags.iter().copied().map(Tag::from_bytes).collect();
        Some(Self { stamp: Stamp { epoch, version }, tags, body })
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + 16 * self.tags.len() + self.body.len()
    }
}

/// What a process says of an entry.
pub(crate) type Said = Option<(Bytes, Validity)>;

#[expect(clippy::unnecessary_wraps, reason = "as it is said")]
pub(crate) fn is(body: impl AsRef<[u8]>, validity: Validity) -> Said {
    Some((Bytes::copy_from_slice(body.as_ref()), validity))
}

pub(crate) fn said(found: &Found<Entry>) -> Said {
    let entry = found.value.as_ref()?;
    let validity = found.generations.judge(entry.stamp, entry.tags.iter().copied());
    Some((entry.body.clone(), validity))
}

/// Two processes, and a tenant of the behaviour's own.
#[derive(Clone)]
pub(crate) struct Backend {
    caches: Vec<Cache<Entry>>,
    /// Their clock if it is moved by hand.
    clock: Option<Clock>,
    behaviour: &'static str,
}

impl Backend {
    pub(crate) fn new(
        caches: Vec<Cache<Entry>>,
        clock: Option<Clock>,
        behaviour: &'static str,
    ) -> Self {
        Self { caches, clock, behaviour }
    }

    pub(crate) fn tenant(&self, name: &str) -> TenantId {
        TenantId::new(format!("{}-{name}", self.behaviour)).unwrap()
    }

    pub(crate) fn name(&self, name: &str) -> Name {
        Name::new(&self.tenant("acme"), name)
    }

    /// The process that the behaviour is in.
    pub(crate) fn here(&self) -> &Cache<Entry> {
        &self.caches[0]
    }

    pub(crate) fn both(&self) -> &[Cache<Entry>] {
        &self.caches
    }

    /// Lets so much of the caches' time pass, or a little more.
    pub(crate) async fn wait(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => sleep(time + Duration::from_millis(2)).await,
        }
    }

    pub(crate) async fn generations(&self) -> Arc<Generations> {
        self.here().generations(&self.tenant("acme")).await.unwrap()
    }

    pub(crate) async fn put(&self, name: &Name, stamp: Stamp, tags: &[&str], body: &[u8]) -> Put {
        self.put_for(name, stamp, tags, body, HOUR).await
    }

    pub(crate) async fn put_for(
        &self,
        name: &Name,
        stamp: Stamp,
        tags: &[&str],
        body: &[u8],
        ttl: Duration,
    ) -> Put {
        let tags = tags.iter().map(|name| tag(name)).collect();
        let entry = Entry { stamp, tags, body: Bytes::copy_from_slice(body) };
        self.here().put(name, Arc::new(entry), ttl).await.unwrap()
    }

    /// Stores what a fill that begins now would.
    pub(crate) async fn fill(&self, name: &Name, tags: &[&str], body: &[u8]) {
        let stamp = self.here().generations(name.tenant()).await.unwrap().stamp();
        assert_eq!(self.put(name, stamp, tags, body).await, Put::Stored);
    }

    pub(crate) async fn purge(&self, what: Purge) {
        self.here().purge(&self.tenant("acme"), &what).await.unwrap();
    }

    /// What is said here, now: by the store, and by a near copy if one may be used.
    pub(crate) async fn says(&self, name: &Name) -> Said {
        let near = self.here().peek(name).map(|found| said(&found));
        let told = said(&self.here().get(name).await.unwrap());
        if let Some(near) = near {
            assert_eq!(near, told, "near, and in the store");
        }
        told
    }

    /// That is what is said here now, and soon there: a process may be told a moment later.
    pub(crate) async fn all_say(&self, name: &Name, expected: Said) {
        assert_eq!(self.says(name).await, expected);
        for cache in self.both() {
            let say = || async {
                let near = cache.peek(name).is_none_or(|found| said(&found) == expected);
                near && said(&cache.get(name).await.unwrap()) == expected
            };
            assert!(wait_until(PATIENT, say).await, "{expected:?}");
        }
    }
}
