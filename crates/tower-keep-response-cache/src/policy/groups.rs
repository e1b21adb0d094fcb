//! What a response can be purged by: groups (RFC 9875), tags, its path.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sfv::{BareItem, ListEntry, Parser};
use tower_keep_cache::Tag;

use super::{invalidate, key::Target};
use crate::options::Options;

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Names in these fields are separated by spaces, in all others by commas.
const SPACED: [&str; 2] = ["surrogate-key", "xkey"];

/// The most tags of one response, and the most groups that one response makes invalid.
const MAX_TAGS: usize = 256;

/// A response has more tags than are kept: to store it would be to miss some of its purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The tag of a name that a response gave itself in a tag field.
pub(crate) fn named(name: &[u8]) -> Tag {
    Tag::new("tag", name)
}

/// The tag of all that is stored for a path, whatever the query, the host or the user.
pub(crate) fn path(path: &str) -> Tag {
    Tag::new("path", path.as_bytes())
}

/// The tag of all paths that begin with a registered prefix.
pub(crate) fn prefix(prefix: &str) -> Tag {
    Tag::new("prefix", prefix.as_bytes())
}

/// The tag of all responses: a tenant has other things in a shared store.
pub(crate) fn every_response() -> Tag {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new("kind", b"response"));
    *TAG
}

/// What a response can be purged by: its path, the registered prefixes of that, its groups, and
/// the names in the fields of `options.tag_fields`.
pub(crate) fn tags(
    response: &HeaderMap,
    target: Target<'_>,
    prefixes: &[String],
    options: &Options,
) -> Result<Vec<Tag>, TooMany> {
    let mut tags = vec![path(target.path)];
    tags.extend(prefixes.iter().filter(|start| target.path.starts_with(*start)).map(|s| prefix(s)));
    for name in groups(response, &CACHE_GROUPS) {
        // For a program that purges the name by itself, of whatever host.
        tags.extend([group(target, &name), named(name.as_bytes())]);
    }
    for field in &options.tag_fields {
        let spaced = SPACED.contains(&field.as_str());
        let ends = |byte: &u8| if spaced { byte.is_ascii_whitespace() } else { *byte == b',' };
        for line in response.get_all(field) {
            let names = line.as_bytes().split(ends).map(<[u8]>::trim_ascii);
            // One more than are kept tells that there are too many; nobody need hash the rest.
            tags.extend(names.filter(|name| !name.is_empty()).map(named).take(MAX_TAGS + 1));
        }
    }
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > MAX_TAGS { Err(TooMany) } else { Ok(tags) }
}

/// The groups that an answer to an unsafe request makes invalid; of an answer to a safe one none.
pub(crate) fn invalidated(method: &Method, response: &HeaderMap, target: Target<'_>) -> Vec<Tag> {
    if invalidate::is_safe(method) {
        return Vec::new();
    }
    let names = groups(response, &CACHE_GROUP_INVALIDATION);
    names.iter().take(MAX_TAGS).map(|name| group(target, name)).collect()
}

/// A group of the target's origin. Those of another are other groups; the scheme is left out,
/// since HTTP/1 does not say it. No host has a space in it.
pub(crate) fn group(target: Target<'_>, name: &str) -> Tag {
    Tag::new("group", &[target.host().as_slice(), b" ", name.as_bytes()].concat())
}

