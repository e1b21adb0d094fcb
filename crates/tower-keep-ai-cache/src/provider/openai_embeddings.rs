//! `POST /v1/embeddings`: a vector for each input, by index.

use super::{Asked, Flaw, Usage};
use crate::{
    embeddings::answer::Answer,
    json::{Kind, Node},
};

/// How many vectors an answer has. `None` if that cannot be told.
pub(super) fn parts(request: &Node<'_>) -> Option<usize> {
    match &request.get("input")?.kind {
        Kind::String(_) => Some(1),
        Kind::Array(elements) => match elements.first().map(|first| &first.kind) {
            // The tokens of one text.
            Some(Kind::Number(_)) => Some(1),
            Some(Kind::String(_) | Kind::Array(_)) => Some(elements.len()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn judge(body: &[u8], asked: &Asked) -> Result<Usage, Flaw> {
    Answer::read(body, asked.parts).map(|answer| answer.usage())
}
