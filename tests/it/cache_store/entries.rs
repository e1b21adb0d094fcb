use std::time::Duration;

use tower_keep_cache::{Name, Put, Stamp, Validity::Valid};
use tower_keep_tests::wait_until;

use super::backend::{Backend, HOUR, is};

/// Bytes that do not become shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) async fn what_is_put_is_there_for_all(backend: Backend) {
    let name = backend.name("it");
    assert_eq!(backend.says(&name).await, None);
    backend.fill(&name, &["a"], b"one").await;
    backend.all_say(&name, is("one", Valid)).await;
}

pub(crate) async fn what_is_put_again_is_the_later(backend: Backend) {
    let name = backend.name("it");
    for body in ["one", "two", "three"] {
        backend.fill(&name, &[], body.as_bytes()).await;
        assert_eq!(backend.says(&name).await, is(body, Valid));
    }
    let there = || async { backend.both()[1].get(&name).await.unwrap().value.unwrap() };
    assert_eq!(there().await.body, "three");
}

/// None, all that there are, some that are compressed, and some that go by a connection of their own.
pub(crate) async fn any_bytes_are_kept(backend: Backend) {
    let every: Vec<u8> = (0..=255).collect();
    for body in [vec![], every, vec![7; 900_000], noise(70_000), noise(900_000)] {
        let name = backend.name(&body.len().to_string());
        backend.fill(&name, &["a", "b"], &body).await;
        backend.all_say(&name, is(&body, Valid)).await;
        backend.fill(&name, &[], b"short").await;
        assert_eq!(backend.says(&name).await, is("short", Valid));
    }
}

pub(crate) async fn names_and_tenants_share_nothing(backend: Backend) {
    let (a, b) = (backend.tenant("a"), backend.tenant("b"));
    let names = [Name::new(&a, "x"), Name::new(&b, "x"), Name::new(&a, "y"), Name::new(&b, "y")];
    for (number, name) in (0_u8..).zip(&names) {
        assert_eq!(backend.says(name).await, None);
        backend.fill(name, &[], &[number]).await;
    }
    backend.here().remove(&names[3]).await.unwrap();
    for (number, name) in (0_u8..).zip(&names[..3]) {
        backend.all_say(name, is([number], Valid)).await;
    }
}

pub(crate) async fn names_that_share_a_key_are_told_apart(backend: Backend) {
    let [one, other] = ["one", "other"].map(|name| backend.name(name).with_digest([7; 16]));
    assert_eq!(one.key("entry"), other.key("entry"));
    backend.fill(&one, &[], b"one").await;
    assert_eq!(backend.says(&other).await, None);
    backend.fill(&other, &[], b"other").await;
    assert_eq!(backend.says(&other).await, is("other", Valid));
    // The one may be there no more, but it is never the other.
    let found = backend.here().get(&one).await.unwrap();
    assert!(found.value.is_none_or(|entry| entry.body == "one"));
}

pub(crate) async fn what_is_removed_is_gone_for_all(backend: Backend) {
    let name = backend.name("it");
    backend.fill(&name, &[], b"one").await;
    backend.all_say(&name, is("one", Valid)).await;
    backend.here().remove(&name).await.unwrap();
    backend.all_say(&name, None).await;
    backend.here().remove(&name).await.unwrap();
    backend.fill(&name, &[], b"two").await;
    backend.all_say(&name, is("two", Valid)).await;
}

pub(crate) async fn an_entry_ends_with_its_time(backend: Backend) {
    let (name, longer) = (backend.name("it"), backend.name("longer"));
    let stamp = backend.generations().await.stamp();
    // Longer than any is kept.
    assert_eq!(backend.put_for(&longer, stamp, &[], b"", Duration::MAX).await, Put::Stored);
    for ttl in [Duration::from_millis(50), Duration::ZERO] {
        assert_eq!(backend.put_for(&name, stamp, &[], b"", ttl).await, Put::Stored);
        backend.wait(ttl + Duration::from_millis(1)).await;
        backend.all_say(&name, None).await;
    }
    backend.all_say(&longer, is("", Valid)).await;
}

pub(crate) async fn what_is_too_large_takes_away_what_was_there(backend: Backend) {
    let name = backend.name("it");
    backend.fill(&name, &[], b"one").await;
    backend.all_say(&name, is("one", Valid)).await;
    let put = backend.put(&name, Stamp::default(), &[], &noise(1 << 20)).await;
    assert_eq!(put, Put::TooLarge);
    backend.all_say(&name, None).await;
}

pub(crate) async fn what_nobody_waits_for_is_done(backend: Backend) {
    let (name, there) = (backend.name("it"), &backend.both()[1]);
    let stamp = backend.generations().await.stamp();
    let entry = super::backend::Entry { stamp, tags: Vec::new(), body: "one".into() };
    drop(backend.here().put(&name, entry.into(), HOUR));
    let patient = Duration::from_secs(30);
    let is_there = || async { there.get(&name).await.unwrap().value.is_some() };
    assert!(wait_until(patient, is_there).await);
    drop(backend.here().remove(&name));
    assert!(wait_until(patient, || async { !is_there().await }).await);
}
