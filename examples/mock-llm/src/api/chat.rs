//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use super::{Api, CREATED, finish_reason};
use crate::{
    ask::Ask,
    deliver::{Answer, event, usage},
    words,
};

/// What a choice says.
struct Choice {
    text: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    tool: Option<(String, String, String)>,
    finish: &'static str,
}

impl Choice {
    fn of(ask: &Ask, index: usize) -> Self {
        let seed = ask.seed.sub(1000 + index as u64);
        let tool = ask.tool().map(|name| (seed.id("call_"), name, ask.arguments()));
        let refusal = ask.marks.has("refusal").then(|| "I will not say that.".to_owned());
        let text = (tool.is_none() && refusal.is_none()).then(|| ask.text(index));
        let finish = finish_reason(ask, if tool.is_some() { "tool_calls" } else { "stop" });
        let reasoning = ask.marks.has("reasoning").then(|| seed.words(6));
        Self { text, refusal, reasoning, tool, finish }
    }

    fn message(&self) -> Value {
        let mut message =
            json!({"role": "assistant", "content": self.text, "refusal": self.refusal});
        let Some(members) = message.as_object_mut() else { return message };
        if let Some(reasoning) = &self.reasoning {
            members.insert("reasoning_content".into(), json!(reasoning));
        }
        if let Some((id, name, arguments)) = &self.tool {
            let function = json!({"name": name, "arguments": arguments});
            let call = json!({"id": id, "type": "function", "function": function});
            members.insert("tool_calls".into(), json!([call]));
        }
        message
    }

    fn deltas(&self) -> Vec<Value> {
        let mut deltas = vec![json!({"role": "assistant", "content": "", "refusal": null})];
        let mut add = |name: &str, text: &Option<String>| {
            let pieces = text.iter().flat_map(|text| words::pieces(text));
            deltas.extend(pieces.map(|piece| json!({ name: piece })));
        };
        add("reasoning_content", &self.reasoning);
        add("content", &self.text);
        add("refusal", &self.refusal);
        if let Some((id, name, arguments)) = &self.tool {
            let function = json!({"name": name, "arguments": ""});
            let call = json!({"index": 0, "id": id, "type": "function", "function": function});
            deltas.push(json!({"tool_calls": [call]}));
            let pieces = words::pieces(arguments).into_iter();
            deltas.extend(pieces.map(
                |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
            ));
        }
        deltas
    }

    fn written(&self) -> u64 {
        words::tokens(&self.message().to_string())
    }
}

pub(super) fn answer(ask: &Ask) -> Answer {
    let choices: Vec<Choice> = (0..ask.count()).map(|index| Choice::of(ask, index)).collect();
    let usage = usage(ask.tokens, choices.iter().map(Choice::written).sum());
    let id = ask.seed.id("chatcmpl-");
    if !ask.stream {
        let each = choices.iter().enumerate().map(|(index, choice)| {
            let (message, finish) = (choice.message(), choice.finish);
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish})
        });
        let body = json!({
            "id": id, "object": "chat.completion", "created": CREATED, "model": ask.model,
            "choices": each.collect::<Vec<_>>(), "usage": usage, "system_fingerprint": "fp_mock",
        });
        return Answer::json(ask, &body);
    }
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": CREATED, "model": ask.model,
            "system_fingerprint": "fp_mock", "choices": choices,
        });
        if let (true, Some(members)) = (ask.usage, chunk.as_object_mut()) {
            members.insert("usage".into(), usage.cloned().unwrap_or_default());
        }
        event(None, &chunk)
    };
    // Choices by turns, as they are made at the same time.
    let mut deltas: Vec<_> = choices.iter().map(|choice| choice.deltas().into_iter()).collect();
    let mut events = Vec::new();
    loop {
        let before = events.len();
        for (index, deltas) in deltas.iter_mut().enumerate() {
            if let Some(delta) = deltas.next() {
                let choice = json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]);
                events.push(chunk(choice, None));
            }
        }
        if events.len() == before {
            break;
        }
    }
    for (index, choice) in choices.iter().enumerate() {
        let finish = choice.finish;
        let last =
            json!([{"index": index, "delta": {}, "logprobs": null, "finish_reason": finish}]);
        events.push(chunk(last, None));
    }
    if ask.usage {
        events.push(chunk(json!([]), Some(&usage)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Answer::events(ask, events, event(None, &Api::Chat.error(500, "as it was told")))
}
