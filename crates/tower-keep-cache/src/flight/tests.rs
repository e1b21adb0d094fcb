use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Barrier,
    task::{JoinSet, yield_now},
    time::Instant,
};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn lead<T>(flights: &Flights<T>, key: &[u8]) -> Leader<T> {
    match flights.join(key) {
        Turn::Lead(leader) => leader,
        Turn::Follow(_) => panic!("somebody leads already"),
        Turn::Alone => panic!("there are too many"),
    }
}

fn follow<T>(flights: &Flights<T>, key: &[u8]) -> Follower<T> {
    match flights.join(key) {
        Turn::Follow(follower) => follower,
        Turn::Lead(_) => panic!("nobody leads"),
        Turn::Alone => panic!("there are too many"),
    }
}

fn is_alone<T>(turn: &Turn<T>) -> bool {
    matches!(turn, Turn::Alone)
}

#[tokio::test]
async fn followers_get_what_the_leader_brings_and_late_comers_do_not() {
    let flights = Flights::new(10, 10);
    let leader = lead(&flights, b"a");
    let other = lead(&flights, b"b");
    let (first, second) = (follow(&flights, b"a"), follow(&flights, b"a"));
    assert_eq!((leader.followers(), other.followers(), flights.under_way()), (2, 0, 2));
    leader.land(7);
    assert_eq!(flights.under_way(), 1);
    let next = lead(&flights, b"a");
    // It waited for the first flight, not for the one that is under way now.
    assert_eq!(first.wait(LONG).await, Landed::Value(7));
    assert_eq!(second.wait(Duration::ZERO).await, Landed::Value(7));
    let third = follow(&flights, b"a");
    next.land(8);
    assert_eq!(third.wait(LONG).await, Landed::Value(8));
    drop(other);
    assert_eq!(flights.under_way(), 0);
}

#[tokio::test]
async fn a_leader_that_goes_away_frees_its_followers() {
    let flights = Flights::<u8>::new(10, 10);
    let leader = lead(&flights, b"a");
    let early = tokio::spawn(follow(&flights, b"a").wait(LONG));
    let late = follow(&flights, b"a");
    yield_now().await;
    drop(leader);
    assert_eq!(early.await.unwrap(), Landed::Abandoned);
    assert_eq!(late.wait(LONG).await, Landed::Abandoned);
    lead(&flights, b"a").land(1);
}

#[tokio::test]
async fn a_leader_that_panics_frees_its_followers() {
    let flights = Flights::<u8>::new(10, 10);
    let leader = lead(&flights, b"a");
    let follower = follow(&flights, b"a");
    let task = tokio::spawn(async move {
        let _leader = leader;
        panic!("as asked");
    });
    assert_eq!(follower.wait(LONG).await, Landed::Abandoned);
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(flights.under_way(), 0);
}

#[tokio::test]
async fn a_poisoned_lock_stops_nobody() {
    let flights = Flights::<u8>::new(10, 10);
    let leader = lead(&flights, b"a");
    let follower = follow(&flights, b"a");
    let poison = || {
        let _held = flights.shared.under_way.lock();
        panic!("as asked");
    };
    assert!(catch_unwind(AssertUnwindSafe(poison)).is_err());
    assert!(flights.shared.under_way.is_poisoned());
    let second = follow(&flights, b"a");
    leader.land(3);
    assert_eq!(follower.wait(LONG).await, Landed::Value(3));
    assert_eq!(second.wait(LONG).await, Landed::Value(3));
    lead(&flights, b"a").land(4);
}

