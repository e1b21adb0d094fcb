use std::thread;

use bytes::Bytes;
use tower_keep_core::TenantId;

use super::*;

/// A value of whatever bytes; a meta that says `bad` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) meta: Vec<u8>,
    pub(crate) body: Bytes,
}

impl Text {
    pub(crate) fn new(meta: &[u8], body: &[u8]) -> Self {
        Self { meta: meta.to_vec(), body: Bytes::copy_from_slice(body) }
    }
}

impl Value for Text {
    const KIND: &'static str = "text";
    const FORMAT: u8 = 7;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        meta.extend_from_slice(&self.meta);
        body.extend_from_slice(&self.body);
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        (meta != b"bad").then(|| Self { meta: meta.to_vec(), body })
    }

    fn weight(&self) -> usize {
        self.meta.len() + self.body.len()
    }
}

fn name(number: usize) -> Name {
    Name::new(&TenantId::NONE, number.to_string())
}

fn held(name: &Name, body: &[u8], tick: u64) -> Held<Text> {
    let (value, copy) = (Arc::new(Text::new(b"", body)), Arc::new(Copy::own()));
    Held::new(name, value, copy, UnixMillis(u64::MAX), (tick, [0; 16]))
}

#[test]
fn it_never_takes_more_bytes_than_it_may() {
    const CAPACITY: u64 = 1 << 20;
    let near = Near::<Text>::new(CAPACITY, 64 << 10);
    thread::scope(|scope| {
        for thread in 0..4 {
            let near = &near;
            scope.spawn(move || {
                for number in 0..3000 {
                    // Between nothing and what nothing can hold.
                    let length = (number * 7919 + thread * 104_729) % 70_000;
                    let name = name(number % 400);
                    let held = held(&name, &vec![0; length], number as u64);
                    if number % 3 == 0 {
                        near.insert_older(&name, held);
                    } else {
                        near.insert(&name, held);
                    }
                    let (weight, capacity) = near.weight();
                    assert!(weight <= capacity, "{weight} of {capacity}");
                }
            });
        }
    });
    let (weight, capacity) = near.weight();
    assert_eq!(capacity, CAPACITY);
    // What is counted is what is there.
    let there: u64 =
        (0..400).filter_map(|number| near.get(&name(number))).map(|held| held.weight).sum();
    assert_eq!(weight, there);
    assert!(weight > CAPACITY / 3, "{weight}");
}

#[test]
fn what_is_older_does_not_take_the_place_of_what_is_newer() {
    let near = Near::<Text>::new(1 << 20, 1 << 10);
    let name = name(1);
    let tick = || near.get(&name).unwrap().tick;
    near.insert_older(&name, held(&name, b"", 5));
    near.insert_older(&name, held(&name, b"", 4));
    assert_eq!(tick(), 5);
    near.insert_older(&name, held(&name, b"", 6));
    assert_eq!(tick(), 6);
    near.insert(&name, held(&name, b"", 1));
    assert_eq!(tick(), 1);
}

#[test]
fn names_that_share_a_key_share_nothing_here() {
    let near = Near::<Text>::new(1 << 20, 1 << 10);
    let (one, other) = (name(1).with_digest([0; 16]), name(2).with_digest([0; 16]));
    assert_eq!(one.key("text"), other.key("text"));
    near.insert(&one, held(&one, b"one", 1));
    assert!(near.get(&other).is_none() && near.get(&one).is_some());
}
