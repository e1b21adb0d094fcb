use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{stream::Stream, *};

mod asked;
mod reasons;

fn parts(api: Api, parts: usize) -> Asked {
    Asked { api, parts, stream: false, take_cut: false }
}

fn streaming(api: Api, parts: usize) -> Asked {
    Asked { stream: true, ..self::parts(api, parts) }
}

/// A stream as each API sends it, with its end; an event is a JSON text, or a word.
fn events(api: Api, events: &[Value]) -> String {
    let mut out = String::new();
    for event in events {
        let kind = event["type"].as_str();
        if let (Some(kind), Api::OpenAiResponses | Api::AnthropicMessages) = (kind, api) {
            let _ = writeln!(out, "event: {kind}");
        }
        match event.as_str() {
            Some(word) => write!(out, "data: {word}\n\n"),
            None => write!(out, "data: {event}\n\n"),
        }
        .unwrap();
    }
    out
}

fn follow(asked: &Asked, chunks: &[&[u8]]) -> Verdict {
    let mut stream = Stream::new(asked, 1 << 20);
    for chunk in chunks {
        stream.take(chunk);
    }
    stream.end()
}

const COMPLETE: fn(u64, u64) -> Verdict =
    |input, output| Verdict::Complete(Usage { input, output });

#[test]
fn tokens_are_counted_together_and_reasons_have_names() {
    let most = Usage { input: u64::MAX, output: 7 };
    assert_eq!((Usage { input: 5, output: 7 }.total(), most.total()), (12, u64::MAX));
    assert_eq!((Flaw::Truncated.label(), Flaw::Parts.label()), ("truncated", "parts"));
}

fn incomplete(flaw: Flaw) -> Verdict {
    Verdict::Incomplete(flaw)
}

fn delta(index: u64, delta: &Value, finish: Option<&str>) -> Value {
    json!({
        "id": "c", "object": "chat.completion.chunk", "model": "m", "usage": null,
        "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": null}],
    })
}

