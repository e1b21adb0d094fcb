//! `Cache-Status` (RFC 9211): what a cache of ours did with a request, told in its answer.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::digits::Digits;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went on to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forward {
    /// The cache was told not to look.
    Bypass,
    /// The method is not looked up.
    Method,
    /// Nothing is stored for the target.
    UriMiss,
    /// Something is, for other requests than this.
    VaryMiss,
    /// Nothing that is stored would do.
    Miss,
    /// Something is stored and fresh, but the request wants another.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is a part of what is asked for.
    Partial,
}

impl Forward {
    const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Keeps a place for it in the fields of a stored response, if no other cache has said anything, so
/// that those who copy them need no more room.
#[doc(hidden)]
pub fn reserve(stored: &mut HeaderMap) {
    stored.entry(CACHE_STATUS).or_insert(HeaderValue::from_static(RESERVED));
}

/// Whether this is but a place that was kept.
#[doc(hidden)]
pub fn is_reserved(value: &HeaderValue) -> bool {
    value == RESERVED
}

/// Says nothing, so no other cache says it.
const RESERVED: &str = "tower-keep";

/// What became of a request, to be told in `Cache-Status`.
///
/// ```
/// use http::HeaderMap;
/// use tower_keep_core::cache_status::{CacheStatus, Forward};
///
/// let mut answer = HeaderMap::new();
/// let status = CacheStatus { forward: Some(Forward::UriMiss), stored: true, ..CacheStatus::default() };
/// status.append(&mut answer);
/// assert_eq!(answer["cache-status"], "tower-keep; fwd=uri-miss; stored");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// Answered without asking the service. Said only where `forward` is `None`.
    pub hit: bool,
    /// Why the service was asked.
    pub forward: Option<Forward>,
    /// What the service said, where that is not what the client is told.
    pub forward_status: Option<StatusCode>,
    /// For how long what is told is still fresh: seconds, negative once stale.
    pub ttl: Option<i64>,
    /// What the service said is kept.
    pub stored: bool,
    /// Another request asked the service for this one too.
    pub collapsed: bool,
    /// What it is kept under.
    pub key: Option<&'a str>,
    /// What else is to be said. A token: lower-case letters, digits and hyphens.
    pub detail: Option<&'static str>,
}

impl CacheStatus<'_> {
    /// The value that says so. Allocates once.
    pub fn value(&self) -> HeaderValue {
        let mut line = Line { bytes: [0; Line::LENGTH], length: 0 };
        line.add(&[b"tower-keep"]);
        match self.forward {
            Some(forward) => line.add(&[b"; fwd=", forward.token().as_bytes()]),
            None if self.hit => line.add(&[b"; hit"]),
            None => {}
        }
        if let Some(status) = self.forward_status {
            line.add(&[b"; fwd-status=", status.as_str().as_bytes()]);
        }
        if let Some(ttl) = self.ttl {
            // As far as a structured field counts.
            let digits = Digits::of(ttl.unsigned_abs().min(999_999_999_999_999));
            line.add(&[b"; ttl=", if ttl < 0 { b"-" } else { b"" }, digits.as_bytes()]);
        }
        if self.stored {
            line.add(&[b"; stored"]);
        }
        if self.collapsed {
            line.add(&[b"; collapsed"]);
        }
        if let Some(detail) = self.detail {
            line.add(&[b"; detail=", detail.as_bytes()]);
        }
        if let Some(key) = self.key {
            line.quoted(b"; key=", key);
        }
        HeaderValue::from_bytes(line.written())
            .unwrap_or_else(|_| HeaderValue::from_static("tower-keep"))
    }

    /// Adds it behind what other caches said.
    pub fn append(&self, response: &mut HeaderMap) {
        if response.get(CACHE_STATUS).is_some_and(is_reserved) {
            response.insert(CACHE_STATUS, self.value());
        } else {
            response.append(CACHE_STATUS, self.value());
        }
    }
}

