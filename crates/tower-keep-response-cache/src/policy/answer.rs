//! An answer, made of what is stored.

use std::hash::{BuildHasher as _, RandomState};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
        VARY,
    },
};
use tower_keep_core::{decimal, time::UnixMillis};

use super::{
    condition::{self, Condition},
    head,
    range::{self, Range, Ranges},
};
use crate::stored::Stored;

/// Digests of the bytes of one message, which a part does not have.
const DIGESTS: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

/// The answer to a GET or HEAD from what [`choose`](super::vary::choose) found: all of it, the
/// ranges that are asked for, 304 if the client has it already, 416 if it has none of the ranges.
/// The body of an answer to HEAD is empty, and its `Content-Length` that of GET.
pub(crate) fn answer(
    method: &Method,
    request: &HeaderMap,
    stored: &Stored,
    now: UnixMillis,
) -> Response<Bytes> {
    if condition::evaluate(request, stored, now) == Condition::NotModified {
        return not_modified(stored, now);
    }
    let total = range::total(stored);
    match range::wanted(method, request, stored) {
        Ranges::One(range) => one(stored, range, now),
        Ranges::Many(ranges) => many(stored, &ranges, now),
        Ranges::Unsatisfiable => unsatisfiable(stored, total, now),
        // A part is told as one, whoever asks: it says itself what it is.
        Ranges::Whole | Ranges::Elsewhere => match range::held(stored) {
            Some(held) if stored.part.is_some() => one(stored, held, now),
            _ => {
                let body = if method == Method::HEAD { Bytes::new() } else { stored.body.clone() };
                respond(stored.status, head::tell(stored, now), body)
            }
        },
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Without what describes a body (RFC 9110 §15.4.5): the client has that.
fn not_modified(stored: &Stored, now: UnixMillis) -> Response<Bytes> {
    let mut headers = head::tell(stored, now);
    for field in [CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE]
        .iter()
        .chain(&DIGESTS)
    {
        headers.remove(field);
    }
    respond(StatusCode::NOT_MODIFIED, headers, Bytes::new())
}

fn one(stored: &Stored, range: Range, now: UnixMillis) -> Response<Bytes> {
    let body = range::slice(stored, range).unwrap_or_default();
    let mut headers = partial(stored, body.len(), now);
    headers.insert(CONTENT_RANGE, place(range, range::total(stored)));
    respond(StatusCode::PARTIAL_CONTENT, headers, body)
}

fn many(stored: &Stored, ranges: &[Range], now: UnixMillis) -> Response<Bytes> {
    let total = range::total(stored);
    let boundary = boundary();
    let mut body = BytesMut::new();
    for range in ranges {
        body.put_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        if let Some(kind) = stored.headers.get(CONTENT_TYPE) {
            body.put_slice(b"Content-Type: ");
            body.put_slice(kind.as_bytes());
            body.put_slice(b"\r\n");
        }
        let Range { first, last } = range;
        body.put_slice(format!("Content-Range: bytes {first}-{last}/{total}\r\n\r\n").as_bytes());
        body.put(range::slice(stored, *range).unwrap_or_default());
    }
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let mut headers = partial(stored, body.len(), now);
    headers.remove(CONTENT_RANGE);
    if let Ok(kind) = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    respond(StatusCode::PARTIAL_CONTENT, headers, body.freeze())
}

/// Nobody who writes a body can know it: the standard library's hasher has random keys.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}

fn partial(stored: &Stored, length: usize, now: UnixMillis) -> HeaderMap {
    let mut headers = head::tell(stored, now);
    for digest in &DIGESTS {
        headers.remove(digest);
    }
    headers.insert(CONTENT_LENGTH, decimal(length as u64));
    headers
}

/// Nothing of it may be stored by others in place of the response.
fn unsatisfiable(stored: &Stored, total: u64, now: UnixMillis) -> Response<Bytes> {
    let mut headers = HeaderMap::new();
    for field in [DATE, VARY] {
        for value in stored.headers.get_all(&field) {
            headers.append(field.clone(), value.clone());
        }
    }
    headers.insert(AGE, decimal(stored.freshness.age(now)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Ok(place) = HeaderValue::try_from(format!("bytes */{total}")) {
        headers.insert(CONTENT_RANGE, place);
    }
    respond(StatusCode::RANGE_NOT_SATISFIABLE, headers, Bytes::new())
}

fn place(Range { first, last }: Range, total: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes {first}-{last}/{total}"))
        .unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

#[cfg(test)]
mod tests;