/// The names of the groups that a field lists, one more than are kept at most.
fn groups(response: &HeaderMap, field: &HeaderName) -> Vec<String> {
    let mut lines = response.get_all(field).iter().map(HeaderValue::as_bytes).peekable();
    if lines.peek().is_none() {
        return Vec::new();
    }
    let lines: Vec<_> = lines.collect();
    let Ok(list) = Parser::parse_list(&lines.join(&b", "[..])) else { return Vec::new() };
    let names = list.into_iter().filter_map(|entry| match entry {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::String(name) => Some(name),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    });
    names.take(MAX_TAGS + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::fields;

    const TARGET: Target<'static> =
        Target { scheme: None, authority: b"H", path: "/a/b", query: Some("x") };

    fn of(response: &[(&str, &str)], prefixes: &[&str]) -> Vec<Tag> {
        let options = Options {
            tag_fields: vec![
                HeaderName::from_static("surrogate-key"),
                HeaderName::from_static("cache-tag"),
            ],
            ..Options::default()
        };
        let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
        tags(&fields(response), TARGET, &prefixes, &options).unwrap()
    }

    fn of_group(name: &str) -> Tag {
        Tag::new("group", format!("h {name}").as_bytes())
    }

    /// Each is a group of the host, and a tag by itself.
    fn in_groups(names: &[&str]) -> Vec<Tag> {
        names.iter().flat_map(|name| [of_group(name), named(name.as_bytes())]).collect()
    }

    fn sorted(tags: &[Tag]) -> Vec<Tag> {
        let mut tags = [tags, &[path("/a/b")]].concat();
        tags.sort_unstable();
        tags
    }

    #[test]
    fn a_response_has_the_tags_that_it_says() {
        for (response, prefixes, expected) in [
            (&[][..], &[][..], vec![]),
            (&[], &["/a/", "/a", "/b", "/a/b/c"], vec![prefix("/a/"), prefix("/a")]),
            (&[("surrogate-key", "x y,z  x")], &[], vec![named(b"x"), named(b"y,z")]),
            (
                &[("cache-tag", "x y, z,,"), ("cache-tag", "Z")],
                &[],
                vec![named(b"x y"), named(b"z"), named(b"Z")],
            ),
            (&[("cache-groups", "\"x\", \"y z\";a=1")], &[], in_groups(&["x", "y z"])),
            (&[("cache-groups", "\"x\""), ("cache-groups", "\"y\"")], &[], in_groups(&["x", "y"])),
            (&[("cache-groups", "\"x\", y, (\"z\")")], &[], in_groups(&["x"])),
            (&[("cache-groups", "\"x")], &[], vec![]),
            (&[("x-tags", "a")], &[], vec![]),
        ] {
            assert_eq!(of(response, prefixes), sorted(&expected), "{response:?}");
        }
    }

    #[test]
    fn tags_of_different_kinds_are_different() {
        let all = [named(b"/a"), path("/a"), prefix("/a"), Tag::new("group", b"/a")];
        for (i, a) in all.iter().enumerate() {
            assert!(!all[..i].contains(a));
        }
    }

    #[test]
    fn groups_belong_to_an_origin() {
        let response = fields(&[("cache-groups", "\"x\"")]);
        let of = |authority: &'static [u8], scheme| {
            let target = Target { scheme, authority, ..TARGET };
            tags(&response, target, &[], &Options::default()).unwrap()
        };
        assert_eq!(of(b"h", None), of(b"H:443", Some("https")));
        assert_ne!(of(b"h", None), of(b"i", None));
        assert_ne!(of(b"h", None), of(b"h:8080", None));
    }

    #[test]
    fn more_tags_than_are_kept_are_too_many() {
        let names: Vec<_> = (0..MAX_TAGS).map(|i| format!("t{i}")).collect();
        let options = Options {
            tag_fields: vec![HeaderName::from_static("cache-tag")],
            ..Options::default()
        };
        let of = |names: &[String]| {
            tags(&fields(&[("cache-tag", &names.join(","))]), TARGET, &[], &options)
        };
        assert_eq!(of(&names[1..]).unwrap().len(), MAX_TAGS);
        assert_eq!(of(&names), Err(TooMany));
    }

    #[test]
    fn only_unsafe_requests_make_groups_invalid() {
        let response = fields(&[("cache-group-invalidation", "\"x\", \"y\"")]);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(invalidated(&method, &response, TARGET), [of_group("x"), of_group("y")]);
        }
        let query = Method::from_bytes(b"QUERY").unwrap();
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, query] {
            assert!(invalidated(&method, &response, TARGET).is_empty());
        }
        assert!(invalidated(&Method::POST, &fields(&[]), TARGET).is_empty());
    }
}
