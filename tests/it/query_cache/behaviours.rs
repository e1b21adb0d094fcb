//! What holds wherever values are kept.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tower_keep_query_cache::{Invalidate, QueryKey, Sought, Source, TtlClass};
use tower_keep_tests::{prompt_once, wait_until};

use super::place::{MINUTE, PATIENT, Place, class, key, tenant};

#[tokio::test]
async fn each_holds_in_each_place() {
    for place in Place::all().await {
        read_through(&place).await;
        tenants_never_meet(&place).await;
        invalidation(&place).await;
        nothing_there(&place).await;
        stale(&place).await;
        several(&place).await;
        put_get_remove(&place).await;
        println!("{}: holds", place.name);
    }
}

/// What is found where others have put it.
fn elsewhere(place: &Place) -> Source {
    if place.is_shared() { Source::Store } else { Source::Near }
}

async fn read_through(place: &Place) {
    let Place { one, other, .. } = place;
    let query = QueryKey::query(&tenant("acme"), "select ?1", &("a", 7)).unwrap();
    for key in [key("read"), query] {
        assert_eq!(one.load(&key, 1).await, (1, Source::Loaded));
        assert_eq!(one.load(&key, 2).await, (1, Source::Near));
        one.is_stored(&key, 1).await;
        assert_eq!(other.load(&key, 3).await, (1, elsewhere(place)));
        assert_eq!(other.load(&key, 4).await, (1, Source::Near));
    }
}

async fn tenants_never_meet(place: &Place) {
    let Place { one, other, .. } = place;
    let keys = |name: &str| {
        let tenant = tenant(name);
        [QueryKey::named(&tenant, "meet", 1), QueryKey::query(&tenant, "select meet", &1).unwrap()]
    };
    // Also a name that looks like another's key.
    for (number, name) in (0_u64..).zip(["acme", "globex", "acme:meet", "~none", "ac", "a"]) {
        for (at, key) in (0_u64..).zip(keys(name)) {
            assert_eq!(one.load(&key, 10 * number + at).await.1, Source::Loaded, "{name}");
        }
    }
    for (number, name) in (0_u64..).zip(["acme", "globex", "acme:meet", "~none", "ac", "a"]) {
        for (at, key) in (0_u64..).zip(keys(name)) {
            for process in [one, other] {
                let (value, _) = process.load(&key, 10 * number + at).await;
                assert_eq!(value, 10 * number + at, "{name}");
            }
        }
    }
}

/// How long after an invalidation the other process gives the new value; it never gives the old one
/// again after that.
async fn seen_after(place: &Place, key: &QueryKey, what: Invalidate<'_>, round: u64) -> Duration {
    let Place { one, other, .. } = place;
    assert_eq!(one.load(key, round).await, (round, Source::Loaded));
    one.is_stored(key, round).await;
    let _ = other.load(key, round).await;
    assert_eq!(other.load(key, round).await.1, Source::Near);
    one.cache.invalidate(key.tenant(), what).await.unwrap();
    let begun = Instant::now();
    assert_eq!(one.load(key, round + 1).await, (round + 1, Source::Loaded), "{what:?}");
    loop {
        if other.load(key, round + 1).await.0 == round + 1 {
            break;
        }
        assert!(begun.elapsed() < PATIENT, "{what:?} is not seen");
        // What is near is given at once: others must have their turn.
        tokio::task::yield_now().await;
    }
    begun.elapsed()
}

async fn invalidation(place: &Place) {
    let key = key("gone").of_type("kind").tag("tag");
    let untouched = super::place::key("untouched");
    let foreign = QueryKey::named(&tenant("globex"), "thing", "gone").of_type("kind").tag("tag");
    place.one.load(&untouched, 7).await;
    place.one.load(&foreign, 7).await;
    let mut round = 0;
    for what in [
        Invalidate::Key(&key),
        Invalidate::Tag("tag"),
        Invalidate::Type("kind"),
        Invalidate::Everything,
    ] {
        prompt_once(async || {
            round += 2;
            let after = seen_after(place, &key, what, round).await;
            println!("{}: {what:?} seen elsewhere after {after:?}", place.name);
            // What is loaded for this round is another value than the last one's.
            place.one.cache.invalidate(key.tenant(), Invalidate::Key(&key)).await.unwrap();
            after < Duration::from_millis(100)
        })
        .await;
        let others = if matches!(what, Invalidate::Everything) { 8 } else { 7 };
        assert_eq!(place.one.load(&untouched, 8).await.0, others, "{what:?}");
        assert_eq!(place.one.load(&foreign, 8).await.0, 7, "{what:?}");
    }
}

async fn find(
    process: &super::place::Process,
    key: &QueryKey,
    class: &TtlClass,
    value: Option<u64>,
) -> Sought<u64> {
    let load = move || async move { Ok::<_, String>(value) };
    process.cache.find_or_load(key, class, load).await.unwrap()
}

