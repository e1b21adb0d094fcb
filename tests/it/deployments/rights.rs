//! The rights that SECURITY.md lists: with them everything works, and with one less something
//! does not.

use std::{fs, path::Path, sync::Arc, time::Duration};

use tokio::time::timeout;
use tower_keep::{Caller, RateLimitOutcome, StoreError, TenantId, UserId};
use tower_keep_cache::{
    Stamp, Tag,
    store::{
        Ask, AskEntry, AskGenerations, AskLease, MAX_TAGS, PurgeStep, SharedStore as _,
        ToldGenerations,
    },
};
use tower_keep_redis::{BusEvent, BusState, Connection, RedisConfig, SharedBus};
use tower_keep_session::{How, RedisStore, Saved};
use tower_keep_tests::{Cluster, Flavor, Sentinel, Server, wait_until};

use super::{LONG, ask, keep, twice};
use crate::session_store::backend::{BOUNDS, Backend, ORIGIN, What, new_id};

const LOGIN: &str = "keep:PASSWORD";
const SENTINEL_LOGIN: &str = "sentinelUsername=keep&sentinelPassword=SENTINEL-PASSWORD";

/// The line of SECURITY.md under this comment, word by word.
fn line(of: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("# {of}"));
    let line = lines.nth(1).unwrap_or_else(|| panic!("SECURITY.md has no rights for {of:?}"));
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[..3], ["ACL", "SETUSER", "keep"], "{line}");
    words
}

/// The same line, and then each with one right less, by the name of that.
fn and_less(of: &str) -> impl Iterator<Item = (Option<String>, Vec<String>)> {
    let line = line(of);
    let rights: Vec<_> =
        line.iter().filter(|word| word.starts_with(['+', '~', '&'])).cloned().collect();
    assert!(!rights.is_empty());
    std::iter::once(None).chain(rights.into_iter().map(Some)).map(move |missing| {
        let kept = line.iter().filter(|word| Some(*word) != missing.as_ref());
        let kept = kept.cloned().collect();
        (missing, kept)
    })
}

async fn grant(servers: &[Server], words: &[String]) {
    for server in servers {
        server.command(words).await.unwrap().ok().unwrap();
    }
}

/// Whether the limiter works with Redis for this caller, who is new: it loads its script, counts
/// and denies.
async fn works(url: &str, caller: u8) -> bool {
    let quick = ("REDIS_CONNECT_TIMEOUT_MS", "3000");
    let keep = keep(&[("REDIS_URL", url), quick]).unwrap();
    if keep.require_connection().await.is_err() {
        return false;
    }
    let service = twice(&keep);
    for expected in [RateLimitOutcome::Allowed, RateLimitOutcome::Allowed, RateLimitOutcome::Denied]
    {
        if ask(&service, caller).await.1 != expected {
            return false;
        }
    }
    true
}

/// The same, and counters that lost their expiry get a new one.
async fn works_on(server: &Server, database: &str, caller: u8) -> bool {
    server.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
    let url = format!("redis://{LOGIN}@127.0.0.1:{}{database}", server.port());
    if !works(&url, caller).await {
        return false;
    }
    let mut own = server.connect().await.unwrap();
    own.command(&["SELECT", database.trim_matches('/')]).await.unwrap();
    let key = format!("ratelimit:acme:~ip-10.0.0.{caller}:*");
    own.command(&["PERSIST", &key]).await.unwrap().ok().unwrap();
    let keep = keep(&[("REDIS_URL", &url)]).unwrap();
    keep.require_connection().await.unwrap();
    let told = ask(&twice(&keep), caller).await.1;
    told == RateLimitOutcome::Denied && own.command(&["PTTL", &key]).await.unwrap().int() > 0
}

fn judge(missing: Option<&String>, works: bool) {
    match missing {
        None => assert!(works, "with all rights it does not work"),
        Some(right) => assert!(!works, "{right} is not needed"),
    }
}

#[tokio::test]
async fn one_server() {
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        for (number, (missing, words)) in (1..).zip(and_less("one server, database 0")) {
            grant(&servers, &words).await;
            judge(missing.as_ref(), works_on(&servers[0], "", number).await);
        }
    }
}

#[tokio::test]
async fn another_database() {
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        for (number, (missing, words)) in (1..).zip(and_less("one server, another database")) {
            grant(&servers, &words).await;
            judge(missing.as_ref(), works_on(&servers[0], "/3", number).await);
        }
    }
}

