//! The engine on Redis: two processes and what they see of each other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tower_keep::{RedisConfig, TenantId};
use tower_keep_cache::{
    Cache, CacheBuilder, Found, Lease, Name, Purge, Stamp, Tag, Validity, Value,
};
use tower_keep_core::key::GenerationsKey;
use tower_keep_redis::{BusState, Connection, SharedBus};
use tower_keep_tests::{Flavor, Proxy, Server, prompt_once, wait_until};

use super::process::{MINUTE, PATIENT, sent, tag, tenant};
use crate::limit_store::site::{Kind, Site};

/// How soon another process is to know of a purge: with the bus, and without.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(1);

/// A text, when its fill began and what it can be purged by.
#[derive(Debug)]
struct Text {
    words: String,
    stamp: Stamp,
    tag: Tag,
}

impl Value for Text {
    const KIND: &'static str = "test";
    const FORMAT: u8 = 1;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        meta.extend(self.stamp.epoch.to_be_bytes());
        meta.extend(self.stamp.version.to_be_bytes());
        meta.extend(self.tag.to_bytes());
        body.extend(self.words.as_bytes());
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(meta.get(at..at + 8)?.try_into().ok()?));
        let stamp = Stamp { epoch: number(0)?, version: number(8)? };
        let tag = Tag::from_bytes(meta.get(16..)?.try_into().ok()?);
        Some(Self { words: String::from_utf8(body.to_vec()).ok()?, stamp, tag })
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.words.len()
    }
}

/// A cache as another process would have it.
struct Process {
    connection: Connection,
    cache: Cache<Text>,
}

impl Process {
    async fn new(url: &str, bus: bool, build: impl Fn(CacheBuilder) -> CacheBuilder) -> Self {
        let config = RedisConfig::from_url(url).unwrap().with_timeout(PATIENT).with_pubsub(bus);
        let connection = Connection::connect(config).unwrap();
        connection.require().await.unwrap();
        let shared = SharedBus::default().get(&connection, bus).unwrap();
        let builder = build(CacheBuilder::new().redis(&connection, Some(&shared)));
        let cache = builder.build().unwrap();
        let live = wait_until(PATIENT, || async { !bus || shared.state() == BusState::Live });
        assert!(live.await);
        let it = Self { connection, cache };
        if bus {
            // From when a near copy is kept and used, it hears.
            let name = Name::new(&tenant("first"), "live");
            it.fill(&name, "x", tag("x")).await;
            let live = wait_until(PATIENT, || async {
                it.cache.get(&name).await.unwrap();
                it.cache.peek(&name).is_some()
            });
            assert!(live.await, "no near copy is used");
        }
        it
    }

    async fn fill(&self, name: &Name, text: &str, tag: Tag) {
        let stamp = self.cache.get(name).await.unwrap().generations.stamp();
        let text = Arc::new(Text { words: text.to_owned(), stamp, tag });
        self.cache.put(name, text, MINUTE).await.unwrap();
    }

    /// What is found, by a near copy or in the store.
    async fn find(&self, name: &Name) -> Found<Text> {
        match self.cache.peek(name) {
            Some(found) => found,
            None => self.cache.get(name).await.unwrap(),
        }
    }

    /// What is found and may be used.
    async fn validity(&self, name: &Name) -> Option<Validity> {
        let found = self.find(name).await;
        let text = found.value?;
        Some(found.generations.judge(text.stamp, [text.tag]))
    }
}

fn plain(builder: CacheBuilder) -> CacheBuilder {
    builder
}

fn named(tenant: &TenantId, what: &str) -> Name {
    Name::new(tenant, what)
}

