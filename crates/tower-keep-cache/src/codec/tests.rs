use proptest::prelude::*;
use tower_keep_core::TenantId;

use super::*;
use crate::near::tests::Text;

const NOW: UnixMillis = UnixMillis(1_000_000);
const LATER: UnixMillis = UnixMillis(2_000_000);
const KEY: &str = "a key";

fn codec(vault: bool) -> Codec {
    let key = "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=";
    let vault = vault.then(|| Vault::parse("KEYS", &format!("k:{key}")).unwrap());
    Codec { vault, compress_above: 64, max_entry_bytes: 10_000 }
}

fn name(text: &str) -> Name {
    Name::new(&TenantId::new("acme").unwrap(), text)
}

fn encode(codec: &Codec, text: &Text) -> Bytes {
    codec.encode(KEY, &name("it"), text, LATER).unwrap()
}

fn decode(codec: &Codec, blob: impl Into<Bytes>) -> Result<Read<Text>, Corrupt> {
    codec.decode(KEY, &name("it"), &blob.into(), NOW)
}

fn entry(read: Result<Read<Text>, Corrupt>) -> Text {
    match read {
        Ok(Read::Entry(text, LATER)) => text,
        other => panic!("{other:?}"),
    }
}

/// What does not become shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn an_entry_that_is_not_sealed_is_laid_out_as_documented() {
    let blob = encode(&codec(false), &Text::new(b"meta", b"the body"));
    assert_eq!(&blob[..8], b"tk\x01\x00\x07\x00\x00\x04");
    assert_eq!(blob[8..40], name("it").fingerprint());
    // 2,000,000 as a varint, then 8.
    assert_eq!(&blob[40..44], b"\x80\x89\x7a\x08");
    assert_eq!(&blob[44..], b"metathe body");
}

#[test]
fn the_body_is_a_slice_of_what_was_read() {
    let blob = encode(&codec(false), &Text::new(b"meta", b"the body"));
    let text = entry(decode(&codec(false), blob.clone()));
    assert_eq!(text.body.as_ptr(), blob[48..].as_ptr());
}

#[test]
fn a_long_body_is_compressed_if_that_is_worth_it() {
    for vault in [false, true] {
        let codec = codec(vault);
        let (dull, noisy) = (Text::new(b"", &[7; 2000]), Text::new(b"", &noise(2000)));
        let (short, long) = (encode(&codec, &dull), encode(&codec, &noisy));
        assert!(short.len() < 200 && short[3] & 1 == 1, "{}", short.len());
        assert!(long.len() > 2000 && long[3] & 1 == 0);
        assert_eq!(entry(decode(&codec, short)), dull);
        assert_eq!(entry(decode(&codec, long)), noisy);
        assert!(encode(&codec, &Text::new(b"", &[7; 64]))[3] & 1 == 0, "not above");
    }
}

#[test]
fn what_is_too_large_is_not_encoded() {
    let codec = codec(false);
    let fits = |body: &[u8]| codec.encode(KEY, &name("it"), &Text::new(b"", body), LATER).is_some();
    assert!(fits(&noise(9_900)) && !fits(&noise(10_000)));
    assert!(fits(&vec![0; 160_000]), "what is stored is short");
    assert!(!fits(&vec![0; 160_001]), "what is read would be too long");
}

#[test]
fn what_has_expired_is_told_from_what_is_corrupt() {
    let codec = codec(false);
    let blob = codec.encode(KEY, &name("it"), &Text::new(b"", b""), NOW).unwrap();
    assert!(matches!(decode(&codec, blob), Ok(Read::Expired)));
}

#[test]
fn a_lease_is_no_entry() {
    assert!(matches!(decode(&codec(true), lease([7; 16])), Ok(Read::Lease)));
    assert_ne!(lease([7; 16]), lease([8; 16]));
}

