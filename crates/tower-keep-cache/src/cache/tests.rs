use bytes::Bytes;
use tower_keep_core::time::{Clock, UnixMillis};

use super::*;
use crate::{generation::Validity, near::tests::Text};

const SECOND: Duration = Duration::from_secs(1);

fn memory(set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache<Text> {
    set(CacheBuilder::new().memory()).build().unwrap()
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn name(text: &str) -> Name {
    Name::new(&tenant(), text)
}

fn put(cache: &Cache<Text>, name: &Name, body: &[u8], ttl: Duration) -> Put {
    cache.put(name, Arc::new(Text::new(b"", body)), ttl).now().unwrap().unwrap()
}

fn body(cache: &Cache<Text>, name: &Name) -> Option<Bytes> {
    let found = cache.peek(name).unwrap();
    let got = cache.get(name).now().unwrap().unwrap();
    assert_eq!(found.value, got.value);
    found.value.map(|text| text.body.clone())
}

#[test]
fn in_memory_an_entry_lasts_for_its_time() {
    let clock = Clock::manual(UnixMillis(0));
    let cache = memory(|builder| builder.clock(clock.clone()));
    assert_eq!(body(&cache, &name("a")), None);
    assert_eq!(put(&cache, &name("a"), b"1", SECOND), Put::Stored);
    assert_eq!(put(&cache, &name("b"), b"2", Duration::MAX), Put::Stored);
    clock.advance(Duration::from_millis(999));
    assert_eq!(body(&cache, &name("a")).as_deref(), Some(&b"1"[..]));
    let (before, _) = cache.weight();
    clock.advance(Duration::from_millis(1));
    assert_eq!(body(&cache, &name("a")), None);
    assert!(cache.weight().0 < before, "it made room");
    clock.advance(29 * 86_400 * SECOND);
    assert_eq!(body(&cache, &name("b")).as_deref(), Some(&b"2"[..]));
    clock.advance(86_400 * SECOND);
    assert_eq!(body(&cache, &name("b")), None);
}

#[test]
fn in_memory_names_and_tenants_share_nothing() {
    let cache = memory(|builder| builder);
    let other = Name::new(&TenantId::new("globex").unwrap(), "a");
    let same_key = name("b").with_digest([0; 16]);
    put(&cache, &name("a").with_digest([0; 16]), b"1", SECOND);
    assert_eq!((body(&cache, &other), body(&cache, &same_key)), (None, None));
    // Lengths keep apart what would otherwise be spelled alike.
    let (ab, a) = (TenantId::new("ab").unwrap(), TenantId::new("a").unwrap());
    assert_ne!(Name::new(&ab, "c"), Name::new(&a, "bc"));
    assert_ne!(Name::new(&TenantId::NONE, "a"), Name::new(&a, ""));
    assert_ne!(Name::new(&ab, "c").key("x"), Name::new(&a, "bc").key("x"));
}

#[test]
fn in_memory_purges_are_those_of_the_tenant() {
    let cache = memory(|builder| builder);
    let stamp = cache.generations(&tenant()).now().unwrap().unwrap().stamp();
    let judge = || cache.peek(&name("a")).unwrap().generations.judge(stamp, []);
    cache.purge(&TenantId::NONE, &Purge::everything()).now().unwrap().unwrap();
    assert_eq!(judge(), Validity::Valid);
    cache.purge(&tenant(), &Purge::everything().soft()).now().unwrap().unwrap();
    assert_eq!(judge(), Validity::Stale);
    put(&cache, &name("a"), b"1", SECOND);
    assert_eq!(judge(), Validity::Stale);
    cache.purge(&tenant(), &Purge::everything()).now().unwrap().unwrap();
    assert_eq!(judge(), Validity::Gone);
}

#[test]
fn in_memory_what_is_too_large_takes_away_what_was_there() {
    let cache = memory(|builder| builder.max_entry_bytes(1000));
    put(&cache, &name("a"), b"1", SECOND);
    assert_eq!(put(&cache, &name("a"), &[0; 1000], SECOND), Put::Stored);
    assert_eq!(put(&cache, &name("a"), &[0; 1001], SECOND), Put::TooLarge);
    assert_eq!(body(&cache, &name("a")), None);
    put(&cache, &name("a"), b"1", SECOND);
    cache.remove(&name("a")).now().unwrap().unwrap();
    assert_eq!(body(&cache, &name("a")), None);
}

#[test]
fn in_memory_entries_take_no_more_bytes_than_they_may() {
    let cache = memory(|builder| builder.capacity(1 << 20).max_entry_bytes(64 << 10));
    for number in 0..5000_usize {
        put(&cache, &name(&number.to_string()), &vec![0; number % 5000], SECOND);
        let (weight, capacity) = cache.weight();
        assert!(weight <= capacity && capacity == 1 << 20, "{weight} of {capacity}");
    }
}

#[test]
fn a_store_must_be_named() {
    let error = CacheBuilder::new().build::<Text>().unwrap_err();
    assert!(error.to_string().contains("memory"));
}
