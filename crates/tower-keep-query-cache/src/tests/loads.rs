use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
};

use super::*;
use crate::Invalidate;

/// Begins a load that is under way until it is told what to bring.
async fn begin(
    site: &Site,
    key: &QueryKey,
) -> (
    oneshot::Sender<Result<usize, String>>,
    tokio::task::JoinHandle<Result<Fetched<usize>, LoadError<String>>>,
) {
    let (tell, told) = oneshot::channel();
    let (begun, has_begun) = oneshot::channel();
    let (cache, key, class) = (site.cache.clone(), key.clone(), site.class.clone());
    let load = move || async move {
        begun.send(()).unwrap();
        told.await.unwrap()
    };
    let task = tokio::spawn(async move { cache.get_or_load(&key, &class, load).await });
    has_begun.await.unwrap();
    (tell, task)
}

/// Begins to wait for it.
async fn follow(
    site: &Site,
    key: &QueryKey,
    waiting: usize,
) -> JoinSet<Result<Fetched<usize>, LoadError<String>>> {
    let mut tasks = JoinSet::new();
    for _ in 0..waiting {
        let (cache, key, class) = (site.cache.clone(), key.clone(), site.class.clone());
        let loads = Arc::clone(&site.loads);
        let load = move || async move { Ok(100 + loads.fetch_add(1, Ordering::SeqCst)) };
        tasks.spawn(async move { cache.get_or_load(&key, &class, load).await });
    }
    // Each has had its turn, and waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tasks
}

