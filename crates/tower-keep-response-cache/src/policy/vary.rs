//! Which request fields a response was chosen by.

use std::{cmp::Reverse, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, VARY},
};
use serde::{Deserialize, Serialize};

use super::part;
use crate::{options::Options, stored::Stored};

mod normal;

/// The most fields that a response may vary by.
const MAX_FIELDS: usize = 16;

/// The most bytes that they may hold together.
const MAX_BYTES: usize = 4096;

/// The request fields that a response varies by, and what its request had in them: lower-case
/// names in order, each once, with the value as it is compared; `None` where the field was absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Selecting(pub(crate) Vec<(String, Option<Vec<u8>>)>);

/// A response varies by more than fields of the request, or by more of them than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VaryAny;

impl Selecting {
    /// What of the request its response was chosen by.
    pub(crate) fn of(
        response: &HeaderMap,
        request: &HeaderMap,
        options: &Options,
    ) -> Result<Self, VaryAny> {
        let mut names: Vec<HeaderName> = Vec::new();
        for line in response.get_all(VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                // `*` is a name as far as its letters go.
                let name = if name == b"*" { None } else { HeaderName::from_bytes(name).ok() };
                let name = name.ok_or(VaryAny)?;
                if !names.contains(&name) {
                    if names.len() == MAX_FIELDS {
                        return Err(VaryAny);
                    }
                    names.push(name);
                }
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut bytes = 0;
        let fields = names.into_iter().map(|name| {
            let name = name.as_str();
            let length: usize = request.get_all(name).iter().map(|line| line.len() + 2).sum();
            bytes += name.len() + length;
            if bytes > MAX_BYTES {
                return Err(VaryAny);
            }
            Ok((name.to_owned(), compared(name, request, options)))
        });
        fields.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the response would be chosen for this request. Allocates nothing where the response
    /// does not vary, or the request says the same in the same bytes.
    pub(crate) fn matches(&self, request: &HeaderMap, options: &Options) -> bool {
        self.0.iter().all(|(name, kept)| {
            let mut lines = request.get_all(name.as_str()).iter();
            match (lines.next(), lines.next(), kept) {
                (None, _, kept) => kept.is_none(),
                (Some(_), _, None) => false,
                // What is kept is compared to itself as it is.
                (Some(line), None, Some(kept)) if line.as_bytes() == kept.as_slice() => true,
                (Some(_), _, kept) => compared(name, request, options) == *kept,
            }
        })
    }
}

/// A request's field as it is compared: all of its lines as one, and made alike where another
/// spelling means the same (RFC 9111 §4.1).
fn compared(name: &str, request: &HeaderMap, options: &Options) -> Option<Vec<u8>> {
    let lines: Vec<_> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return None;
    }
    Some(if name == COOKIE.as_str() {
        // Which HTTP/2 may split, and in which a comma is nothing special.
        lines.join(&b"; "[..])
    } else if options.normalise && (name == ACCEPT_LANGUAGE || name == ACCEPT_ENCODING) {
        normal::preferences(&lines)
    } else {
        normal::folded(&lines)
    })
}

/// What is stored that may be used for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chosen<'a> {
    /// This can answer it, if it is fresh.
    Answer(&'a Arc<Stored>),
    /// This is a part that does not have all that is asked for: the rest can be asked for.
    Part(&'a Arc<Stored>),
    /// Nothing matches; the other variants can be asked about (`validate::ask`).
    Nothing,
}

/// The newest variant (by its date) that can answer the request: a whole one, or a part that has
/// what is asked for. Of two with the same date the whole one, then the first in the list.
pub(crate) fn choose<'a>(
    variants: &'a [Arc<Stored>],
    method: &Method,
    request: &HeaderMap,
    options: &Options,
) -> Chosen<'a> {
    let chosen = variants
        .iter()
        .enumerate()
        .filter(|(_, stored)| stored.selecting.matches(request, options))
        .map(|(at, stored)| (part::covers(method, request, stored), at, stored))
        .max_by_key(|(covers, at, stored)| {
            (*covers, stored.date, Reverse(stored.part.is_some()), Reverse(*at))
        });
    match chosen {
        Some((true, _, stored)) => Chosen::Answer(stored),
        Some((false, _, stored)) if method == Method::GET => Chosen::Part(stored),
        _ => Chosen::Nothing,
    }
}

#[cfg(test)]
mod tests;
