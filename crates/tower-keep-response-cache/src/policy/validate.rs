//! Requests that ask whether what is stored is still so (RFC 9111 §4.3.1).

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        LAST_MODIFIED, RANGE,
    },
};

use super::validator::{self, EntityTag};
use crate::stored::Stored;

/// The most variants that are asked about at once, and the most bytes of their tags.
const MAX_TAGS: usize = 16;
const MAX_BYTES: usize = 4096;

/// Makes a request ask about what was chosen for it. The conditions that it had are taken out, to be
/// evaluated on what comes back (`answer`), and so is its range, unless what is stored is a part
/// itself. `false` if it has nothing to ask by: the request is as it was.
pub(crate) fn ask(request: &mut HeaderMap, stored: &Stored) -> bool {
    if !validator::has_any(&stored.headers) {
        return false;
    }
    request.remove(IF_NONE_MATCH);
    request.remove(IF_MODIFIED_SINCE);
    // Of a part that is no longer so, only what is wanted need come back.
    if stored.part.is_none() {
        request.remove(RANGE);
        request.remove(IF_RANGE);
    }
    for (condition, validator) in [(IF_NONE_MATCH, ETAG), (IF_MODIFIED_SINCE, LAST_MODIFIED)] {
        if let Some(value) = stored.headers.get(validator) {
            request.insert(condition, value.clone());
        }
    }
    true
}

/// Makes a request that none of the stored variants was chosen for ask whether one of these is its
/// answer all the same, by their tags. `false` if there is none to ask about.
pub(crate) fn ask_which(request: &mut HeaderMap, variants: &[Arc<Stored>]) -> bool {
    let tags: Vec<&[u8]> = variants.iter().filter_map(|stored| tag(stored)).collect();
    if tags.is_empty() {
        return false;
    }
    let Ok(list) = HeaderValue::from_bytes(&tags.join(&b", "[..])) else { return false };
    request.insert(IF_NONE_MATCH, list);
    true
}

/// The variants that may be asked about: whole ones with tags, each tag once, in a coding that the
/// request accepts. A service that puts the same tag on all codings of a page would have the wrong
/// one chosen.
pub(crate) fn candidates<'a>(
    request: &HeaderMap,
    variants: impl Iterator<Item = &'a Arc<Stored>>,
) -> Vec<Arc<Stored>> {
    let mut chosen: Vec<Arc<Stored>> = Vec::new();
    let mut bytes = 0;
    for stored in variants {
        let is_whole = stored.part.is_none() && stored.status == StatusCode::OK;
        let Some(tag) = tag(stored).filter(|_| is_whole && accepts(request, stored)) else {
            continue;
        };
        let is_new = chosen.iter().all(|known| self::tag(known) != Some(tag));
        bytes += tag.len();
        if is_new && chosen.len() < MAX_TAGS && bytes <= MAX_BYTES {
            chosen.push(Arc::clone(stored));
        }
    }
    chosen
}

/// The tag of a variant as it is written, where that is as it should be.
fn tag(stored: &Stored) -> Option<&[u8]> {
    EntityTag::of(&stored.headers).filter(|tag| tag.quoted)?;
    stored.headers.get(ETAG).map(|line| line.as_bytes().trim_ascii())
}

