//! What a look at a cache in memory allocates.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use tower_keep_cache::{Cache, CacheBuilder, Name, Value};
use tower_keep_core::TenantId;

struct Body(Bytes);

impl Value for Body {
    const KIND: &'static str = "body";
    const FORMAT: u8 = 1;

    fn encode(&self, _: &mut Vec<u8>, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.0);
    }

    fn decode(_: &[u8], body: Bytes) -> Option<Self> {
        Some(Self(body))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn a_hit_and_a_miss_in_memory_allocate_nothing() {
    let cache: Cache<Body> = CacheBuilder::new().memory().build().unwrap();
    let tenant = TenantId::new("acme").unwrap();
    let (there, missing) = (Name::new(&tenant, "there"), Name::new(&tenant, "missing"));
    let body = Arc::new(Body(Bytes::from_static(b"body")));
    let put = cache.put(&there, body, Duration::from_secs(60)).now();
    assert!(put.is_ok_and(|put| put.is_ok()));
    // A thread's first look at generations makes its place among those who look.
    black_box(cache.peek(&there));
    for (name, is_there) in [(&there, true), (&missing, false)] {
        let counted = allocation_counter::measure(|| {
            let found = black_box(cache.peek(black_box(name))).unwrap();
            assert_eq!(found.value.is_some(), is_there);
        });
        assert_eq!(counted.count_total, 0, "{name:?}");
    }
}
