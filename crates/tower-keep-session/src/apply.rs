//! What saving and touching make of a session: pure, and twin to `common.lua`.

use std::collections::BTreeMap;

use bytes::Bytes;
use tower_keep_core::time::UnixMillis;

use crate::{
    record::{Data, Header},
    store::{Bounds, Change},
};

/// The last moment, and the longest time, that a server's script can count exactly.
pub(crate) const LAST: u64 = (1 << 53) - 1;

/// The session is used now. Whether there is still something to use.
pub(crate) fn touch(header: &mut Header, now: UnixMillis, bounds: Bounds) -> bool {
    header.seen = now;
    header.expires = ends(header, now, bounds);
    header.expires > now
}

/// When a session ends that is used now.
fn ends(header: &Header, now: UnixMillis, bounds: Bounds) -> UnixMillis {
    let idle = now.0.saturating_add(header.idle_ms);
    let absolute = bounds.absolute_ms.map(|most| header.created.0.saturating_add(most));
    UnixMillis(idle.min(absolute.unwrap_or(LAST)).min(LAST))
}

/// Whether the values are as expected.
pub(crate) fn is_expected(data: &Data, expect: &BTreeMap<Box<str>, Option<Bytes>>) -> bool {
    expect.iter().all(|(name, value)| data.get(name) == value.as_ref())
}

/// How many bytes names and values will have together.
pub(crate) fn size_after(data: &Data, change: &Change) -> u64 {
    let kept = data.iter().filter(|(name, _)| {
        let name: &str = name;
        !change.cleared && !change.set.contains_key(name) && !change.removed.contains(name)
    });
    let bytes = kept.chain(&change.set).map(|(name, value)| name.len() + value.len());
    u64::try_from(bytes.sum::<usize>()).unwrap_or(u64::MAX)
}

/// Changes the values.
pub(crate) fn change(data: &mut Data, change: &Change) {
    if change.cleared {
        data.clear();
    }
    for name in &change.removed {
        data.remove(name);
    }
    data.extend(change.set.iter().map(|(name, value)| (name.clone(), value.clone())));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::Origin;

    fn header(created: u64, idle_ms: u64) -> Header {
        let (created, expires) = (UnixMillis(created), UnixMillis(0));
        Header { version: 1, created, expires, seen: created, idle_ms, origin: Origin([0; 16]) }
    }

    #[test]
    fn it_ends_after_its_idle_time_but_not_after_the_absolute_limit() {
        for (created, idle, absolute, now, expected) in [
            (0, 10, None, 100, 110),
            (0, 10, Some(105), 100, 105),
            (0, 10, Some(110), 100, 110),
            (0, 10, Some(111), 100, 110),
            (90, 10, Some(5), 100, 95),
            (0, u64::MAX, None, 100, LAST),
            (0, u64::MAX, Some(u64::MAX), 100, LAST),
            (u64::MAX, 1, Some(u64::MAX), 100, 101),
        ] {
            let bounds = Bounds { absolute_ms: absolute, sessions: 1, bytes: 0 };
            let mut header = header(created, idle);
            let there = touch(&mut header, UnixMillis(now), bounds);
            assert_eq!((header.expires.0, header.seen.0), (expected, now));
            assert_eq!(there, expected > now);
        }
    }

    fn data() -> impl Strategy<Value = Data> {
        let value = prop::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from);
        prop::collection::btree_map("[a-f]{1,2}".prop_map(Into::into), value, 0..8)
    }

    proptest! {
        #[test]
        fn the_size_is_foretold(
            before in data(),
            cleared: bool,
            set in data(),
            removed in prop::collection::btree_set("[a-f]{1,2}", 0..8),
        ) {
            let mut removed: std::collections::BTreeSet<Box<str>> =
                removed.into_iter().map(Into::into).collect();
            removed.retain(|name| !set.contains_key(name));
            let change = Change { cleared, set, removed };
            let foretold = size_after(&before, &change);
            let mut after = before;
            super::change(&mut after, &change);
            let size: usize = after.iter().map(|(name, value)| name.len() + value.len()).sum();
            prop_assert_eq!(foretold, size as u64);
            prop_assert!(change.set.iter().all(|(name, value)| after.get(name) == Some(value)));
            prop_assert!(change.removed.iter().all(|name| !after.contains_key(name)));
        }
    }
}
