//! How a message is written: version, kind, eight bytes of its sender, payload.

use bytes::Bytes;

/// The only version there is.
const VERSION: u8 = 1;
const HEADER: usize = 10;
/// The longest payload.
pub(super) const LONGEST: usize = 4096;

/// What one process tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusMessage {
    /// What it is about, in the users' own terms. Leave alone what you do not know.
    pub kind: u8,
    /// What there is to say about it, at most [`Bus::MAX_PAYLOAD`](crate::Bus::MAX_PAYLOAD) bytes.
    pub payload: Bytes,
    /// Whether it was published through this very bus.
    pub is_own: bool,
}

/// The bytes of a message; `None` if it is too long.
pub(super) fn encode(kind: u8, sender: u64, payload: &[u8]) -> Option<Bytes> {
    if payload.len() > LONGEST {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend([VERSION, kind]);
    bytes.extend(sender.to_be_bytes());
    bytes.extend(payload);
    Some(bytes.into())
}

/// Reads a message as the bus of this `reader` sees it; `None` for what somebody else, or a later
/// version, has published.
pub(super) fn decode(bytes: &Bytes, reader: u64) -> Option<BusMessage> {
    let [VERSION, kind, sender @ ..] = bytes.get(..HEADER)? else { return None };
    let payload = bytes.get(HEADER..).filter(|payload| payload.len() <= LONGEST)?;
    let is_own = *sender == reader.to_be_bytes();
    // Copied: a slice would keep the whole read buffer it lies in.
    Some(BusMessage { kind: *kind, payload: Bytes::copy_from_slice(payload), is_own })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_messages_are_none() {
        let good = encode(7, 1, b"x").unwrap();
        assert!(decode(&good, 1).unwrap().is_own);
        assert!(!decode(&good, 2).unwrap().is_own);
        let mut newer = good.to_vec();
        newer[0] = 2;
        let mut long = good.to_vec();
        long.resize(HEADER + LONGEST + 1, 0);
        let short = good[..HEADER - 1].to_vec();
        for foreign in [newer, long, short, Vec::new(), b"FLUSH".to_vec()] {
            assert_eq!(decode(&foreign.into(), 1), None);
        }
        assert_eq!(encode(7, 1, &[0; LONGEST + 1]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind: u8,
            sender: u64,
            reader: u64,
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let message = decode(&encode(kind, sender, &payload).unwrap(), reader).unwrap();
            prop_assert_eq!(message.kind, kind);
            prop_assert_eq!(&message.payload[..], &payload[..]);
            prop_assert_eq!(message.is_own, sender == reader);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), version: bool) {
            let mut bytes = bytes;
            if let (Some(first), true) = (bytes.first_mut(), version) {
                *first = VERSION;
            }
            let expected = bytes.len() >= HEADER && bytes[0] == VERSION;
            prop_assert_eq!(decode(&bytes.into(), 0).is_some(), expected);
        }
    }
}