/// With a slot on its way, so that `ASK` is followed as well.
#[tokio::test]
async fn a_cluster() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let slot = cluster.slot_of("ratelimit:{acme}:x").await.unwrap();
        let to = (cluster.owner_of_slot(slot).await.unwrap() + 1) % 3;
        let _ = cluster.begin_migration(slot, to).await.unwrap();
        let url = cluster.url().replacen("://", &format!("://{LOGIN}@"), 1);
        for (number, (missing, words)) in (1..).zip(and_less("a cluster, on every node")) {
            // What is only needed for counters that lost their expiry is shown on one server.
            if missing.as_deref().is_some_and(|right| ["+pttl", "+pexpire"].contains(&right)) {
                continue;
            }
            grant(cluster.nodes(), &words).await;
            for node in cluster.nodes() {
                node.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
            }
            judge(missing.as_ref(), works(&url, number).await);
        }
    }
}

#[tokio::test]
async fn behind_sentinels() {
    let (nodes, own) = ("behind sentinels, on the primary and its replicas", "the sentinels' own");
    for flavor in Flavor::ALL {
        let sentinel = Sentinel::start(flavor).await;
        let url = sentinel.url().replacen("://", &format!("://{LOGIN}@"), 1);
        let url = format!("{url}&{SENTINEL_LOGIN}");
        grant(sentinel.sentinels(), &line(own)).await;
        let mut callers = 1..;
        for (missing, words) in and_less(nodes) {
            if missing.as_deref().is_some_and(|right| ["+pttl", "+pexpire"].contains(&right)) {
                continue;
            }
            grant(sentinel.nodes(), &words).await;
            sentinel.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
            judge(missing.as_ref(), works(&url, callers.next().unwrap()).await);
        }
        grant(sentinel.nodes(), &line(nodes)).await;
        for (missing, words) in and_less(own) {
            grant(sentinel.sentinels(), &words).await;
            judge(missing.as_ref(), works(&url, callers.next().unwrap()).await);
        }
    }
}

/// Whether what is published comes back.
async fn hears_itself(url: &str) -> bool {
    let connection = Connection::connect(RedisConfig::from_url(url).unwrap()).unwrap();
    connection.require().await.unwrap();
    let bus = SharedBus::default().get(&connection, true).unwrap();
    let mut events = bus.events();
    let decided = || async { matches!(bus.state(), BusState::Live | BusState::Off { .. }) };
    assert!(wait_until(Duration::from_secs(20), decided).await, "{:?}", bus.state());
    if bus.state() != BusState::Live || bus.publish(1, b"x").await.is_err() {
        return false;
    }
    let heard = async { while events.recv().await == BusEvent::Gap {} };
    timeout(Duration::from_secs(20), heard).await.expect("published, and not heard");
    true
}

#[tokio::test]
async fn the_bus() {
    let more = "the bus, in addition to any of these";
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        let url = format!("redis://{LOGIN}@127.0.0.1:{}", servers[0].port());
        for (missing, words) in and_less(more) {
            grant(&servers, &line("one server, database 0")).await;
            grant(&servers, &words).await;
            judge(missing.as_ref(), hears_itself(&url).await);
        }
        let cluster = Cluster::start(flavor, 3).await;
        grant(cluster.nodes(), &line("a cluster, on every node")).await;
        grant(cluster.nodes(), &line(more)).await;
        let url = cluster.url().replacen("://", &format!("://{LOGIN}@"), 1);
        assert!(hears_itself(&url).await);
        let sentinel = Sentinel::start(flavor).await;
        grant(sentinel.sentinels(), &line("the sentinels' own")).await;
        let nodes = line("behind sentinels, on the primary and its replicas");
        grant(sentinel.nodes(), &nodes).await;
        grant(sentinel.nodes(), &line(more)).await;
        let url = sentinel.url().replacen("://", &format!("://{LOGIN}@"), 1);
        assert!(hears_itself(&format!("{url}&{SENTINEL_LOGIN}")).await);
    }
}

/// Whether a caller who is denied or blocked can be let in again.
async fn lets_in(url: &str) -> bool {
    let keep = keep(&[("REDIS_URL", url), ("REDIS_PUBSUB_ENABLED", "false")]).unwrap();
    keep.require_connection().await.unwrap();
    let limits = keep.rate_limit().build().unwrap().limits();
    let caller = Caller::tenant(TenantId::new("acme").unwrap())
        .user(UserId::new("42").unwrap())
        .endpoint("/x");
    limits.block(&caller, Duration::from_secs(60)).await.unwrap();
    limits.unblock(&caller).await.is_ok() && limits.reset(&caller).await.is_ok()
}

#[tokio::test]
async fn to_reset_and_unblock() {
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        let url = format!("redis://{LOGIN}@127.0.0.1:{}", servers[0].port());
        for (missing, words) in
            and_less("resetting and unblocking callers, in addition to any of these")
        {
            grant(&servers, &line("one server, database 0")).await;
            grant(&servers, &words).await;
            judge(missing.as_ref(), lets_in(&url).await);
        }
    }
}

