//! What the server answers. It is outside this program: nothing it says may be a panic.

use arrayvec::ArrayVec;
use tower_keep_core::StoreError;

use crate::store::{NEVER, Standing, Verdict};

/// Reads `code, now, remaining_1, resets_in_1, wait_1, …`. What does not look like that is an
/// error, and the check may have been counted.
pub(super) fn decode(numbers: &[i64], asked: usize) -> Result<Verdict, StoreError> {
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

    proptest! {
        #[test]
        fn no_reply_panics(numbers in prop::collection::vec(any::<i64>(), 0..32), asked in 0_usize..10) {
            let _ = decode(&numbers, asked);
        }
    }
}
