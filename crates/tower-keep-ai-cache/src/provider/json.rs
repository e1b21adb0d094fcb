//! An answer of which no more is known than that it is JSON: whole if it can be read.

use super::{Flaw, Usage};
use crate::json::Node;

pub(super) fn judge(body: &[u8]) -> Result<Usage, Flaw> {
    let root = Node::skim(body, 1).map_err(|_| Flaw::Malformed)?;
    if root.get("error").is_some() {
        return Err(Flaw::Error);
    }
    let count = |name| root.get("usage").and_then(|usage| usage.get(name)?.as_u64());
    let input = count("prompt_tokens").or_else(|| count("input_tokens"));
    let output = count("completion_tokens").or_else(|| count("output_tokens"));
    Ok(Usage { input: input.unwrap_or_default(), output: output.unwrap_or_default() })
}
