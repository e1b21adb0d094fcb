//! A request without the members that are meant for us, every other byte as it came: what is sent
//! on keeps its order and spelling, and so the place that the upstream's own prompt cache has it in.

use bytes::Bytes;

use crate::json::{Member, Node, Span};

/// The object's text without its own members that `remove` names, and without one comma for each.
/// White space between a member and the next goes with it.
pub(crate) fn without(text: &Bytes, root: &Node<'_>, remove: impl Fn(&str) -> bool) -> Bytes {
    let cuts = cuts(root.members(), remove);
    if cuts.is_empty() {
        return text.clone();
    }
    replace(text, cuts.into_iter().map(|cut| (cut, &[][..])).collect()).into()
}

/// The same, with a member's value replaced.
pub(crate) fn without_and_with(
    text: &[u8],
    root: &Node<'_>,
    remove: impl Fn(&str) -> bool,
    new: (Span, &[u8]),
) -> Bytes {
    let mut edits: Vec<_> =
        cuts(root.members(), remove).into_iter().map(|cut| (cut, &[][..])).collect();
    edits.push(new);
    replace(text, edits).into()
}

/// The text with other bytes where the spans are, which do not overlap.
pub(crate) fn replace(text: &[u8], mut edits: Vec<(Span, &[u8])>) -> Vec<u8> {
    edits.sort_unstable_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (span, new) in edits {
        out.extend_from_slice(Span { start: at, end: span.start }.of(text));
        out.extend_from_slice(new);
        at = span.end;
    }
    out.extend_from_slice(Span { start: at, end: text.len() }.of(text));
    out
}

/// What is to be cut out, in order.
fn cuts(members: &[Member<'_>], remove: impl Fn(&str) -> bool) -> Vec<Span> {
    let mut cuts: Vec<Span> = Vec::new();
    let mut kept_end = None;
    let mut next = members.iter().skip(1);
    for member in members {
        let following = next.next();
        if !remove(&member.name) {
            kept_end = Some(member.value.span.end);
            continue;
        }
        let Some(following) = following else {
            // The last goes with the comma before it, and with those before it that go too.
            let start = kept_end.or(members.first().map(|first| first.start));
            let start = start.unwrap_or(member.start);
            cuts.retain(|cut| cut.start < start);
            cuts.push(Span { start, end: member.value.span.end });
            break;
        };
        cuts.push(Span { start: member.start, end: following.start });
    }
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, Spelled};

    fn cut(text: &str, names: &[&str]) -> String {
        let root = Node::read(text.as_bytes()).unwrap();
        let text = Bytes::copy_from_slice(text.as_bytes());
        let out = without(&text, &root, |name| names.contains(&name));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_member_goes_with_one_comma() {
        for (text, left) in [
            (r#"{"x":1}"#, "{}"),
            (r#" { "x" : 1 } "#, " {  } "),
            (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{ "x": 1, "a": 2 }"#, r#"{ "a": 2 }"#),
            (r#"{"a":2,"x":1}"#, r#"{"a":2}"#),
            (r#"{ "a": 2 , "x": 1 }"#, r#"{ "a": 2 }"#),
            (r#"{"a":2,"x":1,"b":3}"#, r#"{"a":2,"b":3}"#),
            (r#"{"x":1,"y":[{"x":2}],"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":2,"x":1,"y":1}"#, r#"{"a":2}"#),
            (r#"{"x":1,"a":2,"y":1}"#, r#"{"a":2}"#),
            (r#"{"x":1,"y":1}"#, "{}"),
            (r#"{"\u0078":"\"}","a":"\u0061"}"#, r#"{"a":"\u0061"}"#),
            (r#"{"a":{"x":1}, "b" : [1.0]}"#, r#"{"a":{"x":1}, "b" : [1.0]}"#),
        ] {
            assert_eq!(cut(text, &["x", "y"]), left, "{text}");
        }
    }

    proptest! {
        #[test]
        fn all_other_bytes_stay(object in testing::any_object(), seed in any::<u64>()) {
            let text = Spelled::new(seed).spell(&object);
            let root = Node::read(text.as_bytes()).unwrap();
            prop_assert_eq!(&cut(&text, &["useCache"]), &text);
            // Put in before each member, and at the end.
            for member in root.members() {
                let (before, after) = text.split_at(member.start);
                prop_assert_eq!(cut(&format!("{before}\"useCache\":true , {after}"), &["useCache"]), &text[..]);
            }
            if let Some(last) = root.members().last() {
                let (before, after) = text.split_at(last.value.span.end);
                let more = format!("{before} ,\"useCache\": {{\"a\":[]}}{after}");
                prop_assert_eq!(cut(&more, &["useCache"]), text);
            }
        }

        #[test]
        fn what_is_left_is_the_rest(object in testing::any_object(), seed in any::<u64>()) {
            let text = Spelled::new(seed).spell(&object);
            let left: serde_json::Value = serde_json::from_str(&cut(&text, &["a", "bb"])).unwrap();
            let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mut whole = whole.as_object().unwrap().clone();
            whole.retain(|name, _| name != "a" && name != "bb");
            prop_assert_eq!(left, serde_json::Value::Object(whole));
        }
    }
}
