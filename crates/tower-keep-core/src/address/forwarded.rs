//! `Forwarded` (RFC 7239).
//!
//! A line is taken apart from its end, where the nearest proxy wrote, so that nothing which stands
//! further left, an open quote included, can change what is read of it.

use std::{
    borrow::Cow,
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What each element of one line says by `for`, the last one first; `None` is an element that
/// names no address, or that is malformed.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let line = rest.take()?;
        let Some(comma) = last_comma(line) else { return Some(line) };
        let (left, right) = line.split_at_checked(comma)?;
        rest = Some(left);
        right.split_first().map(|(_, element)| element)
    })
    .map(address_of)
}

/// Where the last comma stands that is in no quoted string.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !quoted => return Some(at),
            // Going left, the first quote closes a string and the next unescaped one opens it.
            b'"' if !quoted || !is_escaped(line, at) => quoted = !quoted,
            _ => {}
        }
    }
    None
}

/// Whether an odd number of backslashes stands before.
fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line.iter().take(at).rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in an element's `for`. Its parameters are `name=value` with semicolons between,
/// each name at most once.
fn address_of(element: &[u8]) -> Option<IpAddr> {
    let mut node = None;
    let mut rest = past_space(element);
    while let Some(first) = rest.first() {
        if *first != b';' {
            let (name, after) = token(rest)?;
            let (value, after) = value(after.strip_prefix(b"=")?)?;
            let is_for = name.eq_ignore_ascii_case(b"for");
            if is_for && node.replace(value).is_some() {
                return None;
            }
            rest = past_space(after);
        }
        match rest.split_first() {
            Some((b';', after)) => rest = past_space(after),
            Some(_) => return None,
            None => {}
        }
    }
    address(str::from_utf8(&node?).ok()?)
}

fn past_space(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// A token (RFC 9110, 5.6.2) and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// A token or a quoted string, without its quotes and escapes, and what follows it.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(inside) = text.strip_prefix(b"\"") else {
        return token(text).map(|(token, after)| (token.into(), after));
    };
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let mut content = Vec::new();
    let mut bytes = inside.iter();
    loop {
        match *bytes.next()? {
            b'"' => return Some((content.into(), bytes.as_slice())),
            b'\\' => content.push(*bytes.next().filter(|byte| is_text(**byte))?),
            byte if is_text(byte) => content.push(byte),
            _ => return None,
        }
    }
}

/// A node: an IPv4 address or an IPv6 address in brackets, with or without a port. `unknown` and
/// made-up names (`_hidden`) are nodes too, and no addresses.
fn address(node: &str) -> Option<IpAddr> {
    let (ip, port) = if let Some(rest) = node.strip_prefix('[') {
        let (ip, after) = rest.split_once(']')?;
        (ip.parse::<Ipv6Addr>().ok()?.into(), after)
    } else {
        let (ip, after) = node.split_at_checked(node.find(':').unwrap_or(node.len()))?;
        (ip.parse::<Ipv4Addr>().ok()?.into(), after)
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(ip)
}

/// Up to five digits, or a made-up name.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !name.is_empty() && name.bytes().all(is_part)
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses, `-` for none, the last element first.
    fn read(line: &str) -> Vec<String> {
        let told = from_the_right(line.as_bytes());
        told.map(|ip| ip.map_or("-".to_owned(), |ip| ip.to_string())).collect()
    }

    #[test]
    fn an_element_tells_one_address() {
        for (element, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("by=203.0.113.43; FOR=192.0.2.60 ;\tproto=http", "192.0.2.60"),
            (";;for=192.0.2.60;", "192.0.2.60"),
            ("\t for=192.0.2.60 ", "192.0.2.60"),
            (r#"for="192.0.2.60""#, "192.0.2.60"),
            (r#"for="192.0.2.60:4711""#, "192.0.2.60"),
            (r#"for="192.0.2.60:_port""#, "192.0.2.60"),
            (r#"For="[2001:db8:cafe::17]:4711""#, "2001:db8:cafe::17"),
            (r#"for="[2001:db8::1]""#, "2001:db8::1"),
            (r#"for="\1\9\2.0.2\.60""#, "192.0.2.60"),
            (r#"for=192.0.2.60;host="a,b;for=\"x\\\"""#, "192.0.2.60"),
            ("for=192.0.2.60;host=\"z\u{fc}rich\"", "192.0.2.60"),
        ] {
            assert_eq!(read(element), [expected], "{element}");
        }
    }

    #[test]
    fn what_names_no_address_or_is_malformed_tells_none() {
        for element in [
            "",
            ";",
            "for",
            "for=",
            "=192.0.2.60",
            "for=unknown",
            "for=_hidden",
            r#"for="_hidden:80""#,
            r#"for="""#,
            "proto=http",
            "192.0.2.60",
            "for=192.0.2.60;for=192.0.2.61",
            "for=192.0.2.60;FOR=192.0.2.60",
            "for=_hidden;for=192.0.2.60",
            "for =192.0.2.60",
            "for= 192.0.2.60",
            "for=192.0.2.60 proto=http",
            "for=192.0.2.60;=",
            "for=192.0.2.60;proto",
            "for=192.0.2.60;pro to=x",
            "for=192.0.2.60:4711",
            "for=[2001:db8::1]",
            r#"for="2001:db8::1""#,
            r#"for="[2001:db8::1""#,
            r#"for="[2001:db8::1]4711""#,
            r#"for="[2001:db8::1%eth0]""#,
            r#"for="[192.0.2.60]""#,
            r#"for="192.0.2.60:""#,
            r#"for="192.0.2.60:123456""#,
            r#"for="192.0.2.60:+80""#,
            r#"for="192.0.2.60:_""#,
            r#"for="192.0.2.60:_p:1""#,
            r#"for="192.0.2.60"x"#,
            r#"for="192.0.2.60"#,
            r#"for=192.0.2.60""#,
            r#"for=192.0.2.60;x="\"#,
            r#"for=" 192.0.2.60""#,
            "for=192.0.2.060",
        ] {
            assert_eq!(read(element), ["-"], "{element}");
        }
    }

    #[test]
    fn elements_are_told_apart_at_commas_outside_of_quotes() {
        for (line, expected) in [
            (
                "for=192.0.2.1, for=192.0.2.2,for=192.0.2.3",
                &["192.0.2.3", "192.0.2.2", "192.0.2.1"][..],
            ),
            (r#"for=192.0.2.1;x="a,b", for=192.0.2.2;x="\",\\""#, &["192.0.2.2", "192.0.2.1"]),
            (r#"for="[2001:db8::1]:1", for=unknown"#, &["-", "2001:db8::1"]),
            ("for=192.0.2.1,, ", &["-", "-", "192.0.2.1"]),
            ("@@@, for=192.0.2.1", &["192.0.2.1", "-"]),
            // An open quote, or a backslash, spoils nothing that stands right of it.
            (r#"for=", for=192.0.2.1"#, &["192.0.2.1", "-"]),
            (r#"x="\, for="[2001:db8::1]""#, &["2001:db8::1", "-"]),
            (r#"for=192.0.2.9;x=", for="192.0.2.1""#, &["192.0.2.1", "-"]),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
