use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

const HEADER_BYTES: &str = "01\
    0000000000000003\
    0000018bcfe56800\
    0000018bcff42a40\
    0000018bcfe60440\
    00000000000dbba0\
    000102030405060708090a0b0c0d0e0f";

fn header() -> Header {
    Header {
        version: 3,
        created: UnixMillis(1_700_000_000_000),
        expires: UnixMillis(1_700_000_967_232),
        seen: UnixMillis(1_700_000_040_000),
        idle_ms: 900_000,
        origin: Origin(std::array::from_fn(|index| u8::try_from(index).unwrap())),
    }
}

fn data(values: &[(&str, &[u8])]) -> Data {
    values.iter().map(|(name, value)| ((*name).into(), Bytes::copy_from_slice(value))).collect()
}

fn sample() -> Record {
    let long = [7; 300];
    Record { header: header(), data: data(&[("a", b""), ("cart", b"\x00\xff"), ("ü", &long)]) }
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The sample header and then this.
fn with(map: &[u8]) -> Result<Record, Undecodable> {
    Record::decode(&[&hex(HEADER_BYTES), map].concat().into())
}

#[test]
fn the_bytes_are_these() {
    let empty = Record { header: header(), data: Data::new() };
    assert_eq!(HEXLOWER.encode(&empty.encode()), format!("{HEADER_BYTES}80"));
    let two = Record { header: header(), data: data(&[("a", b""), ("cart", b"\x00\xff")]) };
    let map = "82a161a0a463617274a200ff";
    assert_eq!(HEXLOWER.encode(&two.encode()), format!("{HEADER_BYTES}{map}"));
    assert_eq!(HEXLOWER.encode(&super::map(&two.data)), map);
    assert_eq!(HEXLOWER.encode(&names(["a", "cart"].into_iter())), "92a161a463617274");
    assert_eq!(HEXLOWER.encode(&names([].into_iter())), "90");
}

#[test]
fn what_the_servers_library_writes_is_read() {
    // An array for an empty map.
    assert_eq!(with(&[0x90]).unwrap().data, Data::new());
    let texts = [("d9", "03"), ("da", "0003"), ("db", "00000003")];
    let bytes = [("c4", "03"), ("c5", "0003"), ("c6", "00000003")];
    for (marker, length) in texts.into_iter().chain(bytes) {
        let map = hex(&format!("81a161{marker}{length}00ff80"));
        assert_eq!(with(&map).unwrap().data, data(&[("a", b"\x00\xff\x80")]), "{marker}");
    }
    for (marker, length) in [("de", "0001"), ("df", "00000001")] {
        let map = hex(&format!("{marker}{length}d90161a178"));
        assert_eq!(with(&map).unwrap().data, data(&[("a", b"x")]), "{marker}");
    }
}

#[test]
fn values_are_slices_of_what_was_read() {
    let bytes = sample().encode();
    let record = Record::decode(&bytes).unwrap();
    let inside = bytes.as_ptr_range();
    for value in record.data.values().filter(|value| !value.is_empty()) {
        assert!(inside.contains(&value.as_ptr()));
    }
}

#[test]
fn anything_else_is_no_session() {
    let long = "x".repeat(MAX_NAME + 1);
    let long = [&[0x81, 0xd9, 129], long.as_bytes(), &[0xa0]].concat();
    let others: &[&[u8]] = &[
        b"",
        b"\x91\xa1x",              // an array with something in it
        b"\xc0",                   // nothing
        b"\x81\xa0\xa1x",          // a name of no bytes
        b"\x81\xa1\xff\xa1x",      // a name that is no text
        b"\x81\x01\xa1x",          // a name that is a number
        b"\x81\xa1a\x01",          // a value that is a number
        b"\x81\xa1a\x80",          // a value that is a map
        b"\x81\xc4\x01a\xa1x",     // a name that is bytes
        b"\x81\xa1a\xc0",          // a value that is nothing
        b"\x82\xa1a\xa0\xa1a\xa0", // a name twice
        b"\x80\x80",               // more after it
        b"\x81\xa1a",
        &long,
    ];
    for map in others {
        assert_eq!(with(map), Err(Undecodable), "{map:02x?}");
    }
    let mut newer = sample().encode().to_vec();
    newer[0] = 2;
    assert_eq!(Record::decode(&newer.into()), Err(Undecodable));
}

#[test]
fn a_length_that_is_only_declared_reserves_nothing() {
    for map in ["dfffffffff", "ddffffffff", "81dbffffffff", "81a161daffff", "deffff", "9f"] {
        assert_eq!(with(&hex(map)), Err(Undecodable), "{map}");
    }
}

#[test]
fn a_session_that_was_cut_is_none() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        assert_eq!(Record::decode(&bytes.slice(..end)), Err(Undecodable), "cut at {end}");
        assert_eq!(Header::decode(&bytes[..end]).is_ok(), end >= HEADER);
    }
}

#[test]
fn a_changed_byte_is_another_session_or_none() {
    let sample = sample();
    let bytes = sample.encode();
    for place in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut changed = bytes.to_vec();
            changed[place] = value;
            if let Ok(record) = Record::decode(&changed.into()) {
                // Another way to write the same length.
                let same = bytes[place] == value || record.encode() == bytes;
                assert_eq!(record == sample, same, "{value} at {place}");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        numbers: [u64; 5],
        origin: [u8; 16],
        data in prop::collection::btree_map(
            "[^\\x00]{1,30}",
            prop::collection::vec(any::<u8>(), 0..300),
            0..40,
        ),
    ) {
        let [version, created, expires, seen, idle_ms] = numbers;
        let header = Header {
            version,
            created: UnixMillis(created),
            expires: UnixMillis(expires),
            seen: UnixMillis(seen),
            idle_ms,
            origin: Origin(origin),
        };
        let data = data.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let record = Record { header, data };
        let bytes = record.encode();
        prop_assert_eq!(Header::decode(&bytes).unwrap().0, header);
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), known: bool) {
        let start = if known { hex(HEADER_BYTES) } else { Vec::new() };
        let _ = Record::decode(&[start, bytes].concat().into());
    }
}
