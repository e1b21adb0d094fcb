use tokio::time::{Instant, sleep};

use super::*;
use crate::LeaseToken;

fn leasing(server: &Arc<Server>) -> Process {
    Process::with(server, |builder| builder.fill_lease(Some(Duration::from_secs(5))))
}

async fn lease(process: &Process) -> Lease {
    process.cache.get(&name()).await.unwrap().lease
}

fn ours(lease: &Lease) -> LeaseToken {
    match lease {
        Lease::Ours(token) => *token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_makes_it_and_the_others_are_told_so() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let found = one.cache.get(&name()).await.unwrap();
    ours(&found.lease);
    assert_eq!(lease(&other).await, Lease::Theirs);
    assert_eq!(other.peek(&name()), None);
    one.put(&name(), found.generations.stamp(), "a").await;
    assert_eq!(other.get(&name()).await, is("a", Validity::Valid));
    assert!(matches!(lease(&other).await, Lease::Taken(_)));
}

#[tokio::test]
async fn what_is_of_no_use_any_more_makes_room_for_one() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let found = one.cache.get(&name()).await.unwrap();
    one.put(&name(), found.generations.stamp(), "a").await;
    one.cache.purge(name().tenant(), &Purge::everything()).await.unwrap();
    let (first, second) = (one.cache.get(&name()).await, other.cache.get(&name()).await);
    let first = one.cache.claim(&name(), first.unwrap()).await;
    ours(&first.lease);
    assert!(first.value.is_some(), "what was found is still known");
    // Who comes second waits.
    let second = other.cache.claim(&name(), second.unwrap()).await;
    assert_eq!(second.lease, Lease::Theirs);
    assert_eq!(lease(&other).await, Lease::Theirs);
    one.put(&name(), first.generations.stamp(), "b").await;
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
}

#[tokio::test]
async fn what_another_has_made_meanwhile_is_left_alone() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let found = one.cache.get(&name()).await.unwrap();
    one.put(&name(), found.generations.stamp(), "a").await;
    one.cache.purge(name().tenant(), &Purge::everything()).await.unwrap();
    let old = other.cache.get(&name()).await.unwrap();
    let stamp = one.cache.get(&name()).await.unwrap().generations.stamp();
    one.put(&name(), stamp, "b").await;
    assert_eq!(other.cache.claim(&name(), old).await.lease, Lease::Theirs);
    assert_eq!(other.get(&name()).await, is("b", Validity::Valid));
    // Nothing is claimed of what was found nowhere, or while the store does not answer.
    let nowhere = Name::new(name().tenant(), "nowhere");
    let found = other.cache.get(&nowhere).await.unwrap();
    let token = ours(&found.lease);
    assert_eq!(other.cache.claim(&nowhere, found).await.lease, Lease::Ours(token));
    let found = other.cache.get(&name()).await.unwrap();
    other.fake.wire.set_failing(true);
    assert_eq!(other.cache.claim(&name(), found).await.lease, Lease::None);
}

#[tokio::test]
async fn who_does_not_make_it_gives_it_back() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let token = ours(&lease(&one).await);
    one.cache.release(&name(), token).await.unwrap();
    let theirs = ours(&lease(&other).await);
    // That of another is not given back.
    one.cache.release(&name(), token).await.unwrap();
    assert_eq!(lease(&one).await, Lease::Theirs);
    other.cache.release(&name(), theirs).await.unwrap();
    ours(&lease(&one).await);
}

