//! What an answer to an unsafe request makes invalid (RFC 9111 §4.4), besides groups.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::policy::key::Target;

/// References longer than this are not looked into.
const MAX_BYTES: usize = 8 * 1024;

/// Whether what is stored of the request's target became invalid: by a request whose method may
/// change something, or is not known, and that did not fail.
pub(crate) fn invalidates(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// The methods that are registered as safe.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH"
    )
}

/// What else of the same origin an answer names, by `Location` and `Content-Location`, and so
/// makes invalid as well. What it names elsewhere it has no say in.
pub(crate) fn named(target: Target<'_>, response: &HeaderMap) -> Vec<Named> {
    let mut found = Vec::new();
    for field in [header::LOCATION, header::CONTENT_LOCATION] {
        let named = response.get(&field).and_then(|value| resolve(target, value));
        found.extend(named.filter(|named| !named.is(target) && !found.contains(named)));
    }
    found
}

/// Whether `Content-Location` says that the body is one of the target itself, so that an answer to
/// a `POST` may answer a later `GET` (RFC 9110 §9.3.3).
pub(crate) fn names_itself(target: Target<'_>, response: &HeaderMap) -> bool {
    let mut lines = response.get_all(header::CONTENT_LOCATION).iter();
    let line = lines.next().filter(|_| lines.next().is_none());
    line.and_then(|value| resolve(target, value)).is_some_and(|named| named.is(target))
}

/// A path and a query of the target's own origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    path: String,
    query: Option<String>,
}

impl Named {
    /// As a target of the same origin as `target`.
    pub(crate) fn in_origin_of<'a>(&'a self, target: Target<'a>) -> Target<'a> {
        Target { path: &self.path, query: self.query.as_deref(), ..target }
    }

    fn is(&self, target: Target<'_>) -> bool {
        self.path == target.path && self.query.as_deref() == target.query
    }
}

/// What `value` refers to, seen from `target` (RFC 3986 §5.2), if that is of the same origin.
fn resolve(target: Target<'_>, value: &HeaderValue) -> Option<Named> {
    let value = value.as_bytes().trim_ascii();
    if value.len() > MAX_BYTES || !value.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let reference = str::from_utf8(value).ok()?;
    let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
    let (scheme, rest) = split_scheme(reference);
    let (authority, rest) = split_authority(rest);
    if let Some(authority) = authority {
        let scheme = scheme.or(target.scheme);
        if !is_same_origin(target, scheme, authority) {
            return None;
        }
    } else if scheme.is_some() {
        // `mailto:` and the like; `http:path` is obsolete, and nobody agrees on what it means.
        return None;
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let (path, query) = if authority.is_some() || path.starts_with('/') {
        (Cow::Borrowed(if path.is_empty() { "/" } else { path }), query)
    } else if path.is_empty() {
        (Cow::Borrowed(target.path), query.or(target.query))
    } else {
        let folder = target.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        (Cow::Owned(format!("{folder}/{path}")), query)
    };
    Some(Named { path: without_dots(&path), query: query.map(ToOwned::to_owned) })
}

/// `scheme:` and what follows it.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
    };
    match reference.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, reference),
    }
}

/// `//authority` and what follows it.
fn split_authority(reference: &str) -> (Option<&str>, &str) {
    let Some(rest) = reference.strip_prefix("//") else { return (None, reference) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.split_at_checked(end)
        .map_or((None, reference), |(authority, rest)| (Some(authority), rest))
}

/// Whether `authority` is the target's. A request mostly does not say its scheme: then both of
/// HTTP's are taken for it, with the default port of each.
fn is_same_origin(target: Target<'_>, scheme: Option<&str>, authority: &str) -> bool {
    let is = |known: &str| scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(known));
    let same_scheme = match target.scheme {
        Some(ours) => is(ours),
        None => scheme.is_none() || is("http") || is("https"),
    };
    let port = if is("https") { ":443" } else { ":80" };
    let theirs = without_port(authority.as_bytes(), port);
    same_scheme
        && !theirs.is_empty()
        && theirs.eq_ignore_ascii_case(without_port(target.authority, port))
}

/// The authority without the port that it has anyway.
fn without_port<'a>(authority: &'a [u8], default: &str) -> &'a [u8] {
    let default = authority.strip_suffix(default.as_bytes());
    default.or_else(|| authority.strip_suffix(b":")).unwrap_or(authority)
}

/// The path without `.` and `..` (RFC 3986 §5.2.4); `//` stays what it is.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut pieces = path.split('/').skip(1).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        match piece {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(piece);
                continue;
            }
        }
        // A dot at the end leaves the folder that it is in.
        if is_last {
            kept.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    for piece in kept {
        out.push('/');
        out.push_str(piece);
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
