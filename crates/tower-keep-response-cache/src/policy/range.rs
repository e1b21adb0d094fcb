//! Byte ranges of a stored body (RFC 9110 §14).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{IF_RANGE, LAST_MODIFIED, RANGE},
};

use super::validator::{EntityTag, dated_strongly};
use crate::stored::Stored;

/// The most ranges of one request that are looked at; one that asks for more gets the whole.
const MAX_RANGES: usize = 32;

/// Ranges closer together than this are sent as one: to say where each begins takes more.
const OVERHEAD: u64 = 80;

/// Places in the whole, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Range {
    /// How many bytes these are.
    pub(crate) const fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What of the whole is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    Whole,
    One(Range),
    /// Two or more, none of which touch.
    Many(Vec<Range>),
    /// None of what is asked for is there.
    Unsatisfiable,
    /// What is stored is a part, and this is not all in it.
    Elsewhere,
}

/// The length of the whole of what is stored.
pub(crate) fn total(stored: &Stored) -> u64 {
    stored.part.map_or(stored.body.len() as u64, |part| part.total)
}

/// What is stored of the whole; `None` if that is nothing.
pub(crate) fn held(stored: &Stored) -> Option<Range> {
    let length = stored.body.len() as u64;
    let first = stored.part.map_or(0, |part| part.first);
    Some(Range { first, last: first.checked_add(length.checked_sub(1)?)? })
}

/// What of the stored response a request wants, by its `Range` and `If-Range`.
pub(crate) fn wanted(method: &Method, request: &HeaderMap, stored: &Stored) -> Ranges {
    let asks = || {
        method == Method::GET
            && (stored.part.is_some() || stored.status == StatusCode::OK)
            && same_as_before(request, stored)
    };
    let mut lines = request.get_all(RANGE).iter();
    let wanted = match (lines.next(), lines.next()) {
        (Some(line), None) if asks() => parse(line.as_bytes(), total(stored)),
        _ => Ranges::Whole,
    };
    if stored.part.is_none() {
        return wanted;
    }
    let here = |range: &Range| {
        held(stored).is_some_and(|held| held.first <= range.first && range.last <= held.last)
    };
    let is_here = match &wanted {
        Ranges::Whole | Ranges::Elsewhere => false,
        Ranges::One(range) => here(range),
        Ranges::Many(ranges) => ranges.iter().all(here),
        Ranges::Unsatisfiable => true,
    };
    if is_here { wanted } else { Ranges::Elsewhere }
}

/// The bytes of a range; `None` if they are not stored.
pub(crate) fn slice(stored: &Stored, range: Range) -> Option<Bytes> {
    let held = held(stored)?;
    if range.first > range.last || range.last > held.last {
        return None;
    }
    let start = usize::try_from(range.first.checked_sub(held.first)?).ok()?;
    let end = start.checked_add(usize::try_from(range.length()).ok()?)?;
    (end <= stored.body.len()).then(|| stored.body.slice(start..end))
}

/// Evaluates `If-Range` (RFC 9110 §13.1.5): only what says that the bytes are the same will do.
fn same_as_before(request: &HeaderMap, stored: &Stored) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter().map(HeaderValue::as_bytes);
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(line), None) => {
            let own = EntityTag::of(&stored.headers);
            let mut tags = EntityTag::list(line);
            match (tags.next(), tags.next(), own) {
                (Some(tag), None, Some(own)) if tag.is_same(own) => true,
                _ => {
                    let date = stored.headers.get(LAST_MODIFIED).map(HeaderValue::as_bytes);
                    date == Some(line) && dated_strongly(stored)
                }
            }
        }
        _ => false,
    }
}

/// What `line` asks of a whole of `total` bytes. What makes no sense asks for the whole, and so
/// does what would be more work than that.
fn parse(line: &[u8], total: u64) -> Ranges {
    let unit: &[u8] = b"bytes=";
    let Some((said, set)) = line.split_at_checked(unit.len()) else { return Ranges::Whole };
    if !said.eq_ignore_ascii_case(unit) {
        return Ranges::Whole;
    }
    let mut ranges = Vec::new();
    let mut seen = 0;
    for spec in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue;
        }
        seen += 1;
        match one(spec, total) {
            Spec::Nonsense => return Ranges::Whole,
            _ if seen > MAX_RANGES => return Ranges::Whole,
            // There is no place in nothing.
            Spec::Range(_) if total == 0 => return Ranges::Whole,
            Spec::Range(range) => ranges.push(range),
            Spec::Outside => {}
        }
    }
    match (seen, ranges.as_slice()) {
        (0, _) => return Ranges::Whole,
        (_, []) => return Ranges::Unsatisfiable,
        (_, [one]) => return Ranges::One(*one),
        _ => {}
    }
    let ranges = apart(ranges);
    match ranges.as_slice() {
        [one] => Ranges::One(*one),
        _ => Ranges::Many(ranges),
    }
}

enum Spec {
    Range(Range),
    Outside,
    Nonsense,
}

fn one(spec: &[u8], total: u64) -> Spec {
    let Some(dash) = spec.iter().position(|byte| *byte == b'-') else { return Spec::Nonsense };
    let (Some(first), Some(last)) = (spec.get(..dash), spec.get(dash + 1..)) else {
        return Spec::Nonsense;
    };
    let end = total.saturating_sub(1);
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Spec::Outside,
            _ => Spec::Range(Range { first: total.saturating_sub(suffix), last: end }),
        },
        (Some(first), None) if last.is_empty() => {
            if first < total {
                Spec::Range(Range { first, last: end })
            } else {
                Spec::Outside
            }
        }
        (Some(first), Some(last)) if first <= last => {
            if first < total {
                Spec::Range(Range { first, last: last.min(end) })
            } else {
                Spec::Outside
            }
        }
        _ => Spec::Nonsense,
    }
}

/// A number, the highest there is if it is higher.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// The ranges as they came if they are apart; else in order, with those joined that overlap or
/// nearly touch.
fn apart(ranges: Vec<Range>) -> Vec<Range> {
    let mut ordered = ranges.clone();
    ordered.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ordered.len());
    for range in ordered {
        match joined.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(OVERHEAD) => {
                before.last = before.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    if joined.len() == ranges.len() { ranges } else { joined }
}

#[cfg(test)]
mod tests;
