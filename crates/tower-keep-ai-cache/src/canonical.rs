//! One form for all spellings of a request: members sorted, no white space, numbers by their value,
//! strings by their characters, images by their bytes (after RFC 8785).
//!
//! All of a request is in it but the members that are left out by name, so what we do not know of
//! tells requests apart. Strings stay as they are: to a model, `Polish` is not `polish`.

mod media;

use crate::json::{Kind, Member, Node};

/// The canonical form of an object, without those of its own members that `leave_out` names.
pub(crate) fn object(root: &Node<'_>, leave_out: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let members = root.members().iter().filter(|member| !leave_out(&member.name)).collect();
    write_members(members, None, &mut out);
    out
}

/// The canonical form of a value.
pub(crate) fn value(node: &Node<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(node, None, &mut out);
    out
}

/// Writes a value that is the member of that name, or an element of an array that is.
fn write(node: &Node<'_>, name: Option<&str>, out: &mut Vec<u8>) {
    match &node.kind {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Bool(true) => out.extend_from_slice(b"true"),
        Kind::Bool(false) => out.extend_from_slice(b"false"),
        Kind::Number(number) => number.write_canonical(out),
        Kind::String(text) => write_string(text, out),
        Kind::Array(elements) => {
            out.push(b'[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(element, name, out);
            }
            out.push(b']');
        }
        Kind::Object(members) => write_members(members.iter().collect(), name, out),
    }
}

fn write_members(mut members: Vec<&Member<'_>>, name: Option<&str>, out: &mut Vec<u8>) {
    members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let is_base64 = members.iter().any(|m| m.name == "type" && m.value.as_str() == Some("base64"));
    out.push(b'{');
    for (i, member) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(&member.name, out);
        out.push(b':');
        let place = media::Place { parent: name, name: &member.name, is_base64 };
        let digest = member.value.as_str().and_then(|text| place.digest(text));
        match digest {
            Some(digest) => out.extend_from_slice(digest.as_bytes()),
            None => write(&member.value, Some(&member.name), out),
        }
    }
    out.push(b'}');
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            // A control character after a backslash is that and nothing else.
            b'"' | b'\\' | 0..0x20 => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
