//! Parts of responses that are stored, and what is made of them.

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
    },
};
use tower_keep_cache::Stamp;

use super::{
    freshen,
    range::{self, Range, Ranges},
    validator::{self, EntityTag},
};
use crate::stored::{Part, Stored};

/// Which part of the whole a 206 of `length` bytes is, if that is clear; never for
/// `multipart/byteranges`. `lenient` takes a part that says it goes to the end, and ends early
/// with the length that its `Content-Length` says, to have the end of the whole where it ends.
pub(crate) fn parse(response: &HeaderMap, length: u64, lenient: bool) -> Option<Part> {
    let multipart = b"multipart/byteranges";
    let kind = response.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.get(..multipart.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(multipart)) {
        return None;
    }
    let mut lines = response.get_all(CONTENT_RANGE).iter().map(HeaderValue::as_bytes);
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    let mut part = place(line)?;
    let stated = Range { first: part.first, last: part.last }.length();
    if lenient && length > 0 && length < stated && part.last + 1 == part.total {
        let said = response.get(CONTENT_LENGTH)?.as_bytes();
        if range::number(said) != Some(length) {
            return None;
        }
        part.total = part.first.checked_add(length)?;
        part.last = part.total - 1;
        return Some(part);
    }
    (stated == length).then_some(part)
}

/// The fields of what is stored with its place in the whole, as those of a 206 that comes in.
pub(crate) fn placed(headers: &HeaderMap, part: Part) -> HeaderMap {
    let mut placed = headers.clone();
    let Part { first, last, total } = part;
    if let Ok(place) = HeaderValue::try_from(format!("bytes {first}-{last}/{total}")) {
        placed.insert(CONTENT_RANGE, place);
    }
    placed
}

fn place(line: &[u8]) -> Option<Part> {
    let unit = b"bytes ";
    let (said, rest) = line.split_at_checked(unit.len())?;
    if !said.eq_ignore_ascii_case(unit) {
        return None;
    }
    let (first, rest) = split(rest, b'-')?;
    let (last, total) = split(rest, b'/')?;
    let number = |digits: &[u8]| range::number(digits.trim_ascii());
    let part = Part { first: number(first)?, last: number(last)?, total: number(total)? };
    (part.first <= part.last && part.last < part.total).then_some(part)
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Whether what is stored has all that a request asks for.
pub(crate) fn covers(method: &Method, request: &HeaderMap, stored: &Stored) -> bool {
    stored.part.is_none() || !matches!(range::wanted(method, request, stored), Ranges::Elsewhere)
}

/// How the rest of a part can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// With `Range` and `If-Range`: what comes back is the rest, or the whole if it has changed.
    IfSame,
    /// With `Range` alone: it has nothing to be known again by. A 206 that comes back cannot be
    /// joined to it, and the whole has to be asked for then.
    Unsure,
    /// Not at all.
    No,
}

/// Makes a GET for the whole ask for what a stored part lacks. Its conditions are taken out: they
/// are for the whole, once that is there.
pub(crate) fn ask_for_rest(request: &mut HeaderMap, stored: &Stored) -> Rest {
    let Some(Part { first, last, total }) = stored.part else { return Rest::No };
    if request.contains_key(RANGE) {
        return Rest::No;
    }
    let range = match (first, last) {
        (0, last) if last.saturating_add(1) < total => format!("bytes={}-", last + 1),
        (first, last) if first > 0 && last.saturating_add(1) == total => {
            format!("bytes=0-{}", first - 1)
        }
        // A gap before and after would come back as several parts.
        _ => return Rest::No,
    };
    let tag = EntityTag::of(&stored.headers).filter(|tag| tag.quoted && !tag.weak);
    let validator = match tag {
        Some(_) => stored.headers.get(ETAG),
        None if stored.headers.contains_key(ETAG) => None,
        None => stored.headers.get(LAST_MODIFIED).filter(|_| validator::dated_strongly(stored)),
    };
    let rest = match validator {
        Some(_) => Rest::IfSame,
        None if validator::has_any(&stored.headers) => return Rest::No,
        None => Rest::Unsure,
    };
    let Ok(range) = HeaderValue::try_from(range) else { return Rest::No };
    for condition in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE] {
        request.remove(condition);
    }
    request.insert(RANGE, range);
    if let Some(validator) = validator {
        request.insert(IF_RANGE, validator.clone());
    }
    rest
}

/// Two responses for the same request as one (RFC 9111 §3.4): where both have the same strong
/// validator, and together are one stretch. `new` came later, and its fields are told. What has
/// become whole is a 200. `None` if they cannot be joined.
pub(crate) fn combine(old: &Stored, new: &Stored) -> Option<Stored> {
    let used = |stored: &Stored| stored.part.is_some() || stored.status == StatusCode::OK;
    let joined = used(old)
        && used(new)
        && (old.part.is_some() || new.part.is_some())
        && range::total(old) == range::total(new)
        && old.stamp.epoch == new.stamp.epoch
        && old.headers.get(CONTENT_ENCODING) == new.headers.get(CONTENT_ENCODING)
        && validator::same_bytes(old, new);
    if !joined {
        return None;
    }
    let (at, body) = join(old, new)?;
    let total = range::total(new);
    let whole = at.first == 0 && at.length() == total;
    let mut headers = freshen::replace(&old.headers, &new.headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_RANGE);
    let mut tags = [old.tags.as_slice(), new.tags.as_slice()].concat();
    tags.sort_unstable();
    tags.dedup();
    Some(Stored {
        status: if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT },
        headers,
        body,
        part: (!whole).then_some(Part { first: at.first, last: at.last, total }),
        freshness: new.freshness.clone(),
        selecting: new.selecting.clone(),
        date: new.date.max(old.date),
        tags,
        // What was purged since the older of them was asked for is gone.
        stamp: Stamp { epoch: new.stamp.epoch, version: old.stamp.version.min(new.stamp.version) },
    })
}

/// The bytes of both as one stretch; `None` if there is a gap, or they are not the same where they
/// overlap.
fn join(old: &Stored, new: &Stored) -> Option<(Range, Bytes)> {
    let (here, there) = (range::held(old)?, range::held(new)?);
    let (low, high) = if here.first <= there.first { (old, new) } else { (new, old) };
    let (a, b) = (range::held(low)?, range::held(high)?);
    if b.first > a.last.checked_add(1)? {
        return None;
    }
    if b.first <= a.last {
        let both = Range { first: b.first, last: a.last.min(b.last) };
        if range::slice(low, both)? != range::slice(high, both)? {
            return None;
        }
    }
    if b.last <= a.last {
        return Some((a, low.body.clone()));
    }
    let more = range::slice(high, Range { first: a.last + 1, last: b.last })?;
    let mut body = BytesMut::with_capacity(low.body.len() + more.len());
    body.extend_from_slice(&low.body);
    body.extend_from_slice(&more);
    Some((Range { first: a.first, last: b.last }, body.freeze()))
}

#[cfg(test)]
mod tests;
