//! The store in this process and the scripts say the same about everything: random histories are
//! told to both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tower_keep_core::time::UnixMillis;
use tower_keep_session::{
    Bounds, Change, Data, Header, How, MemoryStore, PublicId, Record, RedisStore, Save, Saved,
};

use super::backend::{Backend, HOUR, ORIGIN, User};
use crate::limit_store::site::{Kind, Site};

const IDS: u8 = 5;

#[derive(Clone, Debug)]
enum Step {
    Save {
        to: u8,
        how: Kinds,
        cleared: bool,
        set: Data,
        removed: Vec<Box<str>>,
        expect: BTreeMap<Box<str>, Option<Bytes>>,
        sessions: u32,
        bytes: u64,
    },
    Touch(u8),
    TouchAndLoad(u8),
    Remove(u8),
    RemoveOthers(u8),
    RemoveAll,
}

#[derive(Clone, Copy, Debug)]
enum Kinds {
    Create,
    Continue(u64),
    Write,
    Rotate(u8, bool),
}

fn id(number: u8) -> PublicId {
    PublicId::from_bytes([number * 40; 16])
}

/// What is said of a session that does not depend on when it was said.
fn timeless(header: &Header) -> (u64, u64, bool, [u8; 16]) {
    let lives = header.expires.0 - header.seen.0;
    (header.version, header.idle_ms, lives == header.idle_ms, header.origin.0)
}

type Seen = (u64, u64, bool, [u8; 16]);

fn seen(record: &Record) -> (Seen, Data) {
    (timeless(&record.header), record.data.clone())
}

impl Step {
    async fn take(&self, user: &User) -> String {
        let (store, bounds) = (&user.store, Bounds { absolute_ms: None, sessions: 9, bytes: 9 });
        match self {
            Self::Save { to, how, cleared, set, removed, expect, sessions, bytes } => {
                let how = match how {
                    Kinds::Create => How::Create(ORIGIN),
                    Kinds::Continue(made) => {
                        How::Continue { origin: ORIGIN, created: UnixMillis(*made) }
                    }
                    Kinds::Write => How::Write,
                    Kinds::Rotate(from, anew) => How::Rotate { from: id(*from), anew: *anew },
                };
                let removed = removed.iter().filter(|name| !set.contains_key(*name));
                let removed = removed.cloned().collect();
                let change = Change { cleared: *cleared, set: set.clone(), removed };
                let bounds = Bounds { absolute_ms: None, sessions: *sessions, bytes: *bytes };
                let (place, idle_ms) = (user.place(id(*to)), Some(HOUR));
                let save = Save { place, how, change: &change, expect, idle_ms, bounds };
                match store.save(save).await.unwrap() {
                    Saved::Done(header) => format!("done {:?}", timeless(&header)),
                    Saved::Conflict(record) => format!("conflict {:?}", seen(&record)),
                    other => format!("{other:?}"),
                }
            }
            Self::Touch(of) => {
                let header = store.touch(user.place(id(*of)), bounds).await.unwrap();
                format!("{:?}", header.as_ref().map(timeless))
            }
            Self::TouchAndLoad(of) => {
                let record = store.touch_and_load(user.place(id(*of)), bounds).await.unwrap();
                format!("{:?}", record.as_deref().map(seen))
            }
            Self::Remove(of) => format!("{:?}", store.remove(user.place(id(*of))).await),
            Self::RemoveOthers(but) => {
                format!("{:?}", store.remove_others(user.place(id(*but))).await)
            }
            Self::RemoveAll => format!("{:?}", store.remove_all(user.key()).await),
        }
    }
}

/// All that there is, in order.
async fn all(user: &User) -> Vec<(PublicId, (Seen, Data))> {
    let listed = user.store.list(user.key()).await.unwrap();
    let mut all: Vec<_> = listed.iter().map(|(id, record)| (*id, seen(record))).collect();
    for number in 0..IDS {
        let loaded = user.load(id(number)).await.map(|record| seen(&record));
        let listed = all.iter().find(|(of, _)| *of == id(number)).map(|(_, seen)| seen);
        assert_eq!(loaded.as_ref(), listed);
    }
    all.sort_by_key(|(id, _)| *id);
    all
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name =
        || prop_oneof![Just("a"), Just("b"), Just("1"), Just("ü")].prop_map(Box::<str>::from);
    let value = || {
        prop_oneof![Just(&b""[..]), Just(&b"\0\xff"[..]), Just(&b"long enough"[..])]
            .prop_map(Bytes::from_static)
    };
    let how = prop_oneof![
        3 => Just(Kinds::Create),
        1 => prop_oneof![Just(0_u64), Just(u64::MAX)].prop_map(Kinds::Continue),
        6 => Just(Kinds::Write),
        3 => (0..IDS, any::<bool>()).prop_map(|(from, anew)| Kinds::Rotate(from, anew)),
    ];
    let expect = prop_oneof![
        3 => Just(BTreeMap::new()),
        1 => prop::collection::btree_map(name(), prop::option::of(value()), 0..2),
    ];
    let save = (
        (0..IDS, how, prop::bool::weighted(0.1)),
        prop::collection::btree_map(name(), value(), 0..3),
        prop::collection::vec(name(), 0..3),
        expect,
        prop_oneof![4 => Just(9_u32), 1 => 0..4_u32],
        prop_oneof![3 => Just(1000_u64), 1 => 0..30_u64],
    );
    let save = save.prop_map(|((to, how, cleared), set, removed, expect, sessions, bytes)| {
        Step::Save { to, how, cleared, set, removed, expect, sessions, bytes }
    });
    let step = prop_oneof![
        16 => save,
        2 => (0..IDS).prop_map(Step::Touch),
        2 => (0..IDS).prop_map(Step::TouchAndLoad),
        2 => (0..IDS).prop_map(Step::Remove),
        1 => (0..IDS).prop_map(Step::RemoveOthers),
        1 => Just(Step::RemoveAll),
    ];
    prop::collection::vec(step, 5..40)
}

#[tokio::test]
async fn memory_and_scripts_agree_about_every_history() {
    const HISTORIES: usize = 60;
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let redis = Arc::new(RedisStore::new(site.connection().await));
        let redis = Backend::new(redis, None, "twins");
        let memory = Backend::new(Arc::new(MemoryStore::new()), None, "twins");
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        for _ in 0..HISTORIES {
            let history = steps().new_tree(&mut runner).unwrap().current();
            let (in_redis, in_memory) = (redis.user(), memory.user());
            for (turn, step) in history.iter().enumerate() {
                // Which was used last is only told by the millisecond.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let told = format!("{kind:?}, step {turn} of {history:#?}");
                assert_eq!(step.take(&in_redis).await, step.take(&in_memory).await, "{told}");
                assert_eq!(all(&in_redis).await, all(&in_memory).await, "{told}");
            }
        }
    }
}
