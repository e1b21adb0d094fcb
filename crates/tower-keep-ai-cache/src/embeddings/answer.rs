//! An upstream's answer, taken apart into vectors.

use serde::{Deserialize, Serialize};
use tower_keep_core::time::UnixMillis;

use crate::{
    json::{Kind, Node, Span},
    provider::{Flaw, Usage},
    splice,
};

/// A vector as it is kept, every byte of what the upstream said of it but its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    /// The element of `data`, without its index.
    pub(crate) element: Vec<u8>,
    /// Where in it the index belongs.
    pub(crate) hole: usize,
    /// How the vector is written, and how long it is.
    pub(crate) form: Form,
    /// The model that made it.
    pub(crate) model: String,
    /// Its share of what the request cost.
    pub(crate) tokens: u64,
    /// When it came, and until when it is good, if it was stored.
    pub(crate) life: Option<(UnixMillis, UnixMillis)>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// So many numbers.
    Floats(usize),
    /// So many characters of base64.
    Base64(usize),
}

/// An answer that has a vector for each text.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    /// Where `data` is.
    pub(super) data: Span,
    /// Where the counts of tokens are that all vectors share in.
    pub(super) counts: Vec<Span>,
    /// By index.
    vectors: Vec<(Span, Span, Form)>,
    body: &'a [u8],
    model: String,
    usage: Usage,
}

impl<'a> Answer<'a> {
    /// Reads an answer to a request for so many vectors.
    pub(crate) fn read(body: &'a [u8], expected: usize) -> Result<Self, Flaw> {
        // The answer's own members, the elements of `data`, and no numbers of vectors.
        let root = Node::skim(body, 1).map_err(|_| Flaw::Malformed)?;
        if root.get("error").is_some() {
            return Err(Flaw::Error);
        }
        let data = root.get("data").ok_or(Flaw::Malformed)?;
        if data.elements().len() != expected {
            return Err(Flaw::Parts);
        }
        let mut vectors = vec![None; expected];
        for element in data.elements() {
            let index = element.get("index").ok_or(Flaw::Malformed)?;
            let place = index.as_u64().and_then(|index| usize::try_from(index).ok());
            let slot = place.and_then(|place| vectors.get_mut(place)).ok_or(Flaw::Parts)?;
            let form = form(element.get("embedding").ok_or(Flaw::Malformed)?, body)?;
            if slot.replace((element.span, index.span, form)).is_some() {
                return Err(Flaw::Parts);
            }
        }
        let vectors: Vec<_> = vectors.into_iter().flatten().collect();
        let first = vectors.first().map(|(.., form)| *form);
        if vectors.iter().any(|(.., form)| Some(*form) != first) {
            return Err(Flaw::Malformed);
        }
        let usage = root.get("usage");
        let counts = ["prompt_tokens", "total_tokens"].into_iter();
        let counts: Vec<_> = counts.filter_map(|name| usage?.get(name)).collect();
        let input = counts.first().and_then(|count| count.as_u64()).unwrap_or_default();
        let model = root.get("model").and_then(Node::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            data: data.span,
            counts: counts.into_iter().map(|count| count.span).collect(),
            vectors,
            body,
            model,
            usage: Usage { input, output: 0 },
        })
    }

    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    pub(super) const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The vectors, in the order of the texts that were asked for; `lengths` is how long those
    /// are, by which they share what the request cost.
    pub(crate) fn vectors(&self, lengths: &[usize]) -> Vec<Vector> {
        let shares = shares(self.usage.input, lengths);
        let vectors = self.vectors.iter().zip(shares);
        let keep = |((element, index, form), tokens): (&(Span, Span, Form), u64)| {
            let hole = index.start.saturating_sub(element.start);
            let end = index.end.saturating_sub(element.start);
            let cut = vec![(Span { start: hole, end }, &[][..])];
            Vector {
                element: splice::replace(element.of(self.body), cut),
                hole,
                form: *form,
                model: self.model.clone(),
                tokens,
                life: None,
            }
        };
        vectors.map(keep).collect()
    }
}

fn form(embedding: &Node<'_>, body: &[u8]) -> Result<Form, Flaw> {
    let text = embedding.span.of(body);
    match &embedding.kind {
        Kind::String(encoded) if !encoded.is_empty() => Ok(Form::Base64(encoded.len())),
        // It is JSON, so without quotes, words and inner brackets it is numbers.
        Kind::Array(_)
            if text.iter().skip(1).all(|byte| b"0123456789+-.eE, \t\r\n]".contains(byte)) =>
        {
            let is_empty = !text.iter().any(u8::is_ascii_digit);
            if is_empty {
                Err(Flaw::Malformed)
            } else {
                Ok(Form::Floats(text.split(|byte| *byte == b',').count()))
            }
        }
        _ => Err(Flaw::Malformed),
    }
}

/// A whole in shares by length; together they are the whole.
fn shares(whole: u64, lengths: &[usize]) -> Vec<u64> {
    let total = lengths.iter().map(|length| *length as u128 + 1).sum::<u128>().max(1);
    let mut passed = 0;
    let mut until = 0;
    let share = |length: &usize| {
        passed += *length as u128 + 1;
        let before = until;
        until = u64::try_from(u128::from(whole) * passed / total).unwrap_or(whole);
        until - before
    };
    lengths.iter().map(share).collect()
}