fn chat_stream() -> Vec<Value> {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12});
    vec![
        json!({"choices": [], "prompt_filter_results": [{"index": 9}]}),
        delta(0, &json!({"role": "assistant", "content": "", "refusal": null}), None),
        delta(1, &json!({"role": "assistant", "content": ""}), Some("")),
        delta(0, &json!({"reasoning_content": "hm\u{2028}"}), None),
        delta(
            1,
            &json!({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f"}}]}),
            None,
        ),
        delta(0, &json!({"content": "data: [DONE]\n\n"}), None),
        delta(1, &json!({"refusal": "no"}), None),
        delta(1, &json!({}), Some("tool_calls")),
        delta(0, &json!({}), Some("stop")),
        json!({"choices": [], "usage": usage}),
        json!("[DONE]"),
    ]
}

fn completions_stream() -> Vec<Value> {
    vec![
        json!({"choices": [{"index": 0, "text": "a", "finish_reason": null}]}),
        json!({"choices": [{"index": 1, "text": "b", "finish_reason": "stop"},
                           {"index": 0, "text": "", "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}),
        json!("[DONE]"),
    ]
}

fn response(status: &str) -> Value {
    json!({
        "id": "r", "object": "response", "status": status, "error": null,
        "incomplete_details": null,
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "status": status, "arguments": "{}"},
            {"type": "message", "status": status, "content": [{"type": "refusal", "refusal": "no"}]},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
    })
}

fn responses_stream() -> Vec<Value> {
    let mut started = response("in_progress");
    started["output"] = json!([]);
    started["usage"] = Value::Null;
    vec![
        json!({"type": "response.created", "sequence_number": 0, "response": started}),
        json!({"type": "response.in_progress", "sequence_number": 1, "response": started}),
        json!({"type": "response.output_item.added", "item": {"status": "in_progress"}}),
        json!({"type": "response.output_text.delta", "delta": "response.completed"}),
        json!({"type": "response.function_call_arguments.done", "arguments": "{}"}),
        json!({"type": "response.output_item.done", "item": {"status": "completed"}}),
        json!({"type": "response.completed", "response": response("completed")}),
    ]
}

fn messages_stream() -> Vec<Value> {
    let start = json!({"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1});
    let block = |kind: &str, index: u64| json!({"type": kind, "index": index});
    let with = |kind: &str, index: u64, name: &str, value: Value| {
        let mut event = block(kind, index);
        event[name] = value;
        event
    };
    vec![
        json!({"type": "message_start",
               "message": {"type": "message", "stop_reason": null, "content": [], "usage": start}}),
        with("content_block_start", 0, "content_block", json!({"type": "thinking"})),
        json!({"type": "ping"}),
        with("content_block_delta", 0, "delta", json!({"type": "thinking_delta", "thinking": "h"})),
        with("content_block_delta", 0, "delta", json!({"type": "signature_delta"})),
        block("content_block_stop", 0),
        with("content_block_start", 1, "content_block", json!({"type": "tool_use", "input": {}})),
        with("content_block_delta", 1, "delta", json!({"partial_json": "{}"})),
        block("content_block_stop", 1),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
               "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]
}

fn streams() -> [(Asked, Vec<Value>); 4] {
    [
        (streaming(Api::OpenAiChat, 2), chat_stream()),
        (streaming(Api::OpenAiCompletions, 2), completions_stream()),
        (streaming(Api::OpenAiResponses, 1), responses_stream()),
        (streaming(Api::AnthropicMessages, 1), messages_stream()),
    ]
}

#[test]
fn a_whole_stream_is_whole_wherever_it_is_cut_and_however_its_lines_end() {
    for (asked, list) in streams() {
        let plain = events(asked.api, &list);
        for text in [&plain, &plain.replace('\n', "\r\n"), &plain.replace('\n', "\r")] {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let (one, other) = bytes.split_at(cut);
                let verdict = follow(&asked, &[one, other]);
                assert_eq!(verdict, COMPLETE(5, 7), "{:?} at {cut}", asked.api);
            }
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(follow(&asked, &each), COMPLETE(5, 7));
        }
        let commented =
            format!("\u{feff}: hello\n\n{}: bye\n\n", plain.replace("\n\n", "\n\n: c\n\n"));
        assert_eq!(follow(&asked, &[commented.as_bytes()]), COMPLETE(5, 7));
    }
}

#[test]
fn a_stream_that_is_cut_off_is_not_whole_at_any_byte() {
    for (asked, list) in streams() {
        let text = events(asked.api, &list);
        for end in 0..text.len() {
            let verdict = follow(&asked, &[&text.as_bytes()[..end]]);
            assert_eq!(verdict, incomplete(Flaw::Truncated), "{:?} until {end}", asked.api);
        }
    }
}

#[test]
fn a_stream_says_that_it_has_ended_with_its_last_event() {
    for (asked, list) in streams() {
        let text = events(asked.api, &list);
        let (most, last) = text.as_bytes().split_at(text.len() - 1);
        let mut stream = Stream::new(&asked, 1 << 20);
        stream.take(most);
        assert!(!stream.has_ended());
        stream.take(last);
        assert!(stream.has_ended() && stream.flaw().is_none());
        stream.take(b"data: {}\n\n");
        assert_eq!(stream.flaw(), Some(Flaw::Malformed), "nothing comes after the end");
        assert!(!stream.has_ended());
    }
}

#[test]
fn an_error_in_the_middle_is_an_error_at_every_place() {
    for (asked, list) in streams() {
        let error = match asked.api {
            Api::AnthropicMessages => {
                json!({"type": "error", "error": {"type": "overloaded_error"}})
            }
            Api::OpenAiResponses => json!({"type": "error", "message": "no"}),
            _ => json!({"error": {"message": "no"}}),
        };
        for place in 0..list.len() {
            let mut list = list.clone();
            list.insert(place, error.clone());
            let verdict = follow(&asked, &[events(asked.api, &list).as_bytes()]);
            assert_eq!(verdict, incomplete(Flaw::Error), "{:?} at {place}", asked.api);
            let named = list.iter().map(|event| {
                if event == &error {
                    return "event: error\ndata: no JSON\n\n".to_owned();
                }
                events(asked.api, std::slice::from_ref(event))
            });
            let verdict = follow(&asked, &[named.collect::<String>().as_bytes()]);
            assert_eq!(verdict, incomplete(Flaw::Error), "{:?} at {place}", asked.api);
        }
    }
}

#[test]
fn an_event_that_matters_cannot_be_left_out() {
    for (asked, list) in streams() {
        let mut whole = Vec::new();
        for place in 0..list.len() {
            let mut list = list.clone();
            list.remove(place);
            if matches!(
                follow(&asked, &[events(asked.api, &list).as_bytes()]),
                Verdict::Complete(_)
            ) {
                whole.push(place);
            }
        }
        // Deltas, and what tells the usage: nothing else says that they were there.
        let expected: &[usize] = match asked.api {
            Api::OpenAiChat => &[0, 1, 2, 3, 4, 5, 6, 9],
            Api::OpenAiCompletions => &[0, 2],
            Api::OpenAiResponses => &[0, 1, 2, 3, 4, 5],
            _ => &[2, 3, 4, 7],
        };
        assert_eq!(whole, expected, "{:?}", asked.api);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_whole(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for (asked, _) in streams() {
            prop_assert!(matches!(follow(&asked, &[&bytes]), Verdict::Incomplete(_)));
            let plain = Asked { stream: false, ..asked };
            prop_assert!(matches!(plain.judge(&bytes), Verdict::Incomplete(_)));
        }
    }

    #[test]
    fn changed_streams_do_not_make_it_panic(
        place in any::<prop::sample::Index>(), byte in any::<u8>(), which in 0_usize..4,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (asked, list) = &streams()[which];
        let mut bytes = events(asked.api, list).into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(follow(asked, &chunks), follow(asked, &[&bytes]));
    }
}
