//! `POST /v1/completions`.

use serde_json::{Value, json};

use super::{Api, CREATED, finish_reason};
use crate::{
    ask::Ask,
    deliver::{Answer, event, usage},
    words,
};

pub(super) fn answer(ask: &Ask) -> Answer {
    let prompts = match ask.body.get("prompt") {
        Some(Value::Array(prompts)) if !prompts.iter().any(Value::is_number) => prompts.len(),
        _ => 1,
    };
    let texts: Vec<String> = (0..prompts * ask.count()).map(|index| ask.text(index)).collect();
    let written = texts.iter().map(|text| words::tokens(text)).sum();
    let usage = usage(ask.tokens, written);
    let finish = finish_reason(ask, "stop");
    let id = ask.seed.id("cmpl-");
    let body = |choices: Vec<Value>| {
        json!({
            "id": id, "object": "text_completion", "created": CREATED, "model": ask.model,
            "choices": choices,
        })
    };
    let choice = |index: usize, text: &str, finish: Option<&str>| json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish});
    if !ask.stream {
        let choices = texts.iter().enumerate().map(|(i, text)| choice(i, text, Some(finish)));
        let mut body = body(choices.collect());
        if let Some(members) = body.as_object_mut() {
            members.insert("usage".into(), usage);
        }
        return Answer::json(ask, &body);
    }
    let mut events = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let pieces = words::pieces(text).into_iter();
        events.extend(pieces.map(|piece| event(None, &body(vec![choice(i, piece, None)]))));
        events.push(event(None, &body(vec![choice(i, "", Some(finish))])));
    }
    if ask.usage {
        let mut last = body(Vec::new());
        if let Some(members) = last.as_object_mut() {
            members.insert("usage".into(), usage);
        }
        events.push(event(None, &last));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Answer::events(ask, events, event(None, &Api::Completions.error(500, "as it was told")))
}
