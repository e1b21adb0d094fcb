//! What requests ask for.

use http::HeaderValue;
use serde_json::{Value, json};

use super::*;

fn asked(api: Api, request: &Value) -> Option<Asked> {
    let text = request.to_string();
    Asked::of(api, &Node::read(text.as_bytes()).unwrap(), false)
}

#[test]
fn what_is_asked_for_is_read_or_the_request_is_left_alone() {
    let chat = Api::OpenAiChat;
    let (completions, embeddings) = (Api::OpenAiCompletions, Api::OpenAiEmbeddings);
    for (api, request, expected) in [
        (chat, json!({}), Some((1, false))),
        (chat, json!({"n": 3.0, "stream": true}), Some((3, true))),
        (chat, json!({"n": null, "stream": null}), Some((1, false))),
        (chat, json!({"n": 0}), None),
        (chat, json!({"n": -1}), None),
        (chat, json!({"n": "2"}), None),
        (chat, json!({"n": 1e9}), None),
        (chat, json!({"stream": "true"}), None),
        (completions, json!({"prompt": "a", "n": 2}), Some((2, false))),
        (completions, json!({"prompt": ["a", "b", "c"], "n": 2}), Some((6, false))),
        (completions, json!({"prompt": [1, 2, 3]}), Some((1, false))),
        (completions, json!({"prompt": [[1], [2]]}), Some((2, false))),
        (completions, json!({}), Some((1, false))),
        (completions, json!({"prompt": []}), None),
        (completions, json!({"prompt": ["a"], "n": u64::MAX}), None),
        (embeddings, json!({"input": "a"}), Some((1, false))),
        (embeddings, json!({"input": ["a", "b"]}), Some((2, false))),
        (embeddings, json!({"input": [1, 2]}), Some((1, false))),
        (embeddings, json!({"input": [[1], [2]]}), Some((2, false))),
        (embeddings, json!({"input": "a", "stream": true}), None),
        (embeddings, json!({}), None),
        (Api::OpenAiResponses, json!({"n": 2, "stream": true}), Some((1, true))),
        (Api::AnthropicMessages, json!({"stream": false}), Some((1, false))),
        (Api::Json, json!({"stream": true}), None),
        (Api::Json, json!({}), Some((1, false))),
    ] {
        let found = asked(api, &request).map(|asked| (asked.parts, asked.stream));
        assert_eq!(found, expected, "{api:?} {request}");
    }
}

#[test]
fn an_answer_is_of_the_kind_that_was_asked_for() {
    let head = |kind: &'static str| {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    };
    let (plain, stream) = (parts(Api::OpenAiChat, 1), streaming(Api::OpenAiChat, 1));
    let json = head("application/json; charset=utf-8");
    let sse = head("text/event-stream");
    assert!(plain.is_shape_of(&json) && !plain.is_shape_of(&sse));
    assert!(stream.is_shape_of(&sse) && !stream.is_shape_of(&json));
    assert!(!plain.is_shape_of(&HeaderMap::new()) && !stream.is_shape_of(&head("text/plain")));
    assert_eq!(stream.judge(b"{}"), incomplete(Flaw::Shape));
    assert_eq!(follow(&plain, &[b"data: [DONE]\n\n"]), incomplete(Flaw::Shape));
}
