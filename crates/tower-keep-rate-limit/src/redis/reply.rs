//! What the server answers. It is outside this program: nothing it says may be a panic.

use arrayvec::ArrayVec;
use tower_keep_core::StoreError;

use super::Value;
use crate::store::{MAX_LIMITS, NEVER, Standing, Verdict};

/// The most numbers that are said of one check.
const MOST: usize = numbers_of(MAX_LIMITS);

/// How many numbers are said of a check of so many limits.
const fn numbers_of(asked: usize) -> usize {
    2 + 3 * asked
}

/// The whole numbers of one check that are packed as doubles.
#[expect(clippy::cast_possible_truncation, reason = "they are whole, and a double holds them")]
fn numbers(packed: &[u8]) -> Option<ArrayVec<i64, MOST>> {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    let mut numbers = ArrayVec::new();
    for bytes in packed.chunks(size_of::<f64>()) {
        let number = f64::from_be_bytes(bytes.try_into().ok()?);
        let is_whole = number.fract() == 0.0 && number.abs() <= LARGEST;
        numbers.try_push(is_whole.then_some(number as i64)?).ok()?;
    }
    Some(numbers)
}

/// What the server says of several checks, one behind the other, packed. What it says of one is
/// read by itself: where that makes no sense, the others' does.
pub(super) struct Verdicts<'a>(Result<&'a [u8], StoreError>);

impl<'a> Verdicts<'a> {
    pub(super) fn of(reply: &'a Result<Value, StoreError>) -> Self {
        let reply = reply.as_ref().map_err(StoreError::clone);
        Self(reply.and_then(|reply| reply.as_bytes().ok_or_else(nonsense)))
    }

    /// That of the next check, of so many limits.
    pub(super) fn next(&mut self, asked: usize) -> Result<Verdict, StoreError> {
        let packed = self.0.clone()?;
        let own = numbers_of(asked) * size_of::<f64>();
        // Nobody is told what may be somebody else's.
        let (own, rest) = packed.split_at_checked(own).unwrap_or_default();
        self.0 = Ok(rest);
        decode(&numbers(own).ok_or_else(nonsense)?, asked)
    }
}

/// Reads `code, now, remaining_1, resets_in_1, wait_1, …`. What does not look like that is an
/// error, and the check may have been counted.
fn decode(numbers: &[i64], asked: usize) -> Result<Verdict, StoreError> {
    let read = || {
        let (head, rest) = numbers.split_at_checked(2)?;
        let [code, now] = *head else { return None };
        if code > 1 || rest.len() != 3 * asked {
            return None;
        }
        let mut limits = ArrayVec::new();
        for triple in rest.chunks_exact(3) {
            let [remaining, resets_in, wait] = *triple else { return None };
            let wait_ms = if wait == -1 { NEVER } else { u64::try_from(wait).ok()? };
            let remaining = u64::try_from(remaining).ok()?;
            let resets_in_ms = u64::try_from(resets_in).ok()?;
            limits.try_push(Standing { remaining, resets_in_ms, wait_ms }).ok()?;
        }
        let blocked_ms = if code < 0 { code.unsigned_abs() } else { 0 };
        let at_ms = u64::try_from(now).ok()?;
        Some(Verdict { allowed: code == 1, blocked_ms, known: false, at_ms, limits })
    };
    read().ok_or_else(nonsense)
}

/// What an answer is that no script of ours gives.
pub(super) fn nonsense() -> StoreError {
    StoreError::unknown("the server's reply to the limit script makes no sense")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_read_and_nonsense_is_an_error() {
        let verdict = decode(&[1, 17, 7, 900, 0, 0, 5, -1], 2).unwrap();
        assert!(verdict.allowed && !verdict.known);
        assert_eq!((verdict.at_ms, verdict.blocked_ms), (17, 0));
        let last = Standing { remaining: 0, resets_in_ms: 5, wait_ms: NEVER };
        assert_eq!(verdict.limits[1], last);
        let blocked = decode(&[-250, 17, 7, 900, 0], 1).unwrap();
        assert!(!blocked.allowed);
        assert_eq!(blocked.blocked_ms, 250);
        for (reply, asked) in [
            (&[][..], 0),
            (&[1], 0),
            (&[1, 1], 1),
            (&[2, 1, 1, 1, 1], 1),
            (&[1, 1, -1, 5, 0], 1),
            (&[1, -1, 1, 5, 0], 1),
            (&[1, 1, 1, 5, -2], 1),
            (&[1, 1, 1, 5, 6, 7], 1),
            (&[1; 29], 9),
        ] {
            assert!(decode(reply, asked).is_err(), "{reply:?}");
        }
    }

    fn pack(all: &[f64]) -> Vec<u8> {
        all.iter().flat_map(|it| it.to_be_bytes()).collect()
    }

    fn reply(packed: Vec<u8>) -> Value {
        Value::Bytes(Bytes::from(packed))
    }

    #[test]
    fn whole_doubles_are_numbers_and_all_else_is_none() {
        let packed = pack(&[1.0, -250.0, 0.0, 9_007_199_254_740_991.0]);
        let read = numbers(&packed).unwrap();
        assert_eq!(read[..], [1, -250, 0, 9_007_199_254_740_991]);
        assert!(numbers(&[]).unwrap().is_empty());
        assert_eq!(numbers(&packed[1..]), None);
        for bad in [0.5, f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300, 9.1e15] {
            assert_eq!(numbers(&pack(&[1.0, bad])), None, "{bad}");
        }
        assert_eq!(numbers(&pack(&[1.0; MOST + 1])), None, "more than there can be");
    }

    #[test]
    fn several_replies_are_read_one_after_another() {
        let told =
            Ok(reply(pack(&[1., 17., 7., 900., 0., 0., 17., 6., 900., 0., 0., 900., 5., 1.])));
        let mut verdicts = Verdicts::of(&told);
        assert!(verdicts.next(1).unwrap().allowed);
        let second = verdicts.next(2).unwrap();
        assert_eq!((second.allowed, second.limits[1].wait_ms), (false, 5));
        assert!(verdicts.next(1).is_err(), "something is left, and too little");
        assert!(verdicts.next(0).is_err(), "and it is nobody else's");
        let failed = Err(StoreError::refused("OOM"));
        let mut verdicts = Verdicts::of(&failed);
        assert!(verdicts.next(1).is_err() && verdicts.next(8).is_err());
    }

    #[test]
    fn nonsense_about_one_is_nobody_elses() {
        let told = [1., 17., 7., 900., 0., 1e18, 17., 0., 0., 0., 0., 17., 6., 9., 4.];
        let told = Ok(reply(pack(&told)));
        let mut verdicts = Verdicts::of(&told);
        assert!(verdicts.next(1).unwrap().allowed);
        assert!(verdicts.next(1).is_err());
        assert_eq!(verdicts.next(1).unwrap().limits[0].wait_ms, 4);
    }

    proptest! {
        #[test]
        fn no_reply_panics(numbers in prop::collection::vec(any::<i64>(), 0..32), asked in 0_usize..10) {
            let _ = decode(&numbers, asked);
        }

        #[test]
        fn no_bytes_panic(packed in prop::collection::vec(any::<u8>(), 0..300), asked in 0_usize..10) {
            let reply = Ok(reply(packed));
            let mut verdicts = Verdicts::of(&reply);
            while verdicts.next(asked).is_ok() {}
        }
    }
}