#[tokio::test]
async fn a_hit_is_one_command_and_generations_are_read_now_and_then() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url(), true, plain).await;
        let acme = tenant("acme");
        let [name, other] = [named(&acme, "a"), named(&acme, "b")];
        it.fill(&name, "text", tag("a")).await;
        it.cache.purge(&acme, &Purge::tags([tag("x")])).await.unwrap();
        let mut monitor = site.monitor().await;
        let begun = Instant::now();
        let (mut hits, mut lookups) = (0_u32, 0_u32);
        while begun.elapsed() < Duration::from_millis(1500) {
            assert!(it.cache.get(&name).await.unwrap().value.is_some());
            assert!(it.cache.get(&other).await.unwrap().value.is_none());
            (hits, lookups) = (hits + 1, lookups + 1);
        }
        let all = sent(&mut monitor).await;
        let count = |name: &str| all.iter().filter(|sent| *sent == name).count();
        assert_eq!(count("GETRANGE"), (hits + lookups) as usize, "one for each");
        let more = all.len() - count("GETRANGE");
        let most = begun.elapsed().as_millis() / 500 + 2;
        println!(
            "{}: {hits} hits and {lookups} misses in 1.5 s: {} GETRANGE and {more} more",
            kind.name(),
            count("GETRANGE"),
        );
        assert!(more as u128 <= most, "{more} in {:?}", begun.elapsed());

        let text = Text { words: "new".into(), stamp: Stamp::default(), tag: tag("a") };
        // Generations are read when their time has come, beside what else is asked.
        let mut commands = async || {
            let all = sent(&mut monitor).await.into_iter();
            all.filter(|name| name != "HMGET" && name != "HGETALL").collect::<Vec<_>>()
        };
        commands().await;
        it.cache.put(&name, Arc::new(text), MINUTE).await.unwrap();
        assert_eq!(commands().await, ["SET"]);
        it.cache.purge(&acme, &Purge::tags([tag("a"), tag("b")])).await.unwrap();
        assert_eq!(commands().await, ["EVALSHA"]);
        it.cache.get(&other).await.unwrap();
        commands().await;
        for _ in 0..100 {
            it.cache.peek(&other);
        }
        assert_eq!(commands().await.len(), 0);
    }
}

/// A near copy costs nothing, but for its generations now and then.
#[tokio::test]
async fn a_near_hit_is_no_command() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url(), true, plain).await;
        let name = named(&tenant("acme"), "a");
        it.fill(&name, "text", tag("a")).await;
        let mut monitor = site.monitor().await;
        let begun = Instant::now();
        let mut hits = 0_u32;
        while begun.elapsed() < Duration::from_millis(1200) {
            let found = it.cache.peek(&name);
            hits += u32::from(found.is_some_and(|found| found.value.is_some()));
            tokio::task::yield_now().await;
        }
        let all = sent(&mut monitor).await;
        println!("{}: {hits} near hits: {all:?}", kind.name());
        assert!(all.iter().all(|sent| sent == "HMGET" || sent == "HGETALL"), "{all:?}");
        assert!(all.len() as u128 <= begun.elapsed().as_millis() / 500 + 1, "{all:?}");
        assert!(hits > 100);
    }
}

#[tokio::test]
async fn a_read_is_one_write_to_the_socket() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        // Without a bus each read asks for generations too, and nobody else writes.
        let it = Process::new(&proxy.url(), false, plain).await;
        let name = named(&tenant("acme"), "a");
        it.fill(&name, "text", tag("a")).await;
        it.connection.bulk().require().await.unwrap();
        prompt_once(async || {
            let before = proxy.client_writes();
            for _ in 0..100 {
                assert!(it.cache.get(&name).await.unwrap().value.is_some());
            }
            let writes = proxy.client_writes() - before;
            println!("{flavor}: {writes} writes for 100 hits");
            // Now and then one is a probe's.
            assert!((100..=102).contains(&writes), "{writes}");
            writes == 100
        })
        .await;
    }
}

/// A purge is in force here once it has returned, and elsewhere soon.
#[tokio::test]
async fn another_process_sees_a_purge() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        for (bus, within) in [(true, SOON), (false, LATE)] {
            let it = Process::new(&site.url(), bus, plain).await;
            let other = Process::new(&site.url(), bus, plain).await;
            let acme = tenant(&format!("acme-{bus}"));
            let mut round = 0;
            let mut took = Duration::ZERO;
            prompt_once(async || {
                took = Duration::ZERO;
                for soft in [true, false] {
                    round += 1;
                    let name = named(&acme, &round.to_string());
                    it.fill(&name, "text", tag("a")).await;
                    assert_eq!(it.validity(&name).await, Some(Validity::Valid));
                    assert_eq!(other.validity(&name).await, Some(Validity::Valid));
                    let what = Purge::tags([tag("a")]);
                    let what = if soft { what.soft() } else { what };
                    let expected = Some(if soft { Validity::Stale } else { Validity::Gone });
                    it.cache.purge(&acme, &what).await.unwrap();
                    let begun = Instant::now();
                    assert_eq!(it.validity(&name).await, expected);
                    let seen =
                        wait_until(PATIENT, || async { other.validity(&name).await == expected });
                    assert!(seen.await, "never seen");
                    took = took.max(begun.elapsed());
                }
                took < within
            })
            .await;
            println!("{}, bus {bus}: seen elsewhere after {took:?}", kind.name());
        }
    }
}

