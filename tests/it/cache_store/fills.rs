use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::task::{JoinSet, yield_now};
use tower_keep_cache::{Found, Purge, Stamp, Validity};

use super::backend::{Backend, Entry, HOUR, said, tag};

const PURGES: u64 = 1000;

/// The truth is a number. Those who fill store what it is; nobody in the process that purges sees
/// one from before a purge that had returned when they began to look.
pub(crate) async fn a_purge_while_many_fill_leaves_nothing_stale(backend: Backend) {
    let (name, tenant) = (backend.name("truth"), backend.tenant("acme"));
    let truth = Arc::new(AtomicU64::new(0));
    let purged = Arc::new(AtomicU64::new(0));
    let mut fillers = JoinSet::new();
    for number in 0..6 {
        let cache = backend.both()[usize::from(number >= 4)].clone();
        let (truth, purged, name) = (Arc::clone(&truth), Arc::clone(&purged), name.clone());
        fillers.spawn(async move {
            while purged.load(Ordering::SeqCst) < PURGES {
                let at_least = purged.load(Ordering::SeqCst);
                let found = match cache.peek(&name).filter(|found| usable(found).is_some()) {
                    Some(found) => found,
                    None => cache.get(&name).await.unwrap(),
                };
                if let Some(seen) = usable(&found) {
                    let elsewhere = number >= 4;
                    assert!(elsewhere || seen >= at_least, "{seen} after {at_least}");
                } else {
                    let stamp = found.generations.stamp();
                    yield_now().await;
                    let body = truth.load(Ordering::SeqCst).to_be_bytes().to_vec().into();
                    yield_now().await;
                    let entry = Entry { stamp, tags: vec![tag("truth")], body };
                    cache.put(&name, Arc::new(entry), HOUR).await.unwrap();
                }
                yield_now().await;
            }
        });
    }
    for number in 1..=PURGES {
        truth.store(number, Ordering::SeqCst);
        let everything = number % 5 == 0;
        let what = if everything { Purge::everything() } else { Purge::tags([tag("truth")]) };
        backend.here().purge(&tenant, &what).await.unwrap();
        purged.store(number, Ordering::SeqCst);
        for _ in 0..number % 7 {
            yield_now().await;
        }
    }
    while let Some(filler) = fillers.join_next().await {
        filler.unwrap();
    }
    // What is there at the end is the truth, or nothing, for all.
    let (mut ended, mut last) = (false, None);
    for _ in 0..100 {
        for cache in backend.both() {
            last = usable(&cache.get(&name).await.unwrap());
            ended = last.is_none_or(|seen| seen == PURGES);
        }
        if ended {
            break;
        }
        backend.wait(std::time::Duration::from_millis(20)).await;
    }
    assert!(ended, "{last:?}");
}

fn usable(found: &Found<Entry>) -> Option<u64> {
    let (body, validity) = said(found)?;
    (validity == Validity::Valid).then(|| u64::from_be_bytes(body[..].try_into().unwrap()))
}

/// Long bodies of one byte each: whole, whoever's it is.
pub(crate) async fn of_many_who_write_one_at_a_time_is_read(backend: Backend) {
    let name = backend.name("it");
    let mut writers = JoinSet::new();
    for number in 0..8_u8 {
        let (cache, name) = (backend.both()[usize::from(number % 2)].clone(), name.clone());
        writers.spawn(async move {
            for round in 0..20 {
                let length = if round % 4 == 0 { 100_000 } else { 100 };
                let body = Bytes::from(vec![number; length]);
                let entry = Entry { stamp: Stamp::default(), tags: Vec::new(), body };
                cache.put(&name, Arc::new(entry), HOUR).await.unwrap();
                let found = cache.get(&name).await.unwrap();
                let body = found.value.expect("it is always there").body.clone();
                assert!(body.iter().all(|byte| *byte == body[0]));
                assert!([100, 100_000].contains(&body.len()));
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
}
