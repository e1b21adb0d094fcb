//! A store under test, its time, and holders of sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use tower_keep::{TenantId, UserId};
use tower_keep_core::{
    Revocation, Revoked,
    key::{Holder, SessionKey},
    time::Clock,
};
use tower_keep_session::{
    Bounds, Change, Header, How, Origin, Place, PublicId, Record, RevocationEvent,
    RevocationEvents, Save, Saved, SessionStore,
};

/// A time that no test outlives.
pub(crate) const HOUR: u64 = 3_600_000;
/// What is not told within this time will not be.
const SILENCE: Duration = Duration::from_millis(200);

pub(crate) const BOUNDS: Bounds = Bounds { absolute_ms: None, sessions: 100, bytes: 100_000 };
pub(crate) const ORIGIN: Origin = Origin(*b"origin\0\xff01234567");

/// An id that was not used before.
pub(crate) fn new_id() -> PublicId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0xfb; 16];
    bytes[4..12].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    PublicId::from_bytes(bytes)
}

/// A store, and holders of the behaviour's own in it.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn SessionStore>,
    /// The store's clock if it is moved by hand.
    clock: Option<Clock>,
    behaviour: &'static str,
    users: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        clock: Option<Clock>,
        behaviour: &'static str,
    ) -> Self {
        Self { store, clock, behaviour, users: Arc::default() }
    }

    /// A holder that was not there before.
    pub(crate) fn user(&self) -> User {
        let user = format!("{}-{}", self.behaviour, self.users.fetch_add(1, Ordering::Relaxed));
        self.named("acme", &user)
    }

    pub(crate) fn named(&self, tenant: &str, user: &str) -> User {
        let (tenant, user) = (TenantId::new(tenant).unwrap(), UserId::new(user).unwrap());
        User { store: self.store.clone(), tenant, id: user }
    }

    /// Lets so much of the store's time pass, or a little more.
    pub(crate) async fn wait(&self, millis: u64) {
        let duration = Duration::from_millis(millis);
        match &self.clock {
            Some(clock) => clock.advance(duration),
            None => sleep(duration + Duration::from_millis(2)).await,
        }
    }

    /// Makes an attempt whose step is a millisecond, and longer ones while it fails for want of
    /// time: it is done if it took less than `most` steps. What it saw is judged only afterwards, so
    /// a slow machine repeats a test but does not fail it.
    pub(crate) async fn in_time<T>(&self, most: u64, attempt: impl AsyncFn(u64) -> T) -> (T, u64) {
        for step in [1, 4, 16, 64, 256] {
            let begun = Instant::now();
            let seen = attempt(step).await;
            let took = begun.elapsed() + Duration::from_millis(2);
            if self.clock.is_some() || took < Duration::from_millis(most * step) {
                return (seen, step);
            }
        }
        panic!("never in time");
    }

    pub(crate) fn listen(&self) -> Ears {
        Ears(self.store.revocations().listen())
    }
}

/// What is heard of sessions that ended.
pub(crate) struct Ears(RevocationEvents);

impl Ears {
    pub(crate) async fn next(&mut self) -> RevocationEvent {
        timeout(Duration::from_secs(20), self.0.recv()).await.expect("nobody was told")
    }

    pub(crate) async fn hear(&mut self, user: &User, which: Revoked) {
        let expected = Revocation::new(&user.key().spell(), which);
        let mut event = self.next().await;
        // On a busy machine the link may be lost for a moment.
        while event == RevocationEvent::Gap {
            event = self.next().await;
        }
        assert_eq!(event, RevocationEvent::Ended(expected));
    }

    pub(crate) async fn hear_nothing(&mut self) {
        let heard = timeout(SILENCE, self.0.recv()).await;
        assert!(heard.is_err(), "told: {heard:?}");
    }
}

/// A holder of sessions.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) tenant: TenantId,
    pub(crate) id: UserId,
}

impl User {
    pub(crate) fn key(&self) -> SessionKey<'_> {
        SessionKey { tenant: &self.tenant, holder: Holder::User(&self.id) }
    }

    pub(crate) fn place(&self, id: PublicId) -> Place<'_> {
        Place { key: self.key(), id }
    }

    pub(crate) async fn save(&self, id: PublicId, how: How, what: &What) -> Saved {
        self.store.save(what.save(self.place(id), how)).await.unwrap()
    }

    /// A new session, and its id.
    pub(crate) async fn create(&self, what: &What) -> PublicId {
        let id = new_id();
        done(self.save(id, How::Create(ORIGIN), what).await);
        id
    }

    pub(crate) async fn write(&self, id: PublicId, what: &What) -> Saved {
        self.save(id, How::Write, what).await
    }

    pub(crate) async fn load(&self, id: PublicId) -> Option<Arc<Record>> {
        self.store.load(self.place(id)).await.unwrap()
    }

    /// What it holds, as text.
    pub(crate) async fn holds(&self, id: PublicId) -> Option<String> {
        self.load(id).await.map(|record| text(&record))
    }

    pub(crate) async fn touch(&self, id: PublicId, bounds: Bounds) -> Option<Header> {
        self.store.touch(self.place(id), bounds).await.unwrap()
    }

    pub(crate) async fn list(&self) -> Vec<PublicId> {
        let sessions = self.store.list(self.key()).await.unwrap();
        sessions.into_iter().map(|(id, _)| id).collect()
    }
}

/// `a=1 b=2`
pub(crate) fn text(record: &Record) -> String {
    let text = |value| str::from_utf8(value).expect("the test has text only");
    let values = record.data.iter().map(|(name, value)| format!("{name}={}", text(value)));
    values.collect::<Vec<_>>().join(" ")
}

pub(crate) fn done(saved: Saved) -> Header {
    match saved {
        Saved::Done(header) => header,
        other => panic!("{other:?}"),
    }
}

/// What is saved, and how.
#[derive(Clone, Debug)]
pub(crate) struct What {
    pub(crate) change: Change,
    expect: BTreeMap<Box<str>, Option<Bytes>>,
    pub(crate) idle: Option<u64>,
    pub(crate) bounds: Bounds,
}

impl What {
    pub(crate) fn new() -> Self {
        let (change, expect) = (Change::default(), BTreeMap::new());
        Self { change, expect, idle: Some(HOUR), bounds: BOUNDS }
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.change.set.insert(name.into(), value.into().into());
        self
    }

    pub(crate) fn remove(mut self, names: &[&str]) -> Self {
        self.change.removed = names.iter().map(|name| (*name).into()).collect::<BTreeSet<_>>();
        self
    }

    pub(crate) fn clear(mut self) -> Self {
        self.change.cleared = true;
        self
    }

    pub(crate) fn expect(mut self, name: &str, value: Option<Bytes>) -> Self {
        self.expect.insert(name.into(), value);
        self
    }

    pub(crate) fn idle(mut self, idle: impl Into<Option<u64>>) -> Self {
        self.idle = idle.into();
        self
    }

    pub(crate) fn absolute(mut self, most: u64) -> Self {
        self.bounds.absolute_ms = Some(most);
        self
    }

    pub(crate) fn sessions(mut self, most: u32) -> Self {
        self.bounds.sessions = most;
        self
    }

    pub(crate) fn bytes(mut self, most: u64) -> Self {
        self.bounds.bytes = most;
        self
    }

    pub(crate) fn save<'a>(&'a self, place: Place<'a>, how: How) -> Save<'a> {
        let Self { change, expect, idle, bounds } = self;
        Save { place, how, change, expect, idle_ms: *idle, bounds: *bounds }
    }
}
