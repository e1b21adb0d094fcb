//! Why answers end, and how much of them there is.

use serde_json::{Value, json};

use super::*;

#[test]
fn every_choice_must_end_for_a_reason_that_is_accepted() {
    for (reason, flaw, take_cut) in [
        (json!("stop"), None, false),
        (json!("tool_calls"), None, false),
        (json!("function_call"), None, false),
        (json!("length"), Some(Flaw::Length), false),
        (json!("length"), None, true),
        (json!("content_filter"), Some(Flaw::Filtered), true),
        (json!("insufficient_system_resource"), Some(Flaw::Reason), true),
        (json!(null), Some(Flaw::Parts), true),
        (json!(""), Some(Flaw::Parts), true),
        (json!(7), Some(Flaw::Malformed), true),
    ] {
        for api in [Api::OpenAiChat, Api::OpenAiCompletions] {
            let choices = json!([
                {"index": 1, "message": {"content": "a"}, "finish_reason": reason},
                {"index": 0, "message": {"content": "b"}, "finish_reason": "stop"},
            ]);
            let usage = json!({"prompt_tokens": 5, "completion_tokens": 7, "input_tokens": 5});
            let answer = json!({"choices": choices, "usage": usage});
            let expected = flaw.map_or(COMPLETE(5, 7), incomplete);
            let plain = Asked { take_cut, ..parts(api, 2) };
            assert_eq!(plain.judge(answer.to_string().as_bytes()), expected, "{reason}");
            let text = events(api, &[answer, json!("[DONE]")]);
            let stream = Asked { take_cut, ..streaming(api, 2) };
            assert_eq!(follow(&stream, &[text.as_bytes()]), expected, "{reason}");
        }
    }
}

