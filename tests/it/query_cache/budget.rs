//! What each thing costs in commands.

use std::time::Duration;

use tower_keep_query_cache::{Invalidate, Source};

use super::place::{Place, class, key, tenant};
use crate::{cache_redis::process::sent, limit_store::site::Kind};

#[tokio::test]
async fn each_thing_costs_no_more_than_it_must() {
    for kind in Kind::ALL {
        let place = Place::start(kind).await;
        let site = place.site.as_ref().unwrap();
        // Scripts are known, and a tenant's generations are there.
        place.one.cache.invalidate(&tenant("acme"), Invalidate::Tag("x")).await.unwrap();
        place.one.load(&key(0), 0).await;
        place.one.is_stored(&key(0), 0).await;
        place.other.load(&key(0), 0).await;
        let mut monitor = site.monitor().await;
        // So many commands are sent, sooner or later. How often generations are read depends on time.
        let mut sorted = async |count: usize| {
            let mut all: Vec<String> = Vec::new();
            for _ in 0..200 {
                all.extend(sent(&mut monitor).await.into_iter().filter(|name| name != "HMGET"));
                if all.len() >= count {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            all.extend(sent(&mut monitor).await.into_iter().filter(|name| name != "HMGET"));
            all.sort();
            all
        };
        sorted(0).await;

        assert_eq!(place.one.load(&key(1), 1).await.1, Source::Loaded);
        assert_eq!(sorted(2).await, ["GETRANGE", "SET"], "a miss");
        for _ in 0..50 {
            assert_eq!(place.one.load(&key(1), 1).await.1, Source::Near);
        }
        assert!(sorted(0).await.is_empty(), "a near hit");
        assert_eq!(place.other.load(&key(1), 1).await.1, Source::Store);
        assert_eq!(sorted(1).await, ["GETRANGE"], "a hit");
        place.one.cache.invalidate(&tenant("acme"), Invalidate::Type("nothing")).await.unwrap();
        assert_eq!(sorted(1).await, ["EVALSHA"], "an invalidation");

        let keys = || (0..20_u64).map(|id| (id, key(format_args!("many-{id}"))));
        let load =
            |ids: Vec<u64>| async move { Ok::<_, String>(ids.into_iter().map(|id| (id, id))) };
        let found = place.one.cache.get_many_or_load(keys(), &class(), load).await.unwrap();
        assert!(found.iter().all(|sought| sought.source == Source::Loaded));
        let (gets, at_once): (_, &[&str]) = match kind {
            Kind::Single(_) => (1, &["MGET"]),
            Kind::Clustered(_) => (20, &["GETRANGE"]),
        };
        let mut expected: Vec<&str> = at_once.iter().copied().cycle().take(gets).collect();
        expected.extend(["SET"; 20]);
        assert_eq!(sorted(expected.len()).await, expected, "twenty misses");
        let found = place.other.cache.get_many_or_load(keys(), &class(), load).await.unwrap();
        assert!(found.iter().all(|sought| sought.source == Source::Store));
        assert_eq!(sorted(gets).await, expected[..gets], "twenty hits");
        let found = place.other.cache.get_many_or_load(keys(), &class(), load).await.unwrap();
        assert!(found.iter().all(|sought| sought.source == Source::Near));
        assert!(sorted(0).await.is_empty(), "twenty near hits");
    }
}
