//! What an answer says it cost, in whichever API's words, also where it is not whole.

use super::Usage;
use crate::json::Node;

/// The tokens that are counted in this answer, or in this event of one.
pub(crate) fn told(text: &[u8]) -> Option<Usage> {
    const WORD: &[u8] = b"\"usage\"";
    if !text.windows(WORD.len()).any(|part| part == WORD) {
        return None;
    }
    let root = Node::skim(text, 1).ok()?;
    let usage = root
        .get("usage")
        .or_else(|| root.get("response")?.get("usage"))
        .or_else(|| root.get("message")?.get("usage"))?;
    let count = |name| usage.get(name).and_then(Node::as_u64);
    // Anthropic's counts of what its own cache read and wrote are beside the others.
    let beside = ["cache_creation_input_tokens", "cache_read_input_tokens"].map(count);
    let input = count("prompt_tokens").or_else(|| count("input_tokens"));
    let input = beside.into_iter().chain([input]).flatten().reduce(u64::saturating_add);
    let output = count("completion_tokens").or_else(|| count("output_tokens"));
    Some(Usage { input: input.unwrap_or_default(), output: output.unwrap_or_default() })
}

/// Both, of which each may tell only a part, or tell it again.
pub(crate) fn with(known: Option<Usage>, more: Option<Usage>) -> Option<Usage> {
    match (known, more) {
        (Some(known), Some(more)) => Some(Usage {
            input: known.input.max(more.input),
            output: known.output.max(more.output),
        }),
        (known, more) => known.or(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_says_it_in_its_own_words() {
        let usage = |input, output| Some(Usage { input, output });
        for (text, expected) in [
            (r#"{"usage":{"prompt_tokens":5,"completion_tokens":9}}"#, usage(5, 9)),
            (r#"{"response":{"usage":{"input_tokens":5,"output_tokens":9}}}"#, usage(5, 9)),
            (r#"{"message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#, usage(5, 1)),
            (r#"{"usage":{"output_tokens":9}}"#, usage(0, 9)),
            (
                r#"{"usage":{"input_tokens":5,"cache_creation_input_tokens":1,"cache_read_input_tokens":2}}"#,
                usage(8, 0),
            ),
            (r#"{"usage":null}"#, None),
            (r#"{"text":"\"usage\""}"#, None),
            ("usage", None),
            ("", None),
        ] {
            assert_eq!(told(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(with(usage(5, 1), usage(0, 9)), usage(5, 9));
        assert_eq!((with(None, usage(1, 2)), with(None, None)), (usage(1, 2), None));
    }
}
