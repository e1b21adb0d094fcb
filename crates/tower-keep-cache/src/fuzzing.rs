//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

use bytes::Bytes;
use tower_keep_core::{TenantId, Vault, time::UnixMillis};

use crate::{
    codec::{Codec, Read},
    name::Name,
    value::Value,
};

const KEY: &str = "a key";
const NOW: UnixMillis = UnixMillis(1_000_000);
const LONGEST: usize = 10_000;

/// Bytes, whatever they are.
#[derive(Debug, PartialEq, Eq)]
struct Raw {
    meta: Vec<u8>,
    body: Bytes,
}

impl Value for Raw {
    const KIND: &'static str = "raw";
    const FORMAT: u8 = 7;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        meta.extend_from_slice(&self.meta);
        body.extend_from_slice(&self.body);
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        Some(Self { meta: meta.into(), body })
    }

    fn weight(&self) -> usize {
        self.meta.len() + self.body.len()
    }
}

/// A blob as it lies in a store, and the same with the name and end that an entry has to have to be
/// read further. What is read is written and read again as the same.
pub fn cache_entry(data: &[u8]) {
    let name = Name::new(&TenantId::NONE, "it");
    let key = "k:3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=";
    let vault = Vault::parse("KEYS", key).ok();
    assert!(vault.is_some());
    let codec = |vault| Codec { vault, compress_above: 64, max_entry_bytes: LONGEST };
    round(&codec(vault), &name, data);
    round(&codec(None), &name, data);
    if let Some((header, rest)) = data.split_at_checked(8) {
        // Expires at 2,097,151, as a varint.
        let named = [header, &name.fingerprint(), b"\xff\xff\x7f", rest].concat();
        round(&codec(None), &name, &named);
    }
}

fn round(codec: &Codec, name: &Name, blob: &[u8]) {
    let blob = Bytes::copy_from_slice(blob);
    let Ok(Read::Entry(value, expires)) = codec.decode::<Raw>(KEY, name, &blob, NOW) else {
        return;
    };
    assert!(codec.vault.is_none(), "sealed by nobody");
    assert!(expires > NOW && value.body.len() <= LONGEST * 16);
    // What is longer was not written by us.
    let Some(again) = codec.encode(KEY, name, &value, expires) else { return };
    match codec.decode::<Raw>(KEY, name, &again, NOW) {
        Ok(Read::Entry(same, until)) => assert_eq!((same, until), (value, expires)),
        other => unreachable!("{other:?}"),
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("cache_entry", cache_entry);
    }
}
