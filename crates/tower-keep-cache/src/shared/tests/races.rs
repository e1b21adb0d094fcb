use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::yield_now;

use super::*;

#[tokio::test]
async fn what_was_on_its_way_when_it_was_purged_is_not_used() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "a").await;
    process.fake.wire.delay();
    let reading = process.reads();
    yield_now().await;
    // Its answer was made, and is on its way.
    process.fake.wire.trips();
    let other = Process::new(&server);
    other.cache.purge(&tenant(), &Purge::everything()).await.unwrap();
    process.fake.wire.release(1);
    assert_eq!(reading.await.unwrap(), is("a", Validity::Gone));
}

#[tokio::test]
async fn nor_if_the_tenant_was_forgotten_meanwhile() {
    let server: Arc<Server> = Arc::default();
    let (fake, other) = (server.connect(), Process::new(&server));
    other.fill(&name(), "a").await;
    let settings = CacheBuilder::new().clock(other.clock.clone());
    let shared = Shared::<Page>::new(&settings, Arc::new(fake.clone())).unwrap();
    let begun = shared.get(&name(), true).await.unwrap();
    assert_eq!(judged(&begun), is("a", Validity::Valid));
    let copy = shared.copies.of(&tenant());
    fake.wire.delay();
    let reading = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { judged(&shared.get(&name(), true).await.unwrap()) }
    });
    yield_now().await;
    for number in 0..20_000 {
        let tenant = TenantId::new(format!("t{number}")).unwrap();
        // What is used again takes the place of what was.
        for _ in 0..3 {
            shared.copies.of(&tenant);
        }
    }
    assert!(copy.is_retired());
    fake.wire.delay_no_more();
    shared.purge(&tenant(), &Purge::everything()).await.unwrap();
    fake.wire.release(1);
    assert_eq!(reading.await.unwrap(), is("a", Validity::Gone));
}

#[tokio::test]
async fn the_first_reading_of_all_is_not_relied_on_if_a_purge_was_heard_meanwhile() {
    let server = Arc::default();
    let (process, other) = (Process::new(&server), Process::new(&server));
    other.fill(&name(), "a").await;
    process.fake.wire.delay();
    let reading = tokio::spawn({
        let cache = process.cache.clone();
        async move { cache.get(&name()).await.unwrap() }
    });
    yield_now().await;
    other.cache.purge(&tenant(), &Purge::everything()).await.unwrap();
    process.fake.wire.release(100);
    // Nobody knew of the purge when this was read; but it is not used again.
    assert_eq!(judged(&reading.await.unwrap()), is("a", Validity::Valid));
    assert_eq!(process.peek(&name()), None);
    assert_eq!(process.get(&name()).await, is("a", Validity::Gone));
}

#[tokio::test]
async fn what_was_on_its_way_when_it_was_removed_is_not_kept() {
    let server = Arc::default();
    let (process, other) = (Process::new(&server), Process::new(&server));
    other.fill(&name(), "a").await;
    process.fake.wire.delay();
    let reading = process.reads();
    yield_now().await;
    other.cache.remove(&name()).await.unwrap();
    process.fake.wire.release(1);
    assert_eq!(reading.await.unwrap(), is("a", Validity::Valid));
    assert_eq!(process.peek(&name()), None);
}

#[tokio::test]
async fn what_was_on_its_way_across_a_gap_is_not_kept() {
    let server = Arc::default();
    let (process, other) = (Process::new(&server), Process::new(&server));
    other.fill(&name(), "a").await;
    process.fake.wire.delay();
    let reading = process.reads();
    yield_now().await;
    process.fake.wire.set_live(false);
    other.cache.remove(&name()).await.unwrap();
    process.fake.wire.set_live(true);
    process.fake.wire.release(2);
    assert_eq!(reading.await.unwrap(), is("a", Validity::Valid));
    // The generations are known again, but of the removal nobody was told.
    process.cache.generations(&tenant()).await.unwrap();
    assert_eq!(process.peek(&name()), None);
}

#[tokio::test]
async fn a_purge_holds_here_though_its_message_is_still_on_its_way() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "a").await;
    process.fake.wire.hold_back();
    process.cache.purge(&tenant(), &Purge::tags([tag()])).await.unwrap();
    assert_eq!(process.peek(&name()), is("a", Validity::Gone));
    process.fake.wire.let_go(|_| true);
    assert_eq!(process.peek(&name()), is("a", Validity::Gone));
}