#[tokio::test]
async fn nobody_asks_for_one_unless_told_so() {
    let server = Arc::default();
    let (plain, leasing) = (Process::new(&server), leasing(&server));
    assert_eq!(lease(&plain).await, Lease::None);
    ours(&lease(&leasing).await);
    assert_eq!(lease(&plain).await, Lease::Theirs, "who does not ask for it sees it too");
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_it_as_soon_as_it_is_there() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let found = one.cache.get(&name()).await.unwrap();
    let waiting = tokio::spawn({
        let cache = other.cache.clone();
        async move { cache.wait(&name(), Duration::from_secs(5)).await.unwrap() }
    });
    sleep(Duration::from_millis(400)).await;
    assert!(!waiting.is_finished());
    other.fake.wire.trips();
    one.put(&name(), found.generations.stamp(), "a").await;
    assert_eq!(judged(&waiting.await.unwrap()), is("a", Validity::Valid));
    assert!(other.fake.wire.trips().0 <= 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_it_wants() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let token = ours(&lease(&one).await);
    let begun = Instant::now();
    let found = other.cache.wait(&name(), Duration::from_secs(1)).await.unwrap();
    assert_eq!((found.lease, begun.elapsed()), (Lease::Theirs, Duration::from_secs(1)));
    assert!(other.fake.wire.trips().0 < 14, "with growing pauses");
    // Who waits when it is given back is the next to make it.
    one.cache.release(&name(), token).await.unwrap();
    ours(&other.cache.wait(&name(), Duration::from_secs(1)).await.unwrap().lease);
}

#[tokio::test]
async fn who_has_it_renews_it_and_nobody_else_does() {
    let server: Arc<Server> = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let token = ours(&lease(&one).await);
    one.cache.renew(&name(), token).await.unwrap();
    let renewed = || std::mem::take(&mut server.lock().renewed);
    let seconds = Duration::from_secs(5);
    assert_eq!(renewed(), [(name().key(Page::KIND), seconds)]);
    one.cache.release(&name(), token).await.unwrap();
    let theirs = ours(&lease(&other).await);
    one.cache.renew(&name(), token).await.unwrap();
    assert_eq!(renewed(), []);
    other.cache.renew(&name(), theirs).await.unwrap();
    assert_eq!(renewed().len(), 1);
}

/// What is on its way is dropped; then the other process is the next to make it.
async fn dropped(one: &Process, other: &Process, asking: impl Future<Output = ()>) {
    one.fake.wire.delay();
    let mut asking = Box::pin(asking);
    let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
    assert!(pending.await.is_pending());
    assert_eq!(lease(other).await, Lease::Theirs, "it was carried out");
    one.fake.wire.delay_no_more();
    drop(asking);
    let found = other.cache.wait(&name(), Duration::from_secs(1)).await.unwrap();
    let token = ours(&found.lease);
    other.cache.release(&name(), token).await.unwrap();
}

#[tokio::test]
async fn who_goes_away_while_it_asks_leaves_nothing_behind() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    dropped(&one, &other, async { drop(one.cache.get(&name()).await) }).await;
    let found = one.cache.get(&name()).await.unwrap();
    one.put(&name(), found.generations.stamp(), "a").await;
    one.cache.purge(name().tenant(), &Purge::everything()).await.unwrap();
    let found = one.cache.get(&name()).await.unwrap();
    dropped(&one, &other, async { drop(one.cache.claim(&name(), found).await) }).await;
}

#[tokio::test]
async fn who_is_told_of_an_error_leaves_nothing_behind() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    one.fake.wire.set_losing(true);
    assert!(one.cache.get(&name()).await.is_err());
    one.fake.wire.set_losing(false);
    ours(&other.cache.wait(&name(), Duration::from_secs(1)).await.unwrap().lease);
}

#[tokio::test]
async fn who_only_looks_asks_for_none() {
    let server = Arc::default();
    let (one, other) = (leasing(&server), leasing(&server));
    let look = async || one.cache.look(&name()).await.unwrap();
    assert_eq!(look().await.lease, Lease::None);
    let found = other.cache.get(&name()).await.unwrap();
    ours(&found.lease);
    assert_eq!(look().await.lease, Lease::Theirs);
    other.put(&name(), found.generations.stamp(), "a").await;
    assert_eq!(judged(&look().await), is("a", Validity::Valid));
}
