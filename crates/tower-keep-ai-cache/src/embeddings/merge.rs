//! Vectors put back to where their texts were.

use std::io::Write as _;

use bytes::Bytes;

use super::answer::{Answer, Vector};
use crate::splice;

/// Whether these vectors may stand in one answer: one model made them, and they are of one form.
pub(crate) fn same_origin<'a>(vectors: impl IntoIterator<Item = &'a Vector>) -> bool {
    let mut vectors = vectors.into_iter();
    let Some(first) = vectors.next() else { return true };
    vectors.all(|vector| vector.model == first.model && vector.form == first.form)
}

/// The answer to a batch: for each of its places the vector of that text. What else it says is
/// what `asked` says, the answer of the upstream for those texts that were not known, if any.
///
/// `None` if a vector is missing, or they do not belong together: then the whole batch is to be
/// asked for.
pub(crate) fn merge(
    places: &[usize],
    vectors: &[Option<Vector>],
    asked: Option<&Answer<'_>>,
) -> Option<Bytes> {
    let known: Vec<&Vector> = vectors.iter().flatten().collect();
    let first = known.first()?;
    if known.len() != vectors.len() || !same_origin(known.iter().copied()) {
        return None;
    }
    let data = data(places, &known)?;
    let tokens = places
        .iter()
        .filter_map(|place| known.get(*place))
        .fold(0_u64, |sum, vector| sum.saturating_add(vector.tokens))
        .to_string();
    if let Some(asked) = asked {
        let mut edits = vec![(asked.data, &*data)];
        edits.extend(asked.counts.iter().map(|count| (*count, tokens.as_bytes())));
        return Some(splice::replace(asked.body(), edits).into());
    }
    let mut out = Vec::with_capacity(data.len() + 128);
    out.extend_from_slice(br#"{"object":"list","data":"#);
    out.extend_from_slice(&data);
    out.extend_from_slice(br#","model":"#);
    serde_json::to_writer(&mut out, &first.model).ok()?;
    let usage = format!(r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#);
    out.extend_from_slice(usage.as_bytes());
    Some(out.into())
}

fn data(places: &[usize], vectors: &[&Vector]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    out.push(b'[');
    for (i, place) in places.iter().enumerate() {
        let vector = vectors.get(*place)?;
        let (before, after) = vector.element.split_at_checked(vector.hole)?;
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(before);
        write!(out, "{i}").ok()?;
        out.extend_from_slice(after);
    }
    out.push(b']');
    Some(out)
}