/// Whether sessions are made, read, kept, changed, listed, bounded and ended.
async fn keeps_sessions(server: &Server, user: &str) -> bool {
    server.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
    let url = format!("redis://{LOGIN}@127.0.0.1:{}", server.port());
    let config = RedisConfig::from_url(&url).unwrap().with_timeout(LONG);
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let backend = Backend::new(Arc::new(RedisStore::new(connection)), None, "rights");
    let user = backend.named("acme", user);
    let outcome: Result<(), StoreError> = async {
        let (store, what) = (&user.store, What::new().set("a", "1").sessions(2));
        let create = async |id| {
            let made = store.save(what.save(user.place(id), How::Create(ORIGIN))).await;
            made.map(|saved| assert!(matches!(saved, Saved::Done(_)), "{saved:?}"))
        };
        let ids = [new_id(), new_id(), new_id()];
        for id in ids {
            create(id).await?;
        }
        assert!(store.load(user.place(ids[2])).await?.is_some());
        assert!(store.touch(user.place(ids[2]), BOUNDS).await?.is_some());
        assert_eq!(store.list(user.key()).await?.len(), 2);
        store.save(what.save(user.place(ids[2]), How::Write)).await?;
        store.remove_others(user.place(ids[2])).await?;
        assert!(store.remove(user.place(ids[2])).await?);
        store.remove_all(user.key()).await
    }
    .await;
    outcome.is_ok()
}

#[tokio::test]
async fn sessions() {
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        let more = and_less("sessions, in addition to any of these");
        for (number, (missing, words)) in more.enumerate() {
            grant(&servers, &line("one server, database 0")).await;
            grant(&servers, &words).await;
            let works = keeps_sessions(&servers[0], &format!("u{number}")).await;
            judge(missing.as_ref(), works);
        }
    }
}

/// Whether caches are filled, long entries and leases included, read, purged until what is oldest
/// is forgotten, and emptied.
async fn keeps_caches(server: &Server, tenant: &str) -> bool {
    server.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
    let url = format!("redis://{LOGIN}@127.0.0.1:{}", server.port());
    let config = RedisConfig::from_url(&url).unwrap().with_timeout(LONG);
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    // Whose connection may publish nothing.
    let bus = SharedBus::default().get(&connection, true).unwrap();
    let store = tower_keep_cache::RedisStore::new(&connection, Some(&bus));
    let tenant = TenantId::new(tenant).unwrap();
    let outcome: Result<(), StoreError> = async {
        let read = async |key: Option<&str>, lease: Option<AskLease>, known: Option<Stamp>| {
            let entry = key.map(|key| AskEntry { key, lease });
            let generations = Some(AskGenerations { tenant: &tenant, known });
            store.read(Ask { entry, generations }).await
        };
        let known = match read(None, None, None).await?.generations {
            Some(ToldGenerations::Whole(generations)) => generations.stamp(),
            other => panic!("{other:?}"),
        };
        for kind in ["cache", "query", "ai"] {
            let key = format!("{kind}:{}:x", tenant.as_str());
            for length in [10, 100_000] {
                store.write(&key, vec![b'x'; length].into(), LONG).await?;
                let told = read(Some(&key), None, Some(known)).await?;
                assert_eq!(told.entry.unwrap().blob.unwrap().len(), length);
            }
            store.remove(&key, vec![0; 33]).await?;
            let lease = AskLease { blob: "lease".into(), lasting: LONG };
            assert!(read(Some(&key), Some(lease), None).await?.entry.unwrap().leased);
            store.release(&key, "lease".into()).await?;
            assert_eq!(read(Some(&key), None, None).await?.entry.unwrap().blob, None);
        }
        for number in 0..6 {
            let tag = |n: usize| Tag::new("group", format!("{number}-{n}").as_bytes());
            let tags: Vec<Tag> = (0..MAX_TAGS).map(tag).collect();
            let tags = (number < 5).then_some(&tags[..]);
            let message = vec![0; 33];
            store.purge(PurgeStep { tenant: &tenant, soft: false, tags, message }).await?;
        }
        Ok(())
    }
    .await;
    outcome.is_ok()
}

#[tokio::test]
async fn caches() {
    for flavor in Flavor::ALL {
        let servers = [Server::start(flavor).await];
        let more = and_less("caches, in addition to any of these");
        for (number, (missing, words)) in more.enumerate() {
            grant(&servers, &line("one server, database 0")).await;
            grant(&servers, &words).await;
            let works = keeps_caches(&servers[0], &format!("t{number}")).await;
            judge(missing.as_ref(), works);
        }
    }
}
