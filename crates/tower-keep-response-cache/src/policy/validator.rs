//! Entity tags and modification dates: what a representation is known again by (RFC 9110 §8.8).

use http::{
    HeaderMap,
    header::{ETAG, LAST_MODIFIED},
};

use super::date;
use crate::stored::Stored;

/// An entity tag, or what a service wrote in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    pub(crate) weak: bool,
    /// What stands between the quotes; all of it where there are none.
    pub(crate) opaque: &'a [u8],
    /// It is in quotes, as it should be.
    pub(crate) quoted: bool,
}

impl<'a> EntityTag<'a> {
    /// The tag of a response; `None` where it has none, or several.
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(ETAG).iter();
        let line = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        let (tag, rest) = Self::first(line.as_bytes())?;
        rest.is_empty().then_some(tag)
    }

    /// All tags of a list. What is no tag is taken as it is, up to the next comma.
    pub(crate) fn list(line: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = line;
        std::iter::from_fn(move || {
            let (tag, after) = Self::first(rest)?;
            rest = after;
            Some(tag)
        })
    }

    /// Whether both stand for the same bytes.
    pub(crate) fn is_same(self, other: Self) -> bool {
        let sure = |tag: Self| !tag.weak && tag.quoted;
        sure(self) && sure(other) && self.opaque == other.opaque
    }

    /// Whether either will do in place of the other.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    fn first(list: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let blank = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        let (_, list) = list.split_at_checked(list.iter().position(|byte| !blank(byte))?)?;
        let (weak, tag) = match list {
            [b'W' | b'w', b'/', tag @ ..] => (true, tag),
            tag => (false, tag),
        };
        if let [b'"', tag @ ..] = tag
            && let Some(end) = tag.iter().position(|byte| *byte == b'"')
            && let Some((opaque, [_, after @ ..])) = tag.split_at_checked(end)
        {
            return Some((Self { weak, opaque, quoted: true }, after));
        }
        let end = tag.iter().position(|byte| *byte == b',').unwrap_or(tag.len());
        let (opaque, after) = tag.split_at_checked(end)?;
        Some((Self { weak, opaque: opaque.trim_ascii(), quoted: false }, after))
    }
}

/// Whether the response has anything to ask by.
pub(crate) fn has_any(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// Whether the modification date of what is stored is as good as a strong tag: another version of
/// the same second would have been seen by the time its service sent it (RFC 9110 §8.8.2.2).
pub(crate) fn dated_strongly(stored: &Stored) -> bool {
    let headers = &stored.headers;
    let field = |name| date::field(headers, name, stored.freshness.received);
    matches!(
        (field(LAST_MODIFIED), field(http::header::DATE)),
        (Some(modified), Some(date)) if modified.0.saturating_add(1000) <= date.0
    )
}

/// Whether both have the same strong validator, so that their bytes are of one representation.
pub(crate) fn same_bytes(a: &Stored, b: &Stored) -> bool {
    let tagged = |stored: &Stored| stored.headers.contains_key(ETAG);
    if tagged(a) || tagged(b) {
        return matches!(
            (EntityTag::of(&a.headers), EntityTag::of(&b.headers)),
            (Some(a), Some(b)) if a.is_same(b)
        );
    }
    dated_strongly(a)
        && dated_strongly(b)
        && a.headers.get(LAST_MODIFIED) == b.headers.get(LAST_MODIFIED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::testing::{fields, stored};

    fn tag(value: &str) -> EntityTag<'_> {
        EntityTag::list(value.as_bytes()).next().unwrap()
    }

    #[test]
    fn tags_are_compared_strongly_and_weakly() {
        for (a, b, same, like) in [
            ("\"1\"", "\"1\"", true, true),
            ("\"1\"", "\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("W/\"1\"", "W/\"1\"", false, true),
            ("w/\"1\"", "W/\"1\"", false, true),
            ("\"\"", "\"\"", true, true),
            // Not in quotes: like it, but nothing to join bytes by.
            ("1", "\"1\"", false, true),
            ("1", "1", false, true),
            ("W\\\"1\"", "W\\\"1\"", false, true),
            ("W\"1\"", "W\"1\"", false, true),
            ("W\"1\"", "W/\"1\"", false, false),
            ("\"a,b\"", "\"a\"", false, false),
        ] {
            assert_eq!(tag(a).is_same(tag(b)), same, "{a} {b}");
            assert_eq!(tag(a).is_like(tag(b)), like, "{a} {b}");
        }
    }

    #[test]
    fn lists_of_tags_are_read() {
        let read = |line: &str| -> Vec<String> {
            EntityTag::list(line.as_bytes())
                .map(|tag| {
                    let opaque = String::from_utf8_lossy(tag.opaque).into_owned();
                    if tag.weak { format!("W {opaque}") } else { opaque }
                })
                .collect()
        };
        assert_eq!(read("\"a\", W/\"b,c\" ,, d e , \"f"), ["a", "W b,c", "d e", "\"f"]);
        assert_eq!(read("\"a\"\"b\""), ["a", "b"]);
        assert_eq!(read("\"\u{fc}\""), ["\u{fc}"]);
        assert!(read(" ,, ").is_empty());
    }

    #[test]
    fn a_response_has_one_tag_or_none() {
        assert!(EntityTag::of(&fields(&[("etag", "\"a\"")])).is_some());
        for etags in [&[][..], &[""], &["\"a\"", "\"a\""], &["\"a\", \"b\""], &["\"a\"x"]] {
            let etags: Vec<_> = etags.iter().map(|etag| ("etag", *etag)).collect();
            assert_eq!(EntityTag::of(&fields(&etags)), None, "{etags:?}");
        }
    }

    #[test]
    fn only_strong_validators_say_that_bytes_are_the_same() {
        let date = ("date", "Mon, 01 Jan 2024 00:00:00 GMT");
        let modified = ("last-modified", "Sun, 31 Dec 2023 23:59:59 GMT");
        let just_now = ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
        for (a, b, same) in [
            (&[("etag", "\"1\"")][..], &[("etag", "\"1\"")][..], true),
            (&[("etag", "W/\"1\"")], &[("etag", "W/\"1\"")], false),
            (&[("etag", "1")], &[("etag", "1")], false),
            (&[modified, date], &[modified, date], true),
            (&[modified, date], &[modified], false),
            (&[just_now, date], &[just_now, date], false),
            // The tag is what counts where there is one.
            (&[modified, date, ("etag", "\"1\"")], &[modified, date], false),
            (&[modified, date, ("etag", "\"1\"")], &[modified, date, ("etag", "\"2\"")], false),
            (&[], &[], false),
        ] {
            assert_eq!(same_bytes(&stored(a, ""), &stored(b, "")), same, "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn every_list_has_an_end(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let tags = EntityTag::list(&line).count();
            prop_assert!(tags <= line.len());
        }
    }
}
