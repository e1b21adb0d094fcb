use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tower_keep_core::{ErrorClass, TenantId, UserId, key::Holder};

use super::*;
use crate::store::Change;

const BOUNDS: Bounds = Bounds { absolute_ms: None, sessions: 3, bytes: 100 };
const IDLE: Duration = Duration::from_secs(1);

fn clock() -> Clock {
    Clock::manual(UnixMillis(1_700_000_000_000))
}

fn id(number: u16) -> PublicId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PublicId::from_bytes(bytes)
}

/// Each number is another user's.
fn create_of(store: &MemoryStore, user: u16, number: u16) -> Result<Saved, StoreError> {
    let user = UserId::new(user.to_string()).unwrap();
    let key = SessionKey { tenant: &TenantId::NONE, holder: Holder::User(&user) };
    let data = Data::from([("a".into(), Bytes::from_static(b"x"))]);
    let save = Save {
        place: Place { key, id: id(number) },
        how: How::Create(Origin([7; 16])),
        change: &Change { set: data, ..Change::default() },
        expect: &BTreeMap::new(),
        idle_ms: Some(1000),
        bounds: BOUNDS,
    };
    store.save(save).now().unwrap()
}

fn create(store: &MemoryStore, user: u16) -> bool {
    match create_of(store, user, user) {
        Ok(Saved::Done(_)) => true,
        Err(error) if error.class() == ErrorClass::Refused => false,
        other => panic!("{other:?}"),
    }
}

fn load(store: &MemoryStore, number: u16) -> Option<Arc<Record>> {
    let user = UserId::new(number.to_string()).unwrap();
    let key = SessionKey { tenant: &TenantId::NONE, holder: Holder::User(&user) };
    store.load(Place { key, id: id(number) }).now().unwrap().unwrap()
}

#[test]
fn at_the_capacity_nobody_is_dropped_for_a_newcomer() {
    let clock = clock();
    let store = MemoryStore::new().with_clock(clock.clone()).with_capacity(100);
    let made: Vec<_> = (0..1000).filter(|user| create(&store, *user)).collect();
    assert_eq!(made, (0..100).collect::<Vec<_>>());
    assert_eq!(store.len(), 100);
    assert!(made.iter().all(|user| load(&store, *user).is_some()));
    // A holder's own session still makes room for another of theirs.
    let store = MemoryStore::new().with_clock(clock.clone()).with_capacity(3);
    for number in 0..9 {
        clock.advance(Duration::from_millis(1));
        assert!(matches!(create_of(&store, 1, number), Ok(Saved::Done(_))), "{number}");
    }
    assert!(!create(&store, 20));
    assert_eq!(store.len(), 3);
}

#[test]
fn those_that_have_ended_make_room_in_every_shard() {
    let clock = clock();
    let store = MemoryStore::new().with_clock(clock.clone()).with_capacity(500);
    for turn in 0..4 {
        assert!((0..500).all(|user| create(&store, turn * 500 + user)));
        assert!(!create(&store, 10_000));
        clock.advance(IDLE);
    }
    assert!(create(&store, 10_000));
}

#[test]
fn those_that_have_ended_are_swept_as_others_come() {
    let clock = clock();
    let store = MemoryStore::new().with_clock(clock.clone());
    for user in 0..60_000 {
        create(&store, user);
        if user % 1000 == 0 {
            clock.advance(IDLE);
        }
    }
    // A shard is swept when it has grown by a quarter, or by 64.
    assert!(store.len() < 10_000, "{}", store.len());
}

#[tokio::test(start_paused = true)]
async fn those_that_have_ended_are_swept_though_nobody_comes() {
    let clock = clock();
    let store = MemoryStore::new().with_clock(clock.clone());
    assert!((0..500).all(|user| create(&store, user)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(store.len(), 500);
    clock.advance(IDLE);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(store.len(), 0);
}

#[test]
fn the_sweeper_ends_with_the_store_and_begins_anew_on_another_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let clock = clock();
    let store = MemoryStore::new().with_clock(clock.clone());
    assert!(create(&store, 1), "without a runtime too");
    runtime().unwrap().block_on(async { assert!(create(&store, 2)) });
    let second = runtime().unwrap();
    second.block_on(async {
        assert!(create(&store, 3));
        clock.advance(IDLE);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(store.len(), 0);
        drop(store);
        tokio::task::yield_now().await;
    });
    assert_eq!(second.metrics().num_alive_tasks(), 0);
}

#[test]
fn a_load_copies_nothing() {
    let store = MemoryStore::new();
    create(&store, 1);
    assert!(Arc::ptr_eq(&load(&store, 1).unwrap(), &load(&store, 1).unwrap()));
}

#[test]
fn many_threads_count_right() {
    let store = MemoryStore::new().with_capacity(50);
    std::thread::scope(|scope| {
        for thread in 0..4_u16 {
            let store = &store;
            scope.spawn(move || {
                (0..2000).filter(|turn| create(store, thread * 2000 + turn)).count()
            });
        }
    });
    assert_eq!(store.len(), 50);
    let there = (0..8000).filter(|user| load(&store, *user).is_some()).count();
    assert_eq!(there, 50);
}