#[tokio::test]
async fn what_was_put_meanwhile_is_newer_than_what_was_on_its_way() {
    let server = Arc::default();
    let process = Process::new(&server);
    process.fill(&name(), "old").await;
    let stamp = process.cache.generations(&tenant()).await.unwrap().stamp();
    process.fake.wire.delay();
    let reading = process.reads();
    yield_now().await;
    let page = Page { stamp, body: Bytes::from_static(b"new") };
    let putting = process.cache.put(&name(), Arc::new(page), MINUTE);
    process.fake.wire.release(2);
    putting.await.unwrap();
    assert_eq!(reading.await.unwrap(), is("old", Validity::Valid));
    assert_eq!(process.peek(&name()), is("new", Validity::Valid));
}

/// The truth is a number. Fillers store what it is, readers never see one from before a purge that
/// had returned when they began.
async fn never_stale(processes: Vec<Cache<Page>>) {
    const PURGES: u64 = 1000;
    let truth = Arc::new(AtomicU64::new(0));
    let purged = Arc::new(AtomicU64::new(0));
    let hits = Arc::new(AtomicU64::new(0));
    let mut fillers = tokio::task::JoinSet::new();
    for cache in processes.iter().chain(&processes) {
        let (cache, truth, purged) = (cache.clone(), Arc::clone(&truth), Arc::clone(&purged));
        let hits = Arc::clone(&hits);
        fillers.spawn(async move {
            while purged.load(Ordering::SeqCst) < PURGES {
                let at_least = purged.load(Ordering::SeqCst);
                let found = match cache.peek(&name()).filter(|found| usable(found).is_some()) {
                    Some(found) => found,
                    None => cache.get(&name()).await.unwrap(),
                };
                if let Some(number) = usable(&found) {
                    hits.fetch_add(1, Ordering::SeqCst);
                    assert!(number >= at_least, "{number} after {at_least}");
                } else {
                    let stamp = found.generations.stamp();
                    yield_now().await;
                    let number = truth.load(Ordering::SeqCst);
                    yield_now().await;
                    let page = Page { stamp, body: number.to_be_bytes().to_vec().into() };
                    cache.put(&name(), Arc::new(page), MINUTE).await.unwrap();
                }
                yield_now().await;
            }
        });
    }
    let cache = &processes[0];
    for number in 1..=PURGES {
        truth.store(number, Ordering::SeqCst);
        let what = if number % 5 == 0 { Purge::everything() } else { Purge::tags([tag()]) };
        cache.purge(&tenant(), &what).await.unwrap();
        purged.store(number, Ordering::SeqCst);
        for _ in 0..number % 7 {
            yield_now().await;
        }
        // However the tasks are scheduled, something is used between two purges now and then.
        let used = hits.load(Ordering::SeqCst);
        while number % 20 == 0 && number < PURGES && hits.load(Ordering::SeqCst) == used {
            yield_now().await;
        }
    }
    while let Some(filler) = fillers.join_next().await {
        filler.unwrap();
    }
}

fn usable(found: &Found<Page>) -> Option<u64> {
    let page = found.value.as_ref()?;
    let valid = found.generations.judge(page.stamp, [tag()]) == Validity::Valid;
    valid.then(|| u64::from_be_bytes(page.body[..].try_into().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purge_while_many_fill_leaves_nothing_stale_in_memory() {
    let cache = CacheBuilder::new().memory().build().unwrap();
    never_stale(vec![cache.clone(), cache]).await;
}

/// All hear of each purge before it returns: what the bus takes is no matter of the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purge_while_many_fill_leaves_nothing_stale_on_a_shared_store() {
    let server = Arc::default();
    let processes: Vec<Process> = (0..3).map(|_| Process::new(&server)).collect();
    never_stale(processes.iter().map(|process| process.cache.clone()).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purge_while_many_fill_leaves_nothing_stale_without_the_bus() {
    let server = Arc::default();
    let processes: Vec<Process> = (0..3).map(|_| Process::new(&server)).collect();
    for process in &processes {
        process.fake.wire.set_live(false);
    }
    never_stale(processes.iter().map(|process| process.cache.clone()).collect()).await;
}
