use std::collections::HashMap;

use super::*;
use crate::{Invalidate, Sought};

fn keys(ids: &[u32]) -> Vec<(u32, QueryKey)> {
    ids.iter().map(|id| (*id, key(*id))).collect()
}

/// Asks for these; the loader brings ten times the id of each that is under 100.
async fn ask(site: &Site, ids: &[u32]) -> (Vec<Option<u32>>, Vec<Source>, Vec<Vec<u32>>) {
    let mut calls = Vec::new();
    let load = |ids: Vec<u32>| {
        calls.push(ids.clone());
        async move {
            let there = ids.into_iter().filter(|id| *id < 100);
            Ok::<_, String>(there.map(|id| (id, id * 10)).collect::<HashMap<_, _>>())
        }
    };
    let found = site.cache.get_many_or_load(keys(ids), &site.class, load).await.unwrap();
    let values = found.iter().map(|sought| sought.value.as_deref().copied()).collect();
    (values, found.iter().map(|sought| sought.source).collect(), calls)
}

#[tokio::test]
async fn several_come_in_their_order_and_one_call_loads_what_is_missing() {
    let site = Site::new(|class| class);
    let (values, sources, calls) = ask(&site, &[3, 1]).await;
    assert_eq!((values, calls), (vec![Some(30), Some(10)], vec![vec![3, 1]]));
    assert_eq!(sources, [Source::Loaded; 2]);
    let (values, sources, calls) = ask(&site, &[5, 1, 4, 3, 1, 5]).await;
    assert_eq!(values, [Some(50), Some(10), Some(40), Some(30), Some(10), Some(50)]);
    assert_eq!(calls, [[5, 4]], "each once");
    let (near, loaded) = (Source::Near, Source::Loaded);
    assert_eq!(sources, [loaded, near, loaded, near, near, loaded]);
    assert_eq!(ask(&site, &[]).await, (vec![], vec![], vec![]));
    assert!(ask(&site, &[1, 3, 4, 5]).await.2.is_empty());
}

#[tokio::test]
async fn what_the_loader_does_not_bring_is_not_there() {
    let site = Site::new(|class| class);
    assert_eq!(ask(&site, &[1, 100]).await.0, [Some(10), None]);
    assert_eq!(ask(&site, &[1, 100]).await.2, [[100]]);
    let site = Site::new(|class| class.negative(SECOND));
    assert_eq!(ask(&site, &[1, 100]).await.0, [Some(10), None]);
    assert!(ask(&site, &[100]).await.2.is_empty());
    site.clock.advance(SECOND);
    assert_eq!(ask(&site, &[1, 100]).await.2, [[100]]);
}

#[tokio::test]
async fn what_somebody_else_loads_is_waited_for() {
    let site = Site::new(|class| class);
    let (tell, told) = tokio::sync::oneshot::channel();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (cache, class) = (site.cache.clone(), site.class.clone());
    let other = tokio::spawn(async move {
        let load = move || async move {
            begun.send(()).unwrap();
            Ok::<u32, String>(told.await.unwrap())
        };
        cache.get_or_load(&key(1), &class, load).await.unwrap()
    });
    has_begun.await.unwrap();
    let asking = ask(&site, &[2, 1]);
    tokio::pin!(asking);
    for _ in 0..50 {
        let waiting = tokio::select! {
            biased;
            _ = &mut asking => false,
            () = tokio::task::yield_now() => true,
        };
        assert!(waiting);
    }
    tell.send(7).unwrap();
    let (values, sources, calls) = asking.await;
    assert_eq!((values, calls), (vec![Some(20), Some(7)], vec![vec![2]]));
    assert_eq!(sources, [Source::Loaded, Source::Shared]);
    other.await.unwrap();
}

#[tokio::test]
async fn what_others_did_not_bring_is_loaded_after_all() {
    let site = Site::new(|class| class);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (cache, class) = (site.cache.clone(), site.class.clone());
    let other = tokio::spawn(async move {
        let load = move || async move {
            begun.send(()).unwrap();
            std::future::pending::<Result<u32, String>>().await
        };
        cache.get_or_load(&key(1), &class, load).await
    });
    has_begun.await.unwrap();
    let (asked, ()) = tokio::join!(ask(&site, &[2, 1]), async {
        tokio::task::yield_now().await;
        other.abort();
    });
    assert_eq!(asked.0, [Some(20), Some(10)]);
    assert_eq!(asked.2, [[2], [1]]);
}

#[tokio::test]
async fn if_loading_fails_what_is_stale_stands_in_for_all_or_all_fails() {
    let site = Site::new(|class| class.stale_if_error(50 * SECOND));
    ask(&site, &[1, 2]).await;
    site.clock.advance(120 * SECOND);
    let fail = async |ids: &[u32]| {
        let load = |_| async { Err::<Vec<(u32, u32)>, _>("down".to_owned()) };
        site.cache.get_many_or_load(keys(ids), &site.class, load).await
    };
    let stale = fail(&[2, 1]).await.unwrap();
    let expected = |value| Sought { value: Some(Arc::new(value)), source: Source::Stale };
    assert_eq!(stale, [expected(20), expected(10)]);
    assert_eq!(fail(&[1, 3]).await.unwrap_err().loader().unwrap(), "down");
    assert_eq!(ask(&site, &[1]).await.1, [Source::Loaded]);
}

#[tokio::test]
async fn what_is_invalidated_while_several_are_loaded_is_not_kept() {
    let site = Site::new(|class| class);
    let cache = site.cache.clone();
    let load = |ids: Vec<u32>| {
        let cache = cache.clone();
        async move {
            cache.invalidate(&acme(), Invalidate::Key(&key(2))).await.unwrap();
            Ok::<_, String>(ids.into_iter().map(|id| (id, id)))
        }
    };
    let found = site.cache.get_many_or_load(keys(&[1, 2]), &site.class, load).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(ask(&site, &[1, 2]).await.2, [[2]]);
}
