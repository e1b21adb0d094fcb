mod fake;
mod leases;
mod many;
mod races;

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_keep_core::time::UnixMillis;

use self::fake::{Fake, Server};
use crate::{
    Cache, CacheBuilder, Put,
    generation::{Purge, Validity},
    name::Name,
    stamp::{Stamp, Tag},
    value::Value,
};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A value with a stamp and a tag.
#[derive(Debug)]
struct Page {
    stamp: Stamp,
    body: Bytes,
}

fn tag() -> Tag {
    Tag::new("test", b"page")
}

impl Value for Page {
    const KIND: &'static str = "page";
    const FORMAT: u8 = 1;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        meta.extend(postcard::to_stdvec(&self.stamp).unwrap());
        body.extend_from_slice(&self.body);
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        Some(Self { stamp: postcard::from_bytes(meta).ok()?, body })
    }

    fn weight(&self) -> usize {
        self.body.len()
    }
}

/// One process: its cache, its wire and its clock.
struct Process {
    cache: Cache<Page>,
    fake: Fake,
    clock: Clock,
}

impl Process {
    fn new(server: &Arc<Server>) -> Self {
        Self::with(server, |builder| builder)
    }

    fn with(server: &Arc<Server>, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let (fake, clock) = (server.connect(), Clock::manual(UnixMillis(1_000_000)));
        let builder = CacheBuilder::new().shared(Arc::new(fake.clone())).clock(clock.clone());
        Self { cache: set(builder).build().unwrap(), fake, clock }
    }

    async fn fill(&self, name: &Name, body: &str) {
        let stamp = self.cache.get(name).await.unwrap().generations.stamp();
        self.put(name, stamp, body).await;
    }

    async fn put(&self, name: &Name, stamp: Stamp, body: &str) {
        let page = Page { stamp, body: Bytes::copy_from_slice(body.as_bytes()) };
        assert_eq!(self.cache.put(name, Arc::new(page), MINUTE).await.unwrap(), Put::Stored);
    }

    async fn get(&self, name: &Name) -> Option<(String, Validity)> {
        judged(&self.cache.get(name).await.unwrap())
    }

    /// The same in a task of its own.
    fn reads(&self) -> JoinHandle<Option<(String, Validity)>> {
        let cache = self.cache.clone();
        tokio::spawn(async move { judged(&cache.get(&name()).await.unwrap()) })
    }

    /// `None` if nothing near may be used.
    fn peek(&self, name: &Name) -> Option<(String, Validity)> {
        judged(&self.cache.peek(name)?)
    }
}

fn judged(found: &Found<Page>) -> Option<(String, Validity)> {
    let page = found.value.as_ref()?;
    let validity = found.generations.judge(page.stamp, [tag()]);
    Some((String::from_utf8(page.body.to_vec()).unwrap(), validity))
}

#[expect(clippy::unnecessary_wraps, reason = "as `get` and `peek` say it")]
fn is(body: &str, validity: Validity) -> Option<(String, Validity)> {
    Some((body.to_owned(), validity))
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn name() -> Name {
    Name::new(&tenant(), "it")
}

#[tokio::test]
async fn what_one_puts_the_other_gets_and_then_has_near() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(one.peek(&name()), is("a", Validity::Valid));
    assert_eq!(other.peek(&name()), None);
    other.fake.wire.trips();
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    assert_eq!(other.fake.wire.trips(), (1, 1, 1));
    assert_eq!(other.peek(&name()), is("a", Validity::Valid));
    // The generations are known for a second, and read anew when that is half over.
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    assert_eq!(other.fake.wire.trips(), (1, 0, 0));
    other.clock.advance(Duration::from_millis(500));
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    assert_eq!(other.fake.wire.trips(), (1, 1, 0));
}

#[tokio::test]
async fn a_near_copy_is_used_for_its_time() {
    let server = Arc::default();
    let process = Process::with(&server, |builder| builder.near_ttl(Duration::from_millis(800)));
    process.fill(&name(), "a").await;
    process.clock.advance(Duration::from_millis(799));
    assert_eq!(process.peek(&name()), is("a", Validity::Valid));
    process.clock.advance(Duration::from_millis(1));
    assert_eq!(process.peek(&name()), None);
    assert_eq!(process.get(&name()).await, is("a", Validity::Valid));
    // No longer than the entry itself.
    process.clock.advance(MINUTE);
    assert_eq!((process.peek(&name()), process.get(&name()).await), (None, None));
}