/// Whose clone panics takes nobody along.
#[tokio::test]
async fn a_value_that_panics_when_it_is_cloned_is_its_readers_trouble() {
    #[derive(Debug)]
    struct Picky(Arc<AtomicUsize>);
    impl Clone for Picky {
        fn clone(&self) -> Self {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "the first one is refused");
            Self(Arc::clone(&self.0))
        }
    }
    let flights = Flights::new(10, 10);
    let leader = lead(&flights, b"a");
    let [first, second] = [follow(&flights, b"a"), follow(&flights, b"a")];
    leader.land(Picky(Arc::default()));
    assert!(tokio::spawn(first.wait(LONG)).await.unwrap_err().is_panic());
    assert!(matches!(second.wait(LONG).await, Landed::Value(_)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_it_wants() {
    let flights = Flights::new(10, 10);
    let leader = lead(&flights, b"a");
    let begun = Instant::now();
    let patience = Duration::from_millis(250);
    assert_eq!(follow(&flights, b"a").wait(patience).await, Landed::TimedOut);
    assert_eq!(begun.elapsed(), patience);
    assert_eq!(follow(&flights, b"a").wait(Duration::ZERO).await, Landed::TimedOut);
    assert_eq!(leader.followers(), 0, "they are gone");
    let patient = follow(&flights, b"a");
    leader.land(1);
    assert_eq!(patient.wait(patience).await, Landed::Value(1));
}

#[tokio::test]
async fn flights_and_followers_are_bounded() {
    let flights = Flights::<u8>::new(2, 2);
    let [a, b] = [lead(&flights, b"a"), lead(&flights, b"b")];
    assert!(is_alone(&flights.join(b"c")), "too many flights");
    let [first, second] = [follow(&flights, b"a"), follow(&flights, b"a")];
    assert!(is_alone(&flights.join(b"a")), "too many followers");
    let _of_b = follow(&flights, b"b");
    drop(first);
    let third = follow(&flights, b"a");
    // A follower that has begun to wait and is dropped then gives its place back as well.
    let mut waiting = Box::pin(third.wait(LONG));
    assert!(futures_ready(&mut waiting).await.is_none());
    assert!(is_alone(&flights.join(b"a")));
    drop(waiting);
    let _fourth = follow(&flights, b"a");
    drop(a);
    let c = lead(&flights, b"c");
    assert_eq!(second.wait(LONG).await, Landed::Abandoned);
    assert!(is_alone(&flights.join(b"a")));
    drop((b, c));
    assert_eq!(flights.under_way(), 0);
    let nobody = Flights::<u8>::new(0, 0);
    assert!(is_alone(&nobody.join(b"a")));
}

/// What it gives when it is polled once.
async fn futures_ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_one_fetches() {
    const CALLERS: usize = 1000;
    let flights = Flights::new(10, CALLERS);
    let begin = Arc::new(Barrier::new(CALLERS));
    let (fetched, joined) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (flights, begin) = (flights.clone(), Arc::clone(&begin));
        let (fetched, joined) = (Arc::clone(&fetched), Arc::clone(&joined));
        callers.spawn(async move {
            begin.wait().await;
            let turn = flights.join(b"a");
            joined.fetch_add(1, Ordering::SeqCst);
            match turn {
                Turn::Lead(leader) => {
                    fetched.fetch_add(1, Ordering::SeqCst);
                    // Until all are there.
                    while joined.load(Ordering::SeqCst) < CALLERS {
                        yield_now().await;
                    }
                    leader.land(Arc::new(42));
                    42
                }
                Turn::Follow(follower) => match follower.wait(LONG).await {
                    Landed::Value(value) => *value,
                    other => panic!("{other:?}"),
                },
                Turn::Alone => panic!("there was a place for each"),
            }
        });
    }
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap(), 42);
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    assert_eq!(flights.under_way(), 0);
}

/// Leaders are dropped, panic, land; followers give up; and yet everybody ends with a value, and
/// no two lead the same at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_joins_again_gets_there_whatever_becomes_of_leaders() {
    const CALLERS: usize = 400;
    const KEYS: usize = 4;
    let flights = Flights::new(KEYS, CALLERS);
    let leading: Arc<[AtomicUsize; KEYS]> = Arc::default();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (flights, leading) = (flights.clone(), Arc::clone(&leading));
        callers.spawn(async move {
            let key = number % KEYS;
            let mut unlucky = number % 3;
            loop {
                match flights.join(&[u8::try_from(key).unwrap()]) {
                    Turn::Lead(leader) => {
                        assert_eq!(leading[key].fetch_add(1, Ordering::SeqCst), 0, "two lead");
                        for _ in 0..number % 5 {
                            yield_now().await;
                        }
                        leading[key].fetch_sub(1, Ordering::SeqCst);
                        if unlucky == 0 {
                            leader.land(key);
                            return key;
                        }
                        unlucky -= 1;
                        drop(leader);
                    }
                    Turn::Follow(follower) if number % 7 == 0 => {
                        // Dropped while it waits.
                        let mut waiting = Box::pin(follower.wait(LONG));
                        if let Some(Landed::Value(value)) = futures_ready(&mut waiting).await {
                            return value;
                        }
                        drop(waiting);
                        yield_now().await;
                    }
                    Turn::Follow(follower) => {
                        if let Landed::Value(value) = follower.wait(LONG).await {
                            return value;
                        }
                    }
                    Turn::Alone => panic!("there was a place for each"),
                }
            }
        });
    }
    let mut sum = 0;
    while let Some(value) = callers.join_next().await {
        sum += value.unwrap();
    }
    assert_eq!(sum, (0..CALLERS).map(|number| number % KEYS).sum::<usize>());
    assert_eq!(flights.under_way(), 0);
}

/// A landing and a join at the same moment: the joiner follows that flight or leads the next, and
/// never waits in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_left_behind_by_a_landing() {
    let flights = Flights::new(10, 10);
    for round in 0..2000 {
        let leader = lead(&flights, b"a");
        let other = flights.clone();
        let joiner = tokio::spawn(async move {
            match other.join(b"a") {
                Turn::Lead(leader) => leader.land(round),
                Turn::Follow(follower) => {
                    assert_eq!(follower.wait(LONG).await, Landed::Value(round));
                }
                Turn::Alone => panic!("there was a place"),
            }
        });
        if round % 2 == 0 {
            yield_now().await;
        }
        leader.land(round);
        joiner.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_use_what_is_shared_waits_for_the_end() {
    let flights = Flights::<u32>::new(10, 10);
    let Turn::Lead(leader) = flights.join(b"a") else { panic!() };
    let Turn::Follow(mut follower) = flights.join(b"a") else { panic!() };
    let Turn::Follow(mut other) = flights.join(b"a") else { panic!() };
    leader.share(1);
    assert_eq!(follower.value(LONG).await, Landed::Value(1));
    assert_eq!(other.value(LONG).await, Landed::Value(1));
    assert!(!other.ended(LONG).await, "it is still there");
    let ended = tokio::spawn(follower.ended(LONG));
    yield_now().await;
    assert!(!ended.is_finished());
    leader.land(2);
    assert!(ended.await.unwrap());
    assert!(matches!(flights.join(b"a"), Turn::Lead(_)));
}