/// Whether a request says that it takes the coding that is stored. None at all is always taken.
fn accepts(request: &HeaderMap, stored: &Stored) -> bool {
    let elements = |headers: &'_ HeaderMap, name| {
        let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let elements = lines.flat_map(|line| line.split(|byte| *byte == b','));
        elements.map(|it| it.trim_ascii().to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let wanted = elements(request, ACCEPT_ENCODING);
    elements(&stored.headers, CONTENT_ENCODING).iter().all(|coding| {
        wanted.iter().any(|wanted| {
            let mut pieces = wanted.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let is_named = pieces.next() == Some(coding);
            // A weight of nothing is a no.
            is_named
                && !pieces.any(|it| {
                    it.starts_with(b"q=0") && !it.iter().any(|c| matches!(c, b'1'..=b'9'))
                })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{self, fields, stored};

    const DAY: &str = "Mon, 01 Jan 2024 00:00:00 GMT";

    #[test]
    fn the_chosen_one_is_asked_about_by_all_it_has() {
        for (response, asked) in [
            (&[("etag", "\"a\"")][..], &[("if-none-match", "\"a\"")][..]),
            (&[("etag", "W/\"a\"")], &[("if-none-match", "W/\"a\"")]),
            (&[("etag", "a")], &[("if-none-match", "a")]),
            (&[("last-modified", DAY)], &[("if-modified-since", DAY)]),
            (
                &[("etag", "\"a\""), ("last-modified", DAY)],
                &[("if-none-match", "\"a\""), ("if-modified-since", DAY)],
            ),
        ] {
            let mut request = fields(&[
                ("if-none-match", "\"x\""),
                ("if-none-match", "\"y\""),
                ("if-modified-since", DAY),
                ("range", "bytes=0-1"),
                ("if-range", "\"x\""),
                ("abc", "1"),
                ("if-match", "\"x\""),
            ]);
            assert!(ask(&mut request, &stored(response, "")));
            let asked = [asked, &[("abc", "1"), ("if-match", "\"x\"")]].concat();
            assert_eq!(request, fields(&asked), "{response:?}");
        }
    }

    #[test]
    fn nothing_is_asked_where_there_is_nothing_to_ask_by() {
        let plain = stored(&[("a", "1")], "");
        let as_it_was = fields(&[("if-none-match", "\"x\""), ("range", "bytes=0-1")]);
        let mut request = as_it_was.clone();
        assert!(!ask(&mut request, &plain));
        for variants in [&[][..], &[Arc::new(plain)]] {
            assert!(!ask_which(&mut request, variants));
        }
        assert_eq!(request, as_it_was);
    }

    #[test]
    fn variants_are_asked_about_together() {
        let tagged = |tag: &str| stored(&[("etag", tag), ("last-modified", DAY)], "0123");
        let mut missing = tagged("\"m\"");
        missing.status = StatusCode::NOT_FOUND;
        let all = [
            tagged("\"a\""),
            tagged("\"b,\""),
            tagged("\"a\""),
            tagged("bare"),
            testing::part(tagged("\"p\""), 0, 1),
            missing,
            stored(&[("last-modified", DAY)], ""),
            tagged("W/\"c\""),
        ]
        .map(Arc::new);
        let mut request = fields(&[("abc", "1")]);
        let asked = candidates(&request, all.iter());
        assert!(ask_which(&mut request, &asked));
        assert_eq!(request, fields(&[("abc", "1"), ("if-none-match", "\"a\", \"b,\", W/\"c\"")]));
        let many: Vec<_> = (0..20).map(|i| Arc::new(tagged(&format!("\"{i}\"")))).collect();
        assert_eq!(candidates(&request, many.iter()).len(), MAX_TAGS);
        let long: Vec<_> =
            ["x", "y"].map(|it| Arc::new(tagged(&format!("\"{}\"", it.repeat(2500))))).into();
        assert_eq!(candidates(&request, long.iter()).len(), 1);
    }

    #[test]
    fn only_variants_whose_coding_is_accepted_are_asked_about() {
        let coded = |coding: &'static str| {
            [Arc::new(stored(&[("etag", "\"a\""), ("content-encoding", coding)], ""))]
        };
        for (accepted, coding, expected) in [
            (&["gzip"][..], "gzip", true),
            (&["br;q=0.5 , GZip; q=0.01"], "gzip", true),
            (&["br", "gzip"], "gzip", true),
            (&["br, gzip"], "br, gzip", true),
            (&["br"], "br, gzip", false),
            (&["br"], "gzip", false),
            (&["gzip;q=0.000"], "gzip", false),
            (&["gzip;q=0"], "gzip", false),
            (&["*"], "gzip", false),
            (&[], "gzip", false),
        ] {
            let accepted: Vec<_> = accepted.iter().map(|it| ("accept-encoding", *it)).collect();
            let found = candidates(&fields(&accepted), coded(coding).iter()).len();
            assert_eq!(found == 1, expected, "{accepted:?} {coding}");
        }
        let plain = [Arc::new(stored(&[("etag", "\"a\"")], ""))];
        assert_eq!(candidates(&fields(&[]), plain.iter()).len(), 1);
    }

    #[test]
    fn of_a_part_the_range_is_still_wanted() {
        let part = testing::part(stored(&[("etag", "\"a\"")], "0123"), 0, 1);
        let mut request = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\"")]);
        assert!(ask(&mut request, &part));
        assert_eq!(
            request,
            fields(&[("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-none-match", "\"a\"")])
        );
    }
}