#[tokio::test]
async fn near_copies_can_be_switched_off() {
    let server = Arc::default();
    let process = Process::with(&server, |builder| builder.near(false));
    process.fill(&name(), "a").await;
    assert_eq!(process.peek(&name()), None);
    assert_eq!(process.get(&name()).await, is("a", Validity::Valid));
    assert_eq!((process.peek(&name()), process.cache.weight()), (None, (0, 0)));
}

#[tokio::test]
async fn a_hot_entry_never_waits_for_its_generations() {
    let server = Arc::default();
    let process = Process::with(&server, |builder| builder.near_ttl(MINUTE));
    process.fill(&name(), "a").await;
    process.fake.wire.trips();
    for _ in 0..50 {
        process.clock.advance(Duration::from_millis(400));
        assert_eq!(process.peek(&name()), is("a", Validity::Valid));
        assert_eq!(process.peek(&name()), is("a", Validity::Valid));
        // What runs beside it runs now.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    let (trips, rereads, wholes) = process.fake.wire.trips();
    assert_eq!((trips, wholes), (rereads, 0));
    assert!((20..=30).contains(&trips), "{trips}");
    // One that was not used for a while is not relied on.
    process.clock.advance(Duration::from_millis(1001));
    assert_eq!(process.peek(&name()), None);
}

#[tokio::test]
async fn a_purge_holds_here_at_once_and_elsewhere_when_it_is_heard() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    one.cache.purge(&tenant(), &Purge::tags([tag()]).soft()).await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.peek(&name()), is("a", Validity::Stale));
    }
    one.cache.purge(&tenant(), &Purge::tags([tag()])).await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.peek(&name()), is("a", Validity::Gone));
        assert_eq!(process.get(&name()).await, is("a", Validity::Gone));
    }
    one.fill(&name(), "b").await;
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    one.cache.purge(&TenantId::NONE, &Purge::everything()).await.unwrap();
    one.cache.purge(&tenant(), &Purge::tags([Tag::new("test", b"other")])).await.unwrap();
    one.cache.purge(&tenant(), &Purge::tags([])).await.unwrap();
    assert_eq!(other.peek(&name()), is("b", Validity::Valid));
    one.cache.purge(&tenant(), &Purge::everything()).await.unwrap();
    assert_eq!(other.peek(&name()), is("b", Validity::Gone));
}

#[tokio::test]
async fn a_purge_of_very_many_tags_is_several() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    one.fake.wire.trips();
    let numbered = (0..600_u32).map(|number| Tag::new("n", &number.to_be_bytes()));
    one.cache.purge(&tenant(), &Purge::tags(numbered.chain([tag()]))).await.unwrap();
    assert_eq!(one.fake.wire.trips().0, 3);
    for process in [&one, &other] {
        assert_eq!(process.peek(&name()), is("a", Validity::Gone));
    }
}

#[tokio::test]
async fn without_the_bus_nothing_near_is_used_and_all_is_right() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    other.fake.wire.set_live(false);
    assert_eq!(other.peek(&name()), None);
    one.cache.purge(&tenant(), &Purge::everything()).await.unwrap();
    other.fake.wire.trips();
    assert_eq!(other.get(&name()).await, is("a", Validity::Gone));
    one.fill(&name(), "b").await;
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    assert_eq!(other.fake.wire.trips(), (2, 2, 1), "each time anew");
    assert_eq!(other.peek(&name()), None);
    // What was read in between is not relied on either.
    other.fake.wire.set_live(true);
    assert_eq!(other.peek(&name()), None);
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    assert_eq!(other.peek(&name()), is("b", Validity::Valid));
}

#[tokio::test]
async fn a_message_that_was_missed_is_noticed_at_the_next() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    other.fake.wire.hold_back();
    one.cache.purge(&tenant(), &Purge::tags([tag()])).await.unwrap();
    assert_eq!(other.peek(&name()), is("a", Validity::Valid), "not heard yet");
    one.cache.purge(&tenant(), &Purge::tags([Tag::new("test", b"other")])).await.unwrap();
    other.fake.wire.let_go(|number| number == 1);
    assert_eq!(other.peek(&name()), None);
    assert_eq!(other.get(&name()).await, is("a", Validity::Gone));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_gap() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "a").await;
    process.fake.wire.listener().message(b"from the future");
    assert_eq!((process.peek(&name()), process.cache.weight().0), (None, 0));
}

