//! `POST /v1/messages`.

use serde_json::{Value, json};

use super::Api;
use crate::{
    ask::Ask,
    deliver::{Answer, named},
    words,
};

/// A block, how it begins, and the pieces that follow.
struct Block {
    whole: Value,
    begun: Value,
    deltas: Vec<Value>,
}

fn blocks(ask: &Ask) -> Vec<Block> {
    let mut blocks = Vec::new();
    if ask.marks.has("reasoning") {
        let (thinking, signature) = (ask.seed.words(6), ask.seed.id("sig"));
        let mut deltas: Vec<Value> = words::pieces(&thinking)
            .into_iter()
            .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
            .collect();
        deltas.push(json!({"type": "signature_delta", "signature": signature}));
        blocks.push(Block {
            whole: json!({"type": "thinking", "thinking": thinking, "signature": signature}),
            begun: json!({"type": "thinking", "thinking": "", "signature": ""}),
            deltas,
        });
    }
    if let Some(name) = ask.tool() {
        let (id, arguments) = (ask.seed.id("toolu_"), ask.arguments());
        let input: Value = serde_json::from_str(&arguments).unwrap_or_default();
        let pieces = words::pieces(&arguments).into_iter();
        blocks.push(Block {
            whole: json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            begun: json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            deltas: pieces
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect(),
        });
    } else {
        let text = ask.text(0);
        let pieces = words::pieces(&text).into_iter();
        blocks.push(Block {
            begun: json!({"type": "text", "text": ""}),
            deltas: pieces.map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
            whole: json!({"type": "text", "text": text}),
        });
    }
    blocks
}

fn stop_reason(ask: &Ask) -> &'static str {
    let marks = [
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
    ];
    let told = marks.into_iter().find(|(mark, _)| ask.marks.has(mark));
    let otherwise = if ask.tool().is_some() { "tool_use" } else { "end_turn" };
    told.map_or(otherwise, |(_, reason)| reason)
}

pub(super) fn answer(ask: &Ask) -> Answer {
    let (blocks, reason) = (blocks(ask), stop_reason(ask));
    let content: Vec<&Value> = blocks.iter().map(|block| &block.whole).collect();
    let written = words::tokens(&json!(content).to_string());
    let usage = |output: u64| {
        json!({
            "input_tokens": ask.tokens, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": output,
        })
    };
    let message = |content: Value, reason: Option<&str>, output: u64| {
        json!({
            "id": ask.seed.id("msg_"), "type": "message", "role": "assistant", "model": ask.model,
            "content": content, "stop_reason": reason, "stop_sequence": null,
            "usage": usage(output),
        })
    };
    if !ask.stream {
        return Answer::json(ask, &message(json!(content), Some(reason), written));
    }
    let mut events = vec![json!({"type": "message_start", "message": message(json!([]), None, 1)})];
    for (index, block) in blocks.iter().enumerate() {
        events.push(
            json!({"type": "content_block_start", "index": index, "content_block": block.begun}),
        );
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        let deltas = block.deltas.iter();
        events.extend(
            deltas.map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({
        "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": written},
    }));
    events.push(json!({"type": "message_stop"}));
    let events = events.iter().map(named).collect();
    Answer::events(ask, events, named(&Api::Messages.error(529, "as it was told")))
}