/// A value being written, where it needs no memory of its own. What does not fit any more is left
/// out.
struct Line {
    bytes: [u8; Self::LENGTH],
    length: usize,
}

impl Line {
    const LENGTH: usize = 512;

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Adds all of the pieces or none.
    fn add(&mut self, pieces: &[&[u8]]) {
        let start = self.length;
        for piece in pieces {
            let end = self.length.saturating_add(piece.len());
            let Some(room) = self.bytes.get_mut(self.length..end) else {
                self.length = start;
                return;
            };
            room.copy_from_slice(piece);
            self.length = end;
        }
    }

    /// Adds text as a string, if it can be one.
    fn quoted(&mut self, name: &[u8], text: &str) {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return;
        }
        let start = self.length;
        self.add(&[name, b"\""]);
        let begun = self.length > start;
        let mut whole = begun;
        for byte in text.bytes() {
            let before = self.length;
            match byte {
                b'"' | b'\\' => self.add(&[b"\\", &[byte]]),
                _ => self.add(&[&[byte]]),
            }
            whole &= self.length > before;
        }
        let before = self.length;
        self.add(&[b"\""]);
        if !whole || self.length == before {
            self.length = start;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn said(status: CacheStatus<'_>) -> String {
        status.value().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_became_of_a_request_is_told() {
        let nothing = CacheStatus::default();
        let hit = CacheStatus { hit: true, ttl: Some(30), ..nothing };
        let fwd = |forward| CacheStatus { forward: Some(forward), ..nothing };
        for (status, expected) in [
            (nothing, "tower-keep"),
            (hit, "tower-keep; hit; ttl=30"),
            (CacheStatus { ttl: Some(0), ..hit }, "tower-keep; hit; ttl=0"),
            (CacheStatus { ttl: Some(-412), ..hit }, "tower-keep; hit; ttl=-412"),
            (CacheStatus { forward: Some(Forward::Stale), ..hit }, "tower-keep; fwd=stale; ttl=30"),
            (fwd(Forward::UriMiss), "tower-keep; fwd=uri-miss"),
            (
                CacheStatus {
                    forward_status: Some(StatusCode::NOT_MODIFIED),
                    ttl: Some(60),
                    stored: true,
                    collapsed: true,
                    detail: Some("no-store"),
                    key: Some("h/a?b=\"\\\""),
                    ..fwd(Forward::Stale)
                },
                "tower-keep; fwd=stale; fwd-status=304; ttl=60; stored; collapsed; \
                 detail=no-store; key=\"h/a?b=\\\"\\\\\\\"\"",
            ),
            (CacheStatus { key: Some("\u{fc}"), ..hit }, "tower-keep; hit; ttl=30"),
        ] {
            assert_eq!(said(status), expected);
        }
        let long = "x".repeat(600);
        assert_eq!(said(CacheStatus { key: Some(&long), ..hit }), "tower-keep; hit; ttl=30");
    }

    #[test]
    fn it_stands_behind_what_others_said() {
        let mut response = fields(&[("cache-status", "other; hit"), ("a", "1")]);
        CacheStatus { hit: true, ..CacheStatus::default() }.append(&mut response);
        assert_eq!(
            response,
            fields(&[
                ("cache-status", "other; hit"),
                ("a", "1"),
                ("cache-status", "tower-keep; hit")
            ])
        );
    }

    proptest! {
        #[test]
        fn it_is_always_a_list_of_one(
            ttl in proptest::option::of(any::<i64>()),
            key in proptest::option::of("[ -~\u{e0}]{0,500}|[\"\\\\]{0,300}"),
            forward in proptest::option::of(Just(Forward::Partial)),
        ) {
            let status = CacheStatus { hit: true, ttl, key: key.as_deref(), forward, ..CacheStatus::default() };
            let value = status.value();
            let list = sfv::Parser::parse_list(value.as_bytes()).unwrap();
            prop_assert_eq!(list.len(), 1);
        }
    }
}
