//! `POST /v1/completions`: choices as in chat, `n` for each prompt.

use super::count;
pub(super) use super::openai_chat::{Following, judge};
use crate::json::{Kind, Node};

/// How many choices an answer has. `None` if that cannot be told.
pub(super) fn parts(request: &Node<'_>) -> Option<usize> {
    let prompts = match request.get("prompt").map(|prompt| &prompt.kind) {
        // One is made up where there is none.
        None | Some(Kind::String(_)) => 1,
        Some(Kind::Array(elements)) => match elements.first().map(|first| &first.kind) {
            Some(Kind::Number(_)) => 1,
            Some(Kind::String(_) | Kind::Array(_)) => elements.len(),
            _ => return None,
        },
        _ => return None,
    };
    prompts.checked_mul(count(request)?)
}