#[tokio::test]
async fn generations_that_are_lost_are_a_new_life() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    server.lock().generations.clear();
    for process in [&one, &other] {
        process.clock.advance(Duration::from_millis(600));
        assert_eq!(process.get(&name()).await, is("a", Validity::Gone));
    }
    one.fill(&name(), "b").await;
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    // Also where a purge is the first to notice.
    server.lock().generations.clear();
    one.cache.purge(&tenant(), &Purge::tags([])).await.unwrap();
    one.cache.purge(&tenant(), &Purge::tags([Tag::new("test", b"other")])).await.unwrap();
    assert_eq!(one.peek(&name()), None);
    for process in [&one, &other] {
        assert_eq!(process.get(&name()).await, is("b", Validity::Gone));
    }
}

#[tokio::test]
async fn what_is_removed_is_gone_for_all() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    one.fill(&name(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    one.cache.remove(&name()).await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.peek(&name()), None);
        assert_eq!(process.get(&name()).await, None);
    }
    one.fill(&name(), "b").await;
    assert_eq!(one.peek(&name()), is("b", Validity::Valid));
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    assert_eq!(other.peek(&name()), is("b", Validity::Valid));
}

#[tokio::test]
async fn what_is_too_large_takes_away_what_was_there() {
    let server = Arc::default();
    let process = Process::with(&server, |builder| builder.max_entry_bytes(500));
    process.fill(&name(), "a").await;
    let noise = (0..1000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    let page = Page { stamp: Stamp::default(), body: noise.collect() };
    let put = process.cache.put(&name(), Arc::new(page), MINUTE).await.unwrap();
    assert_eq!(put, Put::TooLarge);
    assert_eq!((process.peek(&name()), process.get(&name()).await), (None, None));
}

#[tokio::test]
async fn what_is_corrupt_or_another_entry_is_not_there() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "a").await;
    let key = name().key(Page::KIND);
    let blob = server.lock().blobs[&key].clone();
    process.fake.wire.set_live(true);
    for bytes in [Bytes::from_static(b"something"), blob.slice(..blob.len() - 1)] {
        server.lock().blobs.insert(key.clone(), bytes);
        assert_eq!(process.get(&name()).await, None);
    }
    // Another entry whose key is the same.
    let (one, other) =
        (name().with_digest([7; 16]), Name::new(&tenant(), "other").with_digest([7; 16]));
    process.fill(&one, "one").await;
    assert_eq!(process.get(&other).await, None);
    process.fill(&other, "other").await;
    assert_eq!(process.get(&one).await, None);
    assert_eq!(process.get(&other).await, is("other", Validity::Valid));
}

#[tokio::test]
async fn what_fails_is_told() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "a").await;
    process.fake.wire.set_failing(true);
    let page = || Arc::new(Page { stamp: Stamp::default(), body: Bytes::new() });
    let cache = &process.cache;
    assert!(cache.get(&name()).await.is_err());
    assert!(cache.put(&name(), page(), MINUTE).await.is_err());
    assert!(cache.remove(&name()).await.is_err());
    assert!(cache.purge(&tenant(), &Purge::everything()).await.is_err());
    // It may have been purged.
    assert_eq!(process.peek(&name()), None);
    assert!(cache.generations(&tenant()).await.is_err());
    process.fake.wire.set_failing(false);
    assert!(cache.generations(&tenant()).await.is_ok());
    assert!(cache.generations(&tenant()).now().is_ok(), "known");
}

#[tokio::test]
async fn what_is_written_is_seen_through_though_nobody_waits() {
    let server: Arc<Server> = Arc::default();
    let process = Process::new(&server);
    let stamp = process.cache.generations(&tenant()).await.unwrap().stamp();
    let page = Arc::new(Page { stamp, body: Bytes::from_static(b"a") });
    drop(process.cache.put(&name(), page, MINUTE));
    assert_eq!(process.peek(&name()), is("a", Validity::Valid), "here at once");
    while server.lock().blobs.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(process.cache.purge(&tenant(), &Purge::everything()));
    while process.peek(&name()) == is("a", Validity::Valid) {
        tokio::task::yield_now().await;
    }
    drop(process.cache.remove(&name()));
    while !server.lock().blobs.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn it_takes_a_runtime() {
    let fake = Arc::<Server>::default().connect();
    let error = CacheBuilder::new().shared(Arc::new(fake)).build::<Page>().unwrap_err();
    assert!(error.to_string().contains("runtime"));
}
