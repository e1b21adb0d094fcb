//! What the limit script leaves in Redis, and what it makes of what it finds there.

mod lives;
mod planted;
mod together;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};
use tower_keep::{ErrorClass, PeerAddr, RateLimitLayer, Rule, Scope};
use tower_keep_rate_limit::LimitStore;
use tower_keep_rate_limit::{RedisStore, Verdict};
use tower_keep_tests::{Flavor, Server};

use crate::limit_store::{
    backend::{Counter, HOUR, only, remaining},
    site::{Kind, Site, ask, request},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A site with a store on it.
struct Desk {
    site: Site,
    store: RedisStore,
}

impl Desk {
    async fn open(kind: Kind) -> Self {
        let site = Site::start(kind).await;
        let store = RedisStore::new(site.connection().await);
        Self { site, store }
    }

    async fn check(&self, counters: &[&Counter]) -> Verdict {
        let limits: Vec<_> = counters.iter().map(|counter| counter.limit()).collect();
        self.store.check(&limits, &[]).await.unwrap()
    }

    async fn set(&self, key: &str, value: impl AsRef<[u8]>) {
        self.site.command(&[b"SET", key.as_bytes(), value.as_ref()]).await;
    }

    async fn expire(&self, key: &str, millis: u64) {
        self.site.command(&["PEXPIRE", key, &millis.to_string()]).await;
    }

    /// What stands under the key, which is a counter: `count window_start_ms`.
    async fn read(&self, key: &str) -> (u64, u64) {
        let text = self.site.command(&["GET", key]).await.text();
        let (count, start) = text.split_once(' ').unwrap();
        assert_eq!(text, format!("{count} {start}"));
        (count.parse().unwrap(), start.parse().unwrap())
    }

    /// When the key expires, by the server's clock; negative if it never does.
    async fn expires_at(&self, key: &str) -> i64 {
        self.site.command(&["PEXPIRETIME", key]).await.int()
    }
}

/// The same but for the little time that passes within a script.
#[track_caller]
fn assert_about(at: i64, expected: u64) {
    let off = at - i64::try_from(expected).unwrap();
    assert!(off.abs() <= 400, "{off} ms off");
}

#[tokio::test]
async fn keys_are_spelled_as_documented() {
    const SCOPE: Scope = Scope::tenant().user().endpoint();
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let layer = site
            .keep()
            .await
            .rate_limit()
            .rule(Rule::per(SCOPE, 9, MINUTE))
            .rule(Rule::per(SCOPE, 9, MINUTE).named("burst"))
            .rule(Rule::per_tenant(9, MINUTE))
            .rule(Rule::per_user(9, MINUTE))
            .rule(Rule::per_endpoint(9, MINUTE))
            .rule(Rule::per_address(9, MINUTE))
            .build()
            .unwrap();
        let from = |tenant: &str, user, route, peer: &str| {
            let mut request = request(tenant, user, route);
            if !peer.is_empty() {
                let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
                request.extensions_mut().insert(PeerAddr(peer));
            }
            request
        };
        let begun = site.now().await;
        for request in [
            from("acme", "42", "/items/{id}", "192.0.2.1"),
            from("a:b{c}%*~", "~ü ", "", "2001:db8::7"),
            from(&"x".repeat(97), "", "/", "::ffff:192.0.2.1"),
            from("", "", "", ""),
        ] {
            assert_eq!(ask(&layer, request).await, StatusCode::OK);
        }
        // As in a cluster; a single server's have no braces.
        let mut expected = [
            "ratelimit:{acme}:42:/items/%7Bid%7D",
            "ratelimit:{acme}:42:/items/%7Bid%7D:burst",
            "ratelimit:{acme}:*:*:tenant",
            "ratelimit:{acme}:42:*:user",
            "ratelimit:{acme}:*:/items/%7Bid%7D:endpoint",
            "ratelimit:{acme}:~ip-192.0.2.1:*:address",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:%7E%C3%BC%20:~unmatched",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:%7E%C3%BC%20:~unmatched:burst",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:*:*:tenant",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:%7E%C3%BC%20:*:user",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:*:~unmatched:endpoint",
            "ratelimit:{a%3Ab%7Bc%7D%25%2A~}:~ip-2001%3Adb8%3A%3A/64:*:address",
            // printf 'x%.0s' $(seq 97) | sha256sum | cut -c1-32
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:~ip-192.0.2.1:/",
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:~ip-192.0.2.1:/:burst",
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:*:*:tenant",
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:~ip-192.0.2.1:*:user",
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:*:/:endpoint",
            "ratelimit:{~h19a8f07eeb7f3d0c0b7377e37d72eccd}:~ip-192.0.2.1:*:address",
            "ratelimit:{~none}:~none:~unmatched",
            "ratelimit:{~none}:~none:~unmatched:burst",
            "ratelimit:{~none}:*:*:tenant",
            "ratelimit:{~none}:~none:*:user",
            "ratelimit:{~none}:*:~unmatched:endpoint",
            "ratelimit:{~none}:~none:*:address",
        ]
        .map(|key| site.key(key));
        expected.sort();
        assert_eq!(site.keys().await, expected, "{}", kind.name());
        for key in &expected {
            let value = site.command(&["GET", key]).await.text();
            let start = value.strip_prefix("1 ").unwrap().parse().unwrap();
            assert!((begun..=site.now().await).contains(&start), "{key}: {value}");
        }
    }
}

