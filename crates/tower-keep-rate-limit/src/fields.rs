//! The header fields that tell a caller how its limits stand.

use arrayvec::ArrayVec;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::rule::Rule;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which fields a layer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldChoice {
    pub(crate) standard: bool,
    pub(crate) legacy: bool,
}

/// How one limit stands, to be told in the answer's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// In how many milliseconds to come again; `None` for never.
    pub(crate) resets_in_ms: Option<u64>,
}

impl FieldChoice {
    /// Whether there is anything to tell.
    pub(crate) const fn is_any(self) -> bool {
        self.standard || self.legacy
    }
}

impl Told<'_> {
    /// The same in seconds, rounded up.
    fn resets_in(&self) -> Option<u64> {
        self.resets_in_ms.map(|millis| millis.div_ceil(1000))
    }
}

/// The fields of one answer, spelled out.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    policy: Option<HeaderValue>,
    limit: Option<HeaderValue>,
    // Rare, and large.
    legacy: Option<Box<[(HeaderName, HeaderValue); 3]>>,
}

impl Fields {
    /// `policy` names the rules that matched; `tightest` is the limit to be told.
    pub(crate) fn new(
        choice: FieldChoice,
        policy: Option<HeaderValue>,
        tightest: Option<Told<'_>>,
    ) -> Self {
        Self {
            policy: policy.filter(|_| choice.standard),
            limit: tightest.filter(|_| choice.standard).map(|told| standard(&told)),
            legacy: tightest.filter(|_| choice.legacy).map(|told| Box::new(legacy(&told))),
        }
    }

    /// Whether there is none.
    #[inline]
    pub(crate) const fn is_none(&self) -> bool {
        self.policy.is_none() && self.limit.is_none() && self.legacy.is_none()
    }

    /// Writes the fields, which are spent then, beside those that are there already: `RateLimit-Policy` and `RateLimit`
    /// are lists, so another limiter's items stay. A legacy field that is there stays alone.
    #[inline]
    pub(crate) fn write(&mut self, headers: &mut HeaderMap) {
        if let Some(value) = self.policy.take() {
            headers.append(POLICY, value);
        }
        if let Some(value) = self.limit.take() {
            headers.append(LIMIT, value);
        }
        if let Some(fields) = self.legacy.take() {
            for (name, value) in *fields {
                headers.entry(name).or_insert(value);
            }
        }
    }
}

/// `"user";r=42;t=310`: an item of the `RateLimit` field of
/// draft-ietf-httpapi-ratelimit-headers-10.
fn standard(told: &Told<'_>) -> HeaderValue {
    // Room for the longest name and two of the largest numbers; a rule's name is plain ASCII.
    let mut text = ArrayVec::<u8, 128>::new();
    let mut push = |part: &[u8]| text.try_extend_from_slice(part).is_ok();
    let _ = push(b"\"") && push(told.rule.name().as_bytes()) && push(b"\";r=");
    let _ = push(Decimal::of(told.remaining).as_bytes());
    if let Some(seconds) = told.resets_in() {
        let _ = push(b";t=") && push(Decimal::of(seconds).as_bytes());
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A number in decimal digits, made without the machinery of `fmt`.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn of(number: u64) -> Self {
        let mut decimal = Self { digits: [b'0'; 20], start: 20 };
        let mut rest = number;
        for (place, digit) in decimal.digits.iter_mut().enumerate().rev() {
            let last = (rest % 10) as u8;
            *digit = b'0' + last;
            decimal.start = place;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        decimal
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

fn legacy(told: &Told<'_>) -> [(HeaderName, HeaderValue); 3] {
    let reset = told.resets_in().unwrap_or_else(|| told.rule.window_seconds());
    [
        (LEGACY_LIMIT, HeaderValue::from(told.limit)),
        (LEGACY_REMAINING, HeaderValue::from(told.remaining)),
        (LEGACY_RESET, HeaderValue::from(reset)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