#[test]
fn what_is_wrong_is_told_by_its_reason() {
    let (open, sealed) = (codec(false), codec(true));
    let text = Text::new(b"meta", &[7; 500]);
    let blob = encode(&open, &text);
    let with = |at: usize, byte: u8| {
        let mut blob = blob.to_vec();
        blob[at] = byte;
        decode(&open, blob).unwrap_err()
    };
    assert_eq!(with(0, b'T'), Corrupt::Foreign);
    assert_eq!(with(2, 2), Corrupt::Version);
    assert_eq!(with(3, 8), Corrupt::Version);
    assert_eq!(with(3, 3), Corrupt::Sealed);
    assert_eq!(with(4, 8), Corrupt::Format);
    assert_eq!(with(6, 1), Corrupt::Length);
    assert_eq!(with(9, 1), Corrupt::Identity);
    assert_eq!(with(43, 0x7f), Corrupt::Compressed);
    assert_eq!(decode(&open, &b"tk"[..]).unwrap_err(), Corrupt::Foreign);
    assert_eq!(decode(&sealed, blob.clone()).unwrap_err(), Corrupt::Sealed);
    assert_eq!(decode(&open, encode(&sealed, &text)).unwrap_err(), Corrupt::Sealed);
    let other = open.decode::<Text>(KEY, &name("other"), &blob, NOW);
    assert_eq!(other.unwrap_err(), Corrupt::Identity);
    assert_eq!(decode(&open, encode(&open, &Text::new(b"bad", b""))).unwrap_err(), Corrupt::Value);
}

#[test]
fn what_is_sealed_opens_nowhere_else_and_shows_nothing() {
    let codec = codec(true);
    let blob = encode(&codec, &Text::new(b"secret meta", b"secret body"));
    assert!(!blob.windows(6).any(|bytes| bytes == b"secret"));
    let elsewhere = codec.decode::<Text>("another key", &name("it"), &blob, NOW);
    assert_eq!(elsewhere.unwrap_err(), Corrupt::Sealed);
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let codec = codec(false);
    let flags = Flags { compressed: true, ..Flags::default() };
    let header = Header { flags, format: Text::FORMAT, meta: 0 }.to_bytes();
    let identity = name("it").fingerprint();
    // More than so few bytes can say, and more than a body may be.
    for (body, packed) in [(1 << 40, 100), (100 * 256 + 1, 100), (160_001, 1000)] {
        let meta = postcard::to_stdvec(&Meta { identity, expires: LATER, body }).unwrap();
        let blob = [&header[..], &meta, &vec![0xff; packed]].concat();
        assert_eq!(decode(&codec, blob).unwrap_err(), Corrupt::Length);
    }
}

fn texts() -> impl Strategy<Value = Text> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    (prop::collection::vec(0..b'a', 0..50), body).prop_map(|(meta, body)| Text::new(&meta, &body))
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(text in texts(), vault in any::<bool>()) {
        let codec = codec(vault);
        prop_assert_eq!(entry(decode(&codec, encode(&codec, &text))), text);
    }

    #[test]
    fn any_bytes_are_taken_without_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flags in 0..8_u8,
        vault in any::<bool>(),
    ) {
        let codec = codec(vault);
        let _ = decode(&codec, bytes.clone());
        let _ = decode(&codec, [&b"tk\x01"[..], &[flags, Text::FORMAT, 0, 0], &bytes].concat());
        let identity = name("it").fingerprint();
        let header = [&b"tk\x01"[..], &[flags & 1, Text::FORMAT, 0, 0, 0]].concat();
        let _ = decode(&codec, [&header[..], &identity, &bytes].concat());
    }

    /// Only the meta and the body of what is not sealed may be changed without being noticed: that
    /// takes rights to write to the store, against which there is the vault.
    #[test]
    fn what_was_changed_on_the_way_is_taken_without_harm(
        text in texts(),
        vault in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
        grown in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let codec = codec(vault);
        let blob = encode(&codec, &text);
        let mut changed = blob.to_vec();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(changed.len()));
        }
        changed.extend(grown);
        let changed = Bytes::from(changed);
        let read = decode(&codec, changed.clone());
        if vault && changed != blob {
            // The flag of a lease is not sealed.
            prop_assert!(!matches!(read, Ok(Read::Entry(..) | Read::Expired)));
        }
        if let Ok(Read::Entry(text, _)) = read {
            prop_assert!(text.body.len() <= 160_000);
        }
    }
}