async fn nothing_there(place: &Place) {
    let Place { one, other, .. } = place;
    let class = class().negative(MINUTE);
    let key = key("nothing");
    assert_eq!(find(one, &key, &class, None).await.source, Source::Loaded);
    assert_eq!(
        find(one, &key, &class, Some(1)).await,
        Sought { value: None, source: Source::Near }
    );
    let seen = wait_until(PATIENT, || async {
        find(other, &key, &class, None).await.source != Source::Loaded
    });
    assert!(seen.await);
    assert_eq!(find(other, &key, &class, Some(1)).await.value, None);
    one.clock.advance(MINUTE);
    assert_eq!(*find(one, &key, &class, Some(1)).await.value.unwrap(), 1);
}

async fn stale(place: &Place) {
    let Place { one, .. } = place;
    let class = class().stale_while_revalidate(MINUTE).stale_if_error(10 * MINUTE);
    let key = key("stale");
    let fail = async || {
        let load = || async { Err::<u64, _>("down".to_owned()) };
        one.cache.get_or_load(&key, &class, load).await
    };
    assert_eq!(one.load_as(&key, &class, 1).await, (1, Source::Loaded));
    one.is_stored(&key, 1).await;
    one.clock.advance(MINUTE + Duration::from_secs(1));
    // Who loaded it may share it a moment longer.
    let stale =
        wait_until(PATIENT, || async { one.load_as(&key, &class, 2).await == (1, Source::Stale) });
    assert!(stale.await);
    let anew = wait_until(PATIENT, || async { one.load_as(&key, &class, 2).await.0 == 2 });
    assert!(anew.await, "it was not loaded anew");
    one.is_stored(&key, 2).await;
    one.clock.advance(5 * MINUTE);
    let stale = || async {
        let fetched = fail().await.unwrap();
        (*fetched.value, fetched.source) == (2, Source::Stale)
    };
    assert!(wait_until(PATIENT, stale).await, "in place of an error");
    one.cache.invalidate(&tenant("acme"), Invalidate::Key(&key)).await.unwrap();
    assert!(fail().await.is_err(), "what was invalidated stands in for nothing");
}

async fn several(place: &Place) {
    let Place { one, other, .. } = place;
    let ask = async |process: &super::place::Process, ids: &[u64]| {
        let keys = ids.iter().map(|id| (*id, key(format_args!("several-{id}"))));
        let mut calls = Vec::new();
        let load = |ids: Vec<u64>| {
            calls.push(ids.clone());
            let there = ids.into_iter().filter(|id| *id < 1000).map(|id| (id, id * 10));
            let there: HashMap<_, _> = there.collect();
            async move { Ok::<_, String>(there) }
        };
        let found = process.cache.get_many_or_load(keys, &class(), load).await.unwrap();
        let values = found.iter().map(|sought| sought.value.as_deref().copied());
        (values.collect::<Vec<_>>(), found.iter().map(|it| it.source).collect::<Vec<_>>(), calls)
    };
    let (values, _, calls) = ask(one, &[3, 1, 2, 3]).await;
    assert_eq!(values, [Some(30), Some(10), Some(20), Some(30)]);
    assert_eq!(calls, [[3, 1, 2]]);
    for id in 1..=3 {
        one.is_stored(&key(format_args!("several-{id}")), id * 10).await;
    }
    let (values, sources, calls) = ask(other, &[1, 5, 3, 2, 1000]).await;
    assert_eq!(values, [Some(10), Some(50), Some(30), Some(20), None]);
    assert_eq!(calls, [[5, 1000]], "in one call");
    let there = elsewhere(place);
    assert_eq!(sources, [there, Source::Loaded, there, there, Source::Loaded]);
    assert_eq!(ask(other, &[2, 1]).await.1, [Source::Near; 2]);
    // More than one command takes.
    let many: Vec<u64> = (100..700).collect();
    assert_eq!(ask(one, &many).await.2.len(), 1);
    one.is_stored(&key("several-699"), 6990).await;
    let values = ask(other, &many).await.0;
    assert!(values.iter().zip(&many).all(|(value, id)| *value == Some(id * 10)));
}

async fn put_get_remove(place: &Place) {
    let Place { one, other, .. } = place;
    let key = key("put");
    one.cache.put(&key, &class(), "a".to_owned()).await.unwrap();
    let got = other.cache.get::<String>(&key).await.unwrap().unwrap();
    assert_eq!((&**got, got.source), ("a", elsewhere(place)));
    assert!(other.cache.get::<u64>(&key).await.unwrap().is_none(), "of another type");
    one.cache.remove(&key).await.unwrap();
    assert!(one.cache.get::<String>(&key).await.unwrap().is_none());
    let gone = || async { other.cache.get::<String>(&key).await.unwrap().is_none() };
    assert!(wait_until(PATIENT, gone).await);
}
