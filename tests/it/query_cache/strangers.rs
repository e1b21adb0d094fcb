//! What is under a key and was not put there for it.

use serde::{Deserialize, Serialize};
use tower_keep_query_cache::{QueryKey, Source};

use tower_keep_tests::Value;

use super::place::{Place, Process, class, key, tenant};
use crate::limit_store::site::Kind;

#[tokio::test]
async fn foreign_bytes_are_a_miss_and_are_replaced() {
    for kind in Kind::ALL {
        let place = Place::start(kind).await;
        let site = place.site.as_ref().unwrap();
        place.one.load(&key("good"), 1).await;
        place.one.is_stored(&key("good"), 1).await;
        let good = site.command(&["GET", &key("good").spell()]).await;
        let Value::Bulk(Some(good)) = good else { panic!("{good:?}") };
        let mut changed = good.clone();
        *changed.last_mut().unwrap() ^= 0xff;
        let strange: [Vec<u8>; 7] = [
            b"".into(),
            b"anything".into(),
            good[..good.len() / 2].into(),
            // Somebody else's entry.
            good.clone(),
            [good.as_slice(), b"more"].concat(),
            [b"tk".as_slice(), &[0xff; 100]].concat(),
            vec![0; 200_000],
        ];
        for (number, bytes) in (0_u64..).zip(&strange) {
            let key = key(format_args!("bad-{number}"));
            site.command(&[b"SET", key.spell().as_bytes(), bytes.as_slice()]).await;
            assert_eq!(place.one.load(&key, number).await, (number, Source::Loaded));
            place.one.is_stored(&key, number).await;
            assert_eq!(place.other.load(&key, 99).await, (number, Source::Store));
        }
        let list = key("list");
        site.command(&["LPUSH", &list.spell(), "a", "b"]).await;
        assert_eq!(place.one.load(&list, 5).await, (5, Source::Loaded));
        let load = async |_| Ok::<_, String>([(1, 6_u64)]);
        let keys = [(1, list.clone())];
        let found = place.other.cache.get_many_or_load(keys, &class(), load).await.unwrap();
        assert!(matches!(found[0].value.as_deref(), Some(5 | 6)));
    }
}

#[tokio::test]
async fn two_queries_with_the_same_hash_are_each_others_miss() {
    for kind in Kind::SINGLE {
        let place = Place::start(kind).await;
        let key = |query: &str| {
            let key = QueryKey::query(&tenant("acme"), query, &()).unwrap();
            key.with_digest(*b"the same md5 sum")
        };
        let (a, b) = (key("a"), key("b"));
        assert_eq!(a.spell(), b.spell());
        assert_eq!(place.one.load(&a, 1).await, (1, Source::Loaded));
        place.one.is_stored(&a, 1).await;
        assert_eq!(place.other.load(&b, 2).await, (2, Source::Loaded));
        place.other.is_stored(&b, 2).await;
        let third = Process::at(&place.site.as_ref().unwrap().url()).await;
        assert_eq!(third.load(&a, 3).await, (3, Source::Loaded));
        third.is_stored(&a, 3).await;
        for process in [&place.one, &place.other] {
            // Near copies are by the whole name.
            assert!([1, 3].contains(&process.load(&a, 3).await.0));
            assert!([2, 4].contains(&process.load(&b, 4).await.0));
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    born: u16,
}

/// As when half of the processes are of a new version.
#[tokio::test]
async fn a_value_that_cannot_be_read_any_more_is_a_miss() {
    let place = Place::start(Kind::SINGLE[0]).await;
    let (old, new) = (&place.one.cache, &place.other.cache);
    let key = key("versions");
    old.put(&key, &class(), Old { name: "Ada".into() }).await.unwrap();
    assert_eq!(new.get::<New>(&key).await.unwrap(), None);
    let load = || async { Ok::<_, String>(New { name: "Ada".into(), born: 1815 }) };
    let fetched = new.get_or_load(&key, &class(), load).await.unwrap();
    assert_eq!(fetched.source, Source::Loaded);
    let put = New { name: "Ada".into(), born: 1815 };
    new.put(&key, &class(), put).await.unwrap();
    // What has more than is wanted can be read.
    let old = old.get::<Old>(&key).await.unwrap().unwrap();
    assert_eq!(old.name, "Ada");
}
