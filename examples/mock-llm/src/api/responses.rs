//! `POST /v1/responses`.

use serde_json::{Value, json};

use super::CREATED;
use crate::{
    ask::Ask,
    deliver::{Answer, named},
    words,
};

fn part(ask: &Ask) -> Value {
    if ask.marks.has("refusal") {
        return json!({"type": "refusal", "refusal": "I will not say that."});
    }
    json!({"type": "output_text", "text": ask.text(0), "annotations": [], "logprobs": []})
}

fn item(ask: &Ask, status: &str) -> Value {
    match ask.tool() {
        Some(name) => json!({
            "id": ask.seed.id("fc_"), "type": "function_call", "status": status,
            "call_id": ask.seed.id("call_"), "name": name, "arguments": ask.arguments(),
        }),
        None => json!({
            "id": ask.seed.id("msg_"), "type": "message", "status": status, "role": "assistant",
            "content": [part(ask)],
        }),
    }
}

fn response(ask: &Ask, status: &str, output: &[Value]) -> Value {
    let reason = match status {
        "incomplete" if ask.marks.has("length") => json!({"reason": "max_output_tokens"}),
        "incomplete" => json!({"reason": "content_filter"}),
        _ => Value::Null,
    };
    let read = ask.tokens;
    let written = words::tokens(&json!(output).to_string());
    let usage = json!({
        "input_tokens": read, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    });
    let echoed = |name: &str, otherwise: Value| ask.body.get(name).cloned().unwrap_or(otherwise);
    json!({
        "id": ask.seed.id("resp_"), "object": "response", "created_at": CREATED, "status": status,
        "background": false, "error": null, "incomplete_details": reason, "model": ask.model,
        "instructions": echoed("instructions", Value::Null), "metadata": echoed("metadata", json!({})),
        "user": echoed("user", Value::Null), "output": output,
        "parallel_tool_calls": true, "previous_response_id": null, "store": true,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "top_p": 1.0,
        "tool_choice": echoed("tool_choice", json!("auto")), "tools": echoed("tools", json!([])),
        "usage": if status == "in_progress" { Value::Null } else { usage },
    })
}

pub(super) fn answer(ask: &Ask) -> Answer {
    let cut = ask.marks.has("length") || ask.marks.has("content_filter");
    let status = if cut { "incomplete" } else { "completed" };
    let mut output = Vec::new();
    if ask.marks.has("reasoning") {
        let summary = json!([{"type": "summary_text", "text": ask.seed.words(6)}]);
        output.push(json!({"id": ask.seed.id("rs_"), "type": "reasoning", "summary": summary}));
    }
    output.push(item(ask, status));
    let whole = response(ask, status, &output);
    if !ask.stream {
        return Answer::json(ask, &whole);
    }
    let started = response(ask, "in_progress", &[]);
    let mut events = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.in_progress", "response": started}),
    ];
    for (index, item) in output.iter().enumerate() {
        events.extend(item_events(ask, index, item));
    }
    events.push(json!({"type": format!("response.{status}"), "response": whole}));
    let error = json!({"type": "error", "code": "server_error", "message": "as it was told", "param": null});
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        if let Some(members) = event.as_object_mut() {
            members.insert("sequence_number".into(), json!(number));
        }
        named(&event)
    });
    Answer::events(ask, numbered.collect(), named(&error))
}

/// The events of an item, from its announcement to its end.
fn item_events(ask: &Ask, index: usize, item: &Value) -> Vec<Value> {
    let mut empty = item.clone();
    if let Some(members) = empty.as_object_mut() {
        for (name, value) in
            [("content", json!([])), ("arguments", json!("")), ("status", json!("in_progress"))]
        {
            if members.contains_key(name) {
                members.insert(name.into(), value);
            }
        }
    }
    let mut events =
        vec![json!({"type": "response.output_item.added", "output_index": index, "item": empty})];
    let id = item.get("id").cloned().unwrap_or_default();
    let mut push = |mut event: Value| {
        if let Some(members) = event.as_object_mut() {
            members.insert("item_id".into(), id.clone());
            members.insert("output_index".into(), json!(index));
        }
        events.push(event);
    };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => {
            let part = part(ask);
            let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
            let field = if kind == "refusal" { "refusal" } else { "text" };
            let text = part.get(field).and_then(Value::as_str).unwrap_or_default();
            let mut begun = part.clone();
            if let Some(members) = begun.as_object_mut() {
                members.insert(field.into(), json!(""));
            }
            push(json!({"type": "response.content_part.added", "content_index": 0, "part": begun}));
            for piece in words::pieces(text) {
                push(json!({
                    "type": format!("response.{kind}.delta"), "content_index": 0, "delta": piece,
                    "logprobs": [],
                }));
            }
            push(json!({
                "type": format!("response.{kind}.done"), "content_index": 0, field: text,
                "logprobs": [],
            }));
            push(json!({"type": "response.content_part.done", "content_index": 0, "part": part}));
        }
        Some("function_call") => {
            let arguments = ask.arguments();
            for piece in words::pieces(&arguments) {
                push(json!({"type": "response.function_call_arguments.delta", "delta": piece}));
            }
            push(json!({
                "type": "response.function_call_arguments.done", "arguments": arguments,
                "name": item.get("name"),
            }));
        }
        _ => {}
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    events
}
