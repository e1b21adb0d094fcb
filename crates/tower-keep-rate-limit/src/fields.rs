//! The header fields that tell a caller how its limits stand.

use std::fmt::Write as _;

use arrayvec::ArrayString;
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
    legacy: Option<[(HeaderName, HeaderValue); 3]>,
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
            legacy: tightest.filter(|_| choice.legacy).map(|told| legacy(&told)),
        }
    }

    /// Writes the fields beside those that are there already: `RateLimit-Policy` and `RateLimit`
    /// are lists, so another limiter's items stay. A legacy field that is there stays alone.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        if let Some(value) = self.policy {
            headers.append(POLICY, value);
        }
        if let Some(value) = self.limit {
            headers.append(LIMIT, value);
        }
        for (name, value) in self.legacy.into_iter().flatten() {
            headers.entry(name).or_insert(value);
        }
    }
}

/// `"user";r=42;t=310`: an item of the `RateLimit` field of
/// draft-ietf-httpapi-ratelimit-headers-10.
fn standard(told: &Told<'_>) -> HeaderValue {
    // Room for the longest name and two of the largest numbers; a rule's name is plain ASCII.
    let mut text = ArrayString::<128>::new();
    let _ = write!(text, "\"{}\";r={}", told.rule.name(), told.remaining);
    if let Some(seconds) = told.resets_in() {
        let _ = write!(text, ";t={seconds}");
    }
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn legacy(told: &Told<'_>) -> [(HeaderName, HeaderValue); 3] {
    let reset = told.resets_in().unwrap_or_else(|| told.rule.window_seconds());
    [
        (LEGACY_LIMIT, HeaderValue::from(told.limit)),
        (LEGACY_REMAINING, HeaderValue::from(told.remaining)),
        (LEGACY_RESET, HeaderValue::from(reset)),
    ]
}