#[test]
fn an_answer_has_as_many_choices_as_were_asked_for() {
    let choice = |index: u64| json!({"index": index, "finish_reason": "stop"});
    for (choices, asked_for, flaw) in [
        (json!([choice(0)]), 1, None),
        (json!([choice(1), choice(0)]), 2, None),
        (json!([choice(0)]), 2, Some(Flaw::Parts)),
        (json!([choice(0), choice(1)]), 1, Some(Flaw::Parts)),
        (json!([choice(0), choice(0)]), 2, Some(Flaw::Parts)),
        (json!([choice(0), choice(0)]), 1, Some(Flaw::Parts)),
        (json!([choice(1)]), 1, Some(Flaw::Parts)),
        (json!([]), 1, Some(Flaw::Parts)),
        (json!([{"finish_reason": "stop"}]), 1, Some(Flaw::Malformed)),
        (json!(null), 1, Some(Flaw::Malformed)),
    ] {
        let body = json!({"choices": choices}).to_string();
        let expected = flaw.map_or(COMPLETE(0, 0), incomplete);
        assert_eq!(parts(Api::OpenAiChat, asked_for).judge(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_response_must_be_completed() {
    let with = |name: &str, value: Value| {
        let mut answer = response("completed");
        answer[name] = value;
        answer
    };
    let cut = |reason: &str| {
        let mut answer = response("incomplete");
        answer["incomplete_details"] = json!({"reason": reason});
        answer
    };
    for (answer, flaw, if_cut_is_taken) in [
        (response("completed"), None, None),
        (response("failed"), Some(Flaw::Error), Some(Flaw::Error)),
        (response("cancelled"), Some(Flaw::Error), Some(Flaw::Error)),
        (response("queued"), Some(Flaw::Unfinished), Some(Flaw::Unfinished)),
        (response("in_progress"), Some(Flaw::Unfinished), Some(Flaw::Unfinished)),
        (response("incomplete"), Some(Flaw::Reason), Some(Flaw::Reason)),
        (cut("max_output_tokens"), Some(Flaw::Length), None),
        (cut("content_filter"), Some(Flaw::Filtered), Some(Flaw::Filtered)),
        (with("error", json!({"code": "x"})), Some(Flaw::Error), Some(Flaw::Error)),
        (with("status", json!(null)), Some(Flaw::Malformed), Some(Flaw::Malformed)),
        (
            with("incomplete_details", json!({"reason": "x"})),
            Some(Flaw::Reason),
            Some(Flaw::Reason),
        ),
        (
            with("output", json!([{"status": "in_progress"}])),
            Some(Flaw::Unfinished),
            Some(Flaw::Unfinished),
        ),
    ] {
        for (take_cut, flaw) in [(false, flaw), (true, if_cut_is_taken)] {
            let expected = flaw.map_or(COMPLETE(5, 7), incomplete);
            let plain = Asked { take_cut, ..parts(Api::OpenAiResponses, 1) };
            assert_eq!(plain.judge(answer.to_string().as_bytes()), expected, "{answer}");
            for kind in ["response.completed", "response.incomplete", "response.failed"] {
                let text =
                    events(Api::OpenAiResponses, &[json!({"type": kind, "response": answer})]);
                let stream = Asked { take_cut, ..streaming(Api::OpenAiResponses, 1) };
                assert_eq!(follow(&stream, &[text.as_bytes()]), expected, "{answer}");
            }
        }
    }
    // Known by its data where nothing names the event, and by its name where the data does not.
    let completed = json!({"type": "response.completed", "response": response("completed")});
    let asked = streaming(Api::OpenAiResponses, 1);
    let unnamed = format!("data: {completed}\n\n");
    assert_eq!(follow(&asked, &[unnamed.as_bytes()]), COMPLETE(5, 7));
    let named = format!(
        "event: response.completed\ndata: {}\n\n",
        json!({"response": response("completed")})
    );
    assert_eq!(follow(&asked, &[named.as_bytes()]), COMPLETE(5, 7));
}

#[test]
fn a_message_must_stop_for_a_reason_that_is_accepted() {
    for (reason, flaw, if_cut_is_taken) in [
        (json!("end_turn"), None, None),
        (json!("tool_use"), None, None),
        (json!("stop_sequence"), None, None),
        (json!("max_tokens"), Some(Flaw::Length), None),
        (json!("model_context_window_exceeded"), Some(Flaw::Length), Some(Flaw::Length)),
        (json!("refusal"), Some(Flaw::Filtered), Some(Flaw::Filtered)),
        (json!("pause_turn"), Some(Flaw::Unfinished), Some(Flaw::Unfinished)),
        (json!("something"), Some(Flaw::Reason), Some(Flaw::Reason)),
        (json!(null), Some(Flaw::Truncated), Some(Flaw::Truncated)),
    ] {
        for (take_cut, flaw) in [(false, flaw), (true, if_cut_is_taken)] {
            let expected = flaw.map_or(COMPLETE(5, 7), incomplete);
            let usage =
                json!({"input_tokens": 4, "cache_creation_input_tokens": 1, "output_tokens": 7});
            let message = json!({"type": "message", "stop_reason": reason, "usage": usage});
            let plain = Asked { take_cut, ..parts(Api::AnthropicMessages, 1) };
            assert_eq!(plain.judge(message.to_string().as_bytes()), expected, "{reason}");
            let mut list = messages_stream();
            list[9]["delta"]["stop_reason"] = reason.clone();
            let stream = Asked { take_cut, ..streaming(Api::AnthropicMessages, 1) };
            let verdict = follow(&stream, &[events(stream.api, &list).as_bytes()]);
            assert_eq!(verdict, expected, "{reason}");
        }
    }
    let error = br#"{"type":"error","error":{"type":"overloaded_error"}}"#;
    assert_eq!(parts(Api::AnthropicMessages, 1).judge(error), incomplete(Flaw::Error));
    assert_eq!(parts(Api::AnthropicMessages, 1).judge(b"{}"), incomplete(Flaw::Malformed));
}

#[test]
fn blocks_of_a_message_open_once_and_close() {
    let asked = streaming(Api::AnthropicMessages, 1);
    for (place, event) in [
        (0, json!({"type": "ping"})),
        (2, json!({"type": "content_block_start", "index": 0})),
        (6, json!({"type": "content_block_delta", "index": 0, "delta": {}})),
        (6, json!({"type": "content_block_stop", "index": 0})),
        (3, json!({"type": "content_block_delta", "delta": {}})),
        (3, json!({"type": "message_start", "message": {}})),
        (9, json!({"type": "content_block_start", "index": 2})),
        (9, json!({"type": "something_new", "index": 2})),
    ] {
        let mut list = messages_stream();
        list.insert(place, event.clone());
        let verdict = follow(&asked, &[events(asked.api, &list).as_bytes()]);
        let harmless = matches!(event["type"].as_str(), Some("ping" | "something_new"));
        assert_eq!(matches!(verdict, Verdict::Complete(_)), harmless, "{event}");
    }
}

#[test]
fn json_of_which_no_more_is_known_must_be_read_to_its_end() {
    let asked = parts(Api::Json, 1);
    let body = br#"{"text":"a","pages":[[1,2]],"usage":{"input_tokens":5,"completion_tokens":7}}"#;
    assert_eq!(asked.judge(body), COMPLETE(5, 7));
    assert_eq!(asked.judge(b"[]"), COMPLETE(0, 0));
    for end in 0..body.len() {
        assert_eq!(asked.judge(&body[..end]), incomplete(Flaw::Malformed));
    }
    assert_eq!(asked.judge(br#"{"error":"no"}"#), incomplete(Flaw::Error));
    assert_eq!(asked.judge(br#"{"error":null}"#), COMPLETE(0, 0));
}

#[test]
fn an_answer_that_is_cut_off_is_not_whole_at_any_byte() {
    for (api, body) in [
        (Api::OpenAiChat, json!({"choices": [{"index": 0, "finish_reason": "stop"}]})),
        (Api::OpenAiResponses, response("completed")),
        (Api::AnthropicMessages, json!({"type": "message", "stop_reason": "end_turn"})),
        (Api::OpenAiEmbeddings, json!({"data": [{"index": 0, "embedding": [0.5]}]})),
    ] {
        let body = body.to_string();
        let asked = parts(api, 1);
        assert!(matches!(asked.judge(body.as_bytes()), Verdict::Complete(_)));
        for end in 0..body.len() {
            assert!(matches!(asked.judge(&body.as_bytes()[..end]), Verdict::Incomplete(_)));
        }
    }
}
