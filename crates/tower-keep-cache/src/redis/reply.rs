//! What the server answers. It is outside this program: nothing it says may be a panic.

use bytes::Bytes;
use tower_keep_core::StoreError;

use super::Value;
use crate::{
    generation::Generations,
    stamp::{Stamp, Tag},
};

/// Numbers are exact in scripts below it.
const LAST: u64 = (1 << 53) - 1;

/// An entry's bytes, a slice of all that was read with it; nothing is none.
pub(super) fn blob(reply: Value) -> Result<Option<Bytes>, StoreError> {
    let blob = match reply {
        Value::Null => return Ok(None),
        Value::String(_) | Value::Bytes(_) => reply.into_bytes().ok_or_else(nonsense)?,
        _ => return Err(nonsense()),
    };
    Ok(Some(blob).filter(|blob| !blob.is_empty()))
}

/// The epoch and the version, asked for in this order; `None` if they are not there.
pub(super) fn head(reply: &Value) -> Option<Stamp> {
    let Value::Array(items) = reply else { return None };
    let [epoch, version] = items.as_slice() else { return None };
    Some(Stamp { epoch: self::epoch(epoch)?, version: number(version)? })
}

/// Generations by all their fields; `None` if that is none. It is the twin of `generations.lua`:
/// what else is in the hash is not there.
pub(super) fn generations(reply: Value) -> Option<Generations> {
    let mut found = Generations::new(0);
    let (mut epoch, mut version, mut floor, mut soft) = (None, None, None, None);
    for (field, value) in reply.into_map().ok()?.inner() {
        match field.as_bytes() {
            b"epoch" => epoch = self::epoch(&value),
            b"v" => version = number(&value),
            b"floor" => floor = number(&value),
            b"soft" => soft = number(&value),
            [kind @ (b'h' | b's'), tag @ ..] => {
                let (Ok(tag), Some(at)) = (tag.try_into(), number(&value)) else { continue };
                let marks = found.tags.entry(Tag::from_bytes(tag)).or_default();
                *if *kind == b'h' { &mut marks.hard } else { &mut marks.soft } = at;
            }
            _ => {}
        }
    }
    found.epoch = epoch?;
    found.version = version?;
    found.floor = floor?;
    found.soft = soft?;
    Some(found)
}

/// What a purge has made.
pub(super) fn stamp(reply: Value) -> Result<Stamp, StoreError> {
    let Value::Array(items) = reply else { return Err(nonsense()) };
    let stamp = match items.as_slice() {
        [epoch, Value::Integer(version)] => self::epoch(epoch)
            .zip(u64::try_from(*version).ok())
            .map(|(epoch, version)| Stamp { epoch, version }),
        _ => None,
    };
    stamp.ok_or_else(nonsense)
}

/// What an answer is that no script of ours gives.
pub(super) fn nonsense() -> StoreError {
    StoreError::unknown("the server's reply about a cache makes no sense")
}

fn epoch(value: &Value) -> Option<u64> {
    Some(u64::from_be_bytes(value.as_bytes()?.try_into().ok()?))
}

/// Digits, and no more than a script can count with.
fn number(value: &Value) -> Option<u64> {
    let digits = value.as_bytes()?;
    if digits.len() > 16 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number < LAST)
}

#[cfg(test)]
mod tests {
    use tower_keep_core::ErrorClass;

    use super::*;
    use crate::generation::Marks;

    const EPOCH: &[u8] = b"\0\0\0\0\0\0\x01\xff";

    fn text(bytes: &'static [u8]) -> Value {
        Value::Bytes(Bytes::from_static(bytes))
    }

    fn hash(fields: &[(&'static [u8], &'static [u8])]) -> Value {
        Value::Array(fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect())
    }

    #[test]
    fn a_blob_is_its_bytes_and_nothing_is_none() {
        assert_eq!(blob(text(b"\xff")).unwrap().unwrap(), &b"\xff"[..]);
        assert_eq!(blob(Value::from_static_str("text")).unwrap().unwrap(), "text");
        assert_eq!(blob(text(b"")).unwrap(), None);
        assert_eq!(blob(Value::Null).unwrap(), None);
        for odd in [Value::Integer(1), Value::Array(Vec::new()), Value::Boolean(true)] {
            assert_eq!(blob(odd).unwrap_err().class(), ErrorClass::Unknown);
        }
    }

    #[test]
    fn a_head_is_both_of_its_parts() {
        let of = |items: &[&'static [u8]]| {
            head(&Value::Array(items.iter().map(|item| text(item)).collect()))
        };
        assert_eq!(of(&[EPOCH, b"12"]), Some(Stamp { epoch: 511, version: 12 }));
        let last = Stamp { epoch: 511, version: LAST - 1 };
        assert_eq!(of(&[EPOCH, b"9007199254740990"]), Some(last));
        for version in [&b""[..], b"+1", b"-1", b"1.0", b"9007199254740991", b"00000000000000001"] {
            assert_eq!(of(&[EPOCH, version]), None, "{version:?}");
        }
        assert_eq!(of(&[&EPOCH[1..], b"1"]), None);
        assert_eq!(of(&[EPOCH]), None);
        assert_eq!(head(&Value::Array(vec![Value::Null, Value::Null])), None);
        assert_eq!(head(&Value::Null), None);
    }

    #[test]
    fn generations_are_all_that_is_ours_in_the_hash() {
        let whole: [(&[u8], &[u8]); 4] =
            [(b"epoch", EPOCH), (b"v", b"9"), (b"floor", b"3"), (b"soft", b"4")];
        let mut more = whole.to_vec();
        more.extend([
            (&b"h0123456789abcdef"[..], &b"5"[..]),
            (b"s0123456789abcdef", b"6"),
            (b"sfedcba9876543210", b"7"),
            (b"hshort", b"8"),
            (b"x0123456789abcdef", b"8"),
            (b"h\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"many"),
            (b"", b""),
        ]);
        let found = generations(hash(&more)).unwrap();
        assert_eq!(found.stamp(), Stamp { epoch: 511, version: 9 });
        assert_eq!((found.floor, found.soft, found.tags.len()), (3, 4, 2));
        let of = |name: &[u8; 16]| found.tags.get(&Tag::from_bytes(*name)).copied();
        assert_eq!(of(b"0123456789abcdef"), Some(Marks { hard: 5, soft: 6 }));
        assert_eq!(of(b"fedcba9876543210"), Some(Marks { hard: 0, soft: 7 }));
        for missing in 0..whole.len() {
            let mut fields = whole.to_vec();
            fields.remove(missing);
            assert_eq!(generations(hash(&fields)), None);
        }
        for odd in [Value::Null, Value::Integer(1), Value::Array(vec![text(b"v")])] {
            assert_eq!(generations(odd), None);
        }
    }

    #[test]
    fn a_stamp_is_what_the_script_answers() {
        let of = |items| stamp(Value::Array(items));
        let made = of(vec![text(EPOCH), Value::Integer(3)]).unwrap();
        assert_eq!(made, Stamp { epoch: 511, version: 3 });
        for odd in [
            vec![],
            vec![text(EPOCH)],
            vec![text(b"x"), Value::Integer(3)],
            vec![text(EPOCH), Value::Integer(-3)],
            vec![text(EPOCH), text(b"3")],
        ] {
            assert_eq!(of(odd).unwrap_err().class(), ErrorClass::Unknown);
        }
        assert!(stamp(Value::Null).is_err());
    }
}