/// Without its generations everything of a tenant misses, in every process.
#[tokio::test]
async fn lost_generations_are_lost_entries() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url(), true, plain).await;
        let other = Process::new(&site.url(), true, plain).await;
        let [acme, globex] = [tenant("acme"), tenant("globex")];
        let [name, theirs] = [named(&acme, "a"), named(&globex, "a")];
        it.fill(&name, "text", tag("a")).await;
        it.fill(&theirs, "text", tag("a")).await;
        assert_eq!(other.validity(&name).await, Some(Validity::Valid));
        site.command(&["DEL", &GenerationsKey { tenant: &acme }.spell()]).await;
        for process in [&it, &other] {
            let gone = wait_until(PATIENT, || async {
                process.validity(&name).await == Some(Validity::Gone)
            });
            assert!(gone.await, "it is used still");
            assert_eq!(process.validity(&theirs).await, Some(Validity::Valid));
        }
        it.fill(&name, "anew", tag("a")).await;
        let back = wait_until(PATIENT, || async {
            other.cache.get(&name).await.unwrap();
            other.validity(&name).await == Some(Validity::Valid)
        });
        assert!(back.await, "they do not agree on what there is now");
    }
}

/// What is written is seen through although nobody waits for it.
#[tokio::test]
async fn what_is_dropped_is_done() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url(), true, plain).await;
        let acme = tenant("acme");
        let name = named(&acme, "a");
        let stamp = it.cache.get(&name).await.unwrap().generations.stamp();
        let text = || Arc::new(Text { words: "text".into(), stamp, tag: tag("a") });
        drop(it.cache.put(&name, text(), MINUTE));
        let there = || async { it.cache.get(&name).await.unwrap().value.is_some() };
        assert!(wait_until(PATIENT, there).await, "not written");
        drop(it.cache.purge(&acme, &Purge::everything()));
        let purged = || async { it.validity(&name).await == Some(Validity::Gone) };
        assert!(wait_until(PATIENT, purged).await, "not purged");
        drop(it.cache.remove(&name));
        let removed = || async { it.cache.get(&name).await.unwrap().value.is_none() };
        assert!(wait_until(PATIENT, removed).await, "not removed");
    }
}

#[tokio::test]
async fn of_two_processes_one_makes_what_is_not_there() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let leasing = |builder: CacheBuilder| builder.fill_lease(Some(MINUTE));
        let it = Process::new(&site.url(), true, leasing).await;
        let other = Process::new(&site.url(), true, leasing).await;
        let name = named(&tenant("acme"), "a");
        let found = it.cache.get(&name).await.unwrap();
        assert!(matches!(found.lease, Lease::Ours(_)), "{found:?}");
        let theirs = other.cache.get(&name).await.unwrap();
        assert_eq!(theirs.lease, Lease::Theirs);
        let text = Text { words: "made".into(), stamp: found.generations.stamp(), tag: tag("a") };
        let (waited, put) = tokio::join!(
            other.cache.wait(&name, PATIENT),
            it.cache.put(&name, Arc::new(text), MINUTE)
        );
        put.unwrap();
        assert_eq!(waited.unwrap().value.unwrap().words, "made");

        let name = named(&tenant("acme"), "b");
        let Lease::Ours(token) = it.cache.get(&name).await.unwrap().lease else { panic!() };
        assert_eq!(other.cache.get(&name).await.unwrap().lease, Lease::Theirs);
        it.cache.release(&name, token).await.unwrap();
        let after = other.cache.wait(&name, PATIENT).await.unwrap();
        assert!(matches!(after.lease, Lease::Ours(_)), "{after:?}");
    }
}

/// Bytes of somebody else are a miss, and are replaced.
#[tokio::test]
async fn garbage_is_a_miss() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let it = Process::new(&site.url(), true, plain).await;
        let name = named(&tenant("acme"), "a");
        let key = name.key("test");
        let long = "x".repeat(100_000);
        for garbage in ["", "x", "not an entry", &long] {
            site.command(&["SET", &key, garbage]).await;
            assert!(it.cache.get(&name).await.unwrap().value.is_none());
        }
        site.command(&["DEL", &key]).await;
        site.command(&["SADD", &key, "x"]).await;
        assert!(it.cache.get(&name).await.unwrap().value.is_none());
        it.fill(&name, "text", tag("a")).await;
        assert_eq!(it.cache.get(&name).await.unwrap().value.unwrap().words, "text");
    }
}