/// A key lives as long as it is told to, or as its window if that is longer, from its window's
/// begin.
#[tokio::test]
async fn keys_expire_with_their_life_or_their_window() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        tokio::join!(
            expires_after_90_seconds(&desk, "a", 90, 60),
            expires_after_90_seconds(&desk, "b", 60, 90),
            expires_after_90_seconds(&desk, "c", 0, 90),
        );
    }
}

async fn expires_after_90_seconds(desk: &Desk, tenant: &str, life: u64, window: u64) {
    let layer = RateLimitLayer::builder()
        .store(Arc::new(desk.store.clone()))
        .rule(Rule::per_tenant(2, Duration::from_secs(window)))
        .rule(Rule::per_user(9, Duration::from_secs(window)))
        .key_life(Duration::from_secs(life))
        .build()
        .unwrap();
    let keys = [format!("ratelimit:{tenant}:*:*:tenant"), format!("ratelimit:{tenant}:u:*:user")];
    let ask = || ask(&layer, request(tenant, "u", ""));
    assert_eq!(ask().await, StatusCode::OK);
    let (count, start) = desk.read(&keys[0]).await;
    assert_eq!(count, 1);
    for key in &keys {
        assert_about(desk.expires_at(key).await, start + 90_000);
    }
    // A later hit neither moves the window nor lengthens the key's life.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask().await, StatusCode::OK);
    for key in &keys {
        assert_eq!(desk.read(key).await, (2, start));
        assert_about(desk.expires_at(key).await, start + 90_000);
    }
    let before = [desk.expires_at(&keys[0]).await, desk.expires_at(&keys[1]).await];
    sleep(Duration::from_millis(20)).await;
    assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS);
    for (key, before) in keys.iter().zip(before) {
        assert_eq!(desk.read(key).await, (2, start), "a denial is not counted");
        assert_eq!(desk.expires_at(key).await, before, "and touches nothing");
    }
}

/// The window is over although its key is still there.
#[tokio::test]
async fn the_window_ends_by_arithmetic() {
    for kind in Kind::SINGLE {
        let desk = Desk::open(kind).await;
        let counter = Counter::new("acme", 2, 150).user("42").route("/x").life(HOUR);
        let key = "ratelimit:acme:42:/x";
        let mut starts = Vec::new();
        for _ in 0..4 {
            let verdict = loop {
                let verdict = desk.check(&[&counter]).await;
                if !verdict.allowed {
                    break verdict;
                }
            };
            let (count, start) = desk.read(key).await;
            assert_eq!(count, 2);
            assert_about(desk.expires_at(key).await, start + HOUR);
            starts.push(start);
            sleep(Duration::from_millis(only(&verdict).resets_in_ms)).await;
            let verdict = desk.check(&[&counter]).await;
            assert!(verdict.allowed, "{verdict:?}");
            assert_eq!(desk.read(key).await.0, 1);
        }
        assert!(starts.windows(2).all(|pair| pair[1] >= pair[0] + 150), "{starts:?}");
    }
}

