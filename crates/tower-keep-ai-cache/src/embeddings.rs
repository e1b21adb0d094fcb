//! Embeddings, kept one by one: a batch is split into its texts, only those that are not known are
//! asked for, and the vectors are put back to where their texts were.
//!
//! A vector at a wrong place is a wrong answer that nobody notices. So an answer is used only if
//! its indexes are those of the texts that were asked for, each once, and only together with
//! vectors of the same model and length.

use bytes::Bytes;

use crate::{
    canonical,
    json::{Kind, Node, Span},
    splice,
};

pub(crate) mod answer;
pub(crate) mod merge;

/// More texts than this pass as one.
const MAX_TEXTS: usize = 2048;

/// So many bytes may be said of all texts together besides what each says: it is said of each.
pub(crate) const MAX_BESIDE: usize = 4 << 20;

/// A request for the vectors of some texts.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Each text once, in the order of the request: what tells its vector from others.
    pub(crate) texts: Vec<Text>,
    /// For each vector of the answer, which of `texts` it is of.
    pub(crate) places: Vec<usize>,
    /// Where the request says its input.
    input: Span,
}

/// A text of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The canonical form of a request for its vector alone.
    pub(crate) canonical: Vec<u8>,
    /// Where the request says it.
    span: Span,
}

impl Batch {
    /// Splits a request. `None` if it is kept as a whole: tokens instead of texts, no text, too
    /// many.
    pub(crate) fn of(root: &Node<'_>, leave_out: impl Fn(&str) -> bool) -> Option<Self> {
        let input = root.get("input")?;
        let nodes = match &input.kind {
            Kind::String(_) => std::slice::from_ref(input),
            Kind::Array(elements) => elements,
            _ => return None,
        };
        let are_texts = nodes.iter().all(|node| node.as_str().is_some());
        if !are_texts || nodes.is_empty() || nodes.len() > MAX_TEXTS {
            return None;
        }
        let rest = canonical::object(root, |name| name == "input" || leave_out(name));
        if rest.len().saturating_mul(nodes.len()) > MAX_BESIDE {
            return None;
        }
        let mut known = std::collections::HashMap::with_capacity(nodes.len());
        let mut batch = Self { texts: Vec::new(), places: Vec::new(), input: input.span };
        for node in nodes {
            let place = *known.entry(node.as_str()?).or_insert(batch.texts.len());
            if place == batch.texts.len() {
                let mut canonical = rest.clone();
                canonical.extend_from_slice(&canonical::value(node));
                batch.texts.push(Text { canonical, span: node.span });
            }
            batch.places.push(place);
        }
        Some(batch)
    }

    /// The request for some of the texts, by their place in `texts`: the same but for its input.
    /// `root` is what `text` says.
    pub(crate) fn request(
        &self,
        text: &Bytes,
        root: &Node<'_>,
        wanted: &[usize],
        remove: impl Fn(&str) -> bool,
    ) -> Bytes {
        let mut input = Vec::with_capacity(text.len());
        input.push(b'[');
        for (i, place) in wanted.iter().enumerate() {
            if i > 0 {
                input.push(b',');
            }
            if let Some(wanted) = self.texts.get(*place) {
                input.extend_from_slice(wanted.span.of(text));
            }
        }
        input.push(b']');
        splice::without_and_with(text, root, remove, (self.input, &input))
    }
}

#[cfg(test)]
mod tests;