#[tokio::test]
async fn of_many_who_miss_one_loads() {
    let site = Site::new(|class| class);
    let (tell, leader) = begin(&site, &key(1)).await;
    let waiting = follow(&site, &key(1), 200).await;
    tell.send(Ok(7)).unwrap();
    let led = leader.await.unwrap().unwrap();
    assert_eq!((*led.value, led.source), (7, Source::Loaded));
    for told in waiting.join_all().await {
        let told = told.unwrap();
        assert_eq!(told.source, Source::Shared);
        assert!(Arc::ptr_eq(&told.value, &led.value));
    }
    assert_eq!(site.loads(), 0);
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_is_not_kept() {
    let site = Site::new(|class| class);
    let (tell, leader) = begin(&site, &key(1)).await;
    let waiting = follow(&site, &key(1), 20).await;
    tell.send(Err("down".into())).unwrap();
    let LoadError::Loader(error) = leader.await.unwrap().unwrap_err() else { unreachable!() };
    for told in waiting.join_all().await {
        let LoadError::Loader(shared) = told.unwrap_err() else { unreachable!() };
        assert!(Arc::ptr_eq(&shared, &error), "it is the same");
    }
    site.is(&key(1), 0, Source::Loaded).await;
}

#[tokio::test]
async fn when_a_loader_is_dropped_one_of_those_who_wait_loads() {
    let site = Site::new(|class| class);
    let (_tell, leader) = begin(&site, &key(1)).await;
    let waiting = follow(&site, &key(1), 20).await;
    leader.abort();
    let told: Vec<_> = waiting.join_all().await.into_iter().map(|told| *told.unwrap()).collect();
    assert_eq!(told, [100; 20]);
    assert_eq!(site.loads(), 1);
}

#[tokio::test]
async fn when_a_loader_panics_one_of_those_who_wait_loads() {
    let site = Site::new(|class| class);
    let (tell, leader) = begin(&site, &key(1)).await;
    let waiting = follow(&site, &key(1), 20).await;
    // What it waits for is gone.
    drop(tell);
    assert!(leader.await.unwrap_err().is_panic());
    assert_eq!(waiting.join_all().await.len(), 20);
    assert_eq!(site.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_and_not_all_lose_patience_at_once() {
    let site = Site::with(|it| it.patience(SECOND).max_direct_loads(1), |class| class);
    let (tell, leader) = begin(&site, &key(1)).await;
    let waiting = follow(&site, &key(1), 20).await;
    for told in waiting.join_all().await {
        assert_eq!(*told.unwrap(), 100);
    }
    assert_eq!(site.loads(), 1, "who had the second turn found it there");
    tell.send(Ok(7)).unwrap();
    assert_eq!(*leader.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_turn_is_told_so() {
    let site = Site::with(|it| it.patience(SECOND).max_direct_loads(1), |class| class);
    let (_tell, leader) = begin(&site, &key(1)).await;
    let turn = site.cache.keeper.turn().await.unwrap();
    let error = site.count(&key(1)).await.unwrap_err();
    assert!(matches!(error, LoadError::Busy) && error.to_string().contains("too many"));
    drop(turn);
    assert_eq!(site.count(&key(1)).await.unwrap().source, Source::Loaded);
    leader.abort();
}

#[tokio::test]
async fn another_type_under_the_same_key_is_loaded_by_itself() {
    let site = Site::new(|class| class);
    site.is(&key(1), 0, Source::Loaded).await;
    let load = || async { Ok::<_, String>("text".to_owned()) };
    let text = site.cache.get_or_load(&key(1), &site.class, load).await.unwrap();
    assert_eq!((&**text, text.source), ("text", Source::Loaded));
    let (tell, leader) = begin(&site, &key(1)).await;
    let (cache, class) = (site.cache.clone(), site.class.clone());
    let other =
        tokio::spawn(async move { cache.get_or_load(&key(1), &class, load).await.unwrap() });
    tokio::task::yield_now().await;
    tell.send(Ok(7)).unwrap();
    leader.await.unwrap().unwrap();
    assert_eq!(&**other.await.unwrap(), "text");
}

#[tokio::test]
async fn what_was_invalidated_while_it_was_loaded_is_for_those_who_asked_before() {
    for what in [
        Invalidate::Key(&key(1)),
        Invalidate::Tag("tag"),
        Invalidate::Type("thing"),
        Invalidate::Everything,
    ] {
        let site = Site::new(|class| class.stale_if_error(SECOND).stale_while_revalidate(SECOND));
        let key = key(1).tag("tag");
        let (tell, leader) = begin(&site, &key).await;
        site.cache.invalidate(&acme(), what).await.unwrap();
        let late = follow(&site, &key, 20).await;
        tell.send(Ok(7)).unwrap();
        assert_eq!(*leader.await.unwrap().unwrap(), 7, "{what:?}");
        for told in late.join_all().await {
            assert_eq!(*told.unwrap(), 100, "{what:?}");
        }
        site.is(&key, 100, Source::Near).await;
        assert_eq!(site.loads(), 1);
    }
}

/// One asks for the same thing by fewer tags than another.
#[tokio::test]
async fn what_was_kept_without_a_tag_does_not_outlive_its_invalidation() {
    type Add = fn(QueryKey) -> QueryKey;
    for (add, what) in [
        ((|key| key.tag("tag")) as Add, Invalidate::Tag("tag")),
        (|key| key.of_type("kind"), Invalidate::Type("kind")),
    ] {
        let tagged = add(key(1));
        let site = Site::new(|class| class);
        site.is(&key(1), 0, Source::Loaded).await;
        site.is(&tagged, 1, Source::Loaded).await;
        // What has more will do.
        site.is(&key(1), 1, Source::Near).await;
        site.is(&tagged, 1, Source::Near).await;
        site.cache.invalidate(&acme(), what).await.unwrap();
        site.is(&key(1), 2, Source::Loaded).await;
        assert!(site.cache.get::<usize>(&tagged).await.unwrap().is_none());
        // Nor is it shared.
        let (tell, leader) = begin(&site, &key(2)).await;
        let waiting = follow(&site, &add(key(2)), 5).await;
        tell.send(Ok(7)).unwrap();
        leader.await.unwrap().unwrap();
        for told in waiting.join_all().await {
            assert_eq!(*told.unwrap(), 103);
        }
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_invalidated() {
    let site = Site::new(|class| class);
    let globex = TenantId::new("globex").unwrap();
    let key = key(1).tag("tag");
    site.is(&key, 0, Source::Loaded).await;
    for what in [Invalidate::Key(&key), Invalidate::Tag("tag"), Invalidate::Everything] {
        site.cache.invalidate(&globex, what).await.unwrap();
    }
    let other =
        [Invalidate::Tag("thing"), Invalidate::Type("tag"), Invalidate::Key(&super::key(2))];
    site.cache.invalidate_all(&acme(), other).await.unwrap();
    site.is(&key, 0, Source::Near).await;
}

/// A thousand times a value is changed and invalidated while it is loaded and read; nobody who asks
/// afterwards sees what it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stale_is_seen_after_an_invalidation() {
    let site = Arc::new(Site::new(|class| class));
    let database = Arc::new(AtomicUsize::new(0));
    let read = {
        let (site, database) = (Arc::clone(&site), Arc::clone(&database));
        move || {
            let (site, database) = (Arc::clone(&site), Arc::clone(&database));
            async move {
                let load = move || async move {
                    let value = database.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok::<_, String>(value)
                };
                *site.cache.get_or_load(&key(1), &site.class, load).await.unwrap().value
            }
        }
    };
    let stop = Arc::new(Notify::new());
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (read, stop) = (read.clone(), Arc::clone(&stop));
        readers.spawn(async move {
            let stopped = stop.notified();
            tokio::pin!(stopped);
            loop {
                tokio::select! {
                    biased;
                    () = &mut stopped => return,
                    _ = read() => {}
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 1..=1000 {
        database.store(round, Ordering::SeqCst);
        site.cache.invalidate(&acme(), Invalidate::Key(&key(1))).await.unwrap();
        assert_eq!(read().await, round);
    }
    readers.abort_all();
}