/// Nobody notices that the server forgets the script again and again.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_invisible_under_load() {
    const LIMIT: u64 = 700;
    for kind in Kind::ALL {
        let desk = Arc::new(Desk::open(kind).await);
        let tenant = Counter::new("acme", LIMIT, HOUR);
        let user = Counter::new("acme", 100_000, HOUR).user("42");
        let rounds = Arc::new(AtomicUsize::new(0));
        let forgetting = tokio::spawn(forget(Arc::clone(&desk), Arc::clone(&rounds)));
        let mut tasks = JoinSet::new();
        for _ in 0..32 {
            let (desk, rounds) = (Arc::clone(&desk), Arc::clone(&rounds));
            let (tenant, user) = (tenant.clone(), user.clone());
            tasks.spawn(async move {
                let (mut checks, mut admitted) = (0, 0);
                while checks < 40 || rounds.load(Ordering::Relaxed) < 50 {
                    admitted += u64::from(desk.check(&[&tenant, &user]).await.allowed);
                    checks += 1;
                }
                admitted
            });
        }
        let admitted: u64 = tasks.join_all().await.iter().sum();
        assert!(!forgetting.is_finished(), "the scripts were not forgotten to the end");
        forgetting.abort();
        assert_eq!(admitted, LIMIT, "{}", kind.name());
        for key in ["ratelimit:{acme}:*:*", "ratelimit:{acme}:42:*"] {
            assert_eq!(desk.read(&desk.site.key(key)).await.0, LIMIT);
        }
        let mut spelled_out = 0;
        for node in desk.site.nodes() {
            let stats = node.command(&["INFO", "commandstats"]).await.unwrap().text();
            spelled_out += calls_of(&stats, "eval");
        }
        assert!(spelled_out > 5, "the load went past the flushes: {spelled_out}");
        println!(
            "{}: {admitted} of {LIMIT} admitted, script sent anew {spelled_out} times",
            kind.name()
        );
    }
}

/// Makes every node forget its scripts every 2 ms, and counts the rounds.
async fn forget(desk: Arc<Desk>, rounds: Arc<AtomicUsize>) {
    let mut hands = Vec::new();
    for node in desk.site.nodes() {
        hands.push(node.connect().await.unwrap());
    }
    let mut pause = interval(Duration::from_millis(2));
    loop {
        for hand in &mut hands {
            hand.command(&["SCRIPT", "FLUSH"]).await.unwrap().ok().unwrap();
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        pause.tick().await;
    }
}

fn calls_of(stats: &str, command: &str) -> u64 {
    let start = format!("cmdstat_{command}:calls=");
    let found = stats.lines().find_map(|line| line.strip_prefix(start.as_str()));
    found.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

/// The server answered, and refused: nothing was counted.
#[tokio::test]
async fn out_of_memory_is_refused() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).arg("--maxmemory", "100kb").start().await;
        let site = Site::Single(server);
        let desk = Desk { store: RedisStore::new(site.connection().await), site };
        let counters = [
            Counter::new("acme", 5, HOUR),
            Counter::new("acme", 5, HOUR).user("42"),
            Counter::new("acme", 5, HOUR).route("/x"),
        ];
        let counters = counters.each_ref();
        let limits: Vec<_> = counters.iter().map(|counter| counter.limit()).collect();
        let begun = Instant::now();
        for _ in 0..20 {
            let error = desk.store.check(&limits, &[]).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Refused, "{error}");
            assert!(error.message().starts_with("OOM"), "{error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not wait");
        assert_eq!(desk.site.keys().await, [""; 0]);
        desk.site.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        assert_eq!(remaining(&desk.check(&counters).await), [4, 4, 4]);
    }
}
