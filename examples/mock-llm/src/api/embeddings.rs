//! `POST /v1/embeddings`: equal texts have equal vectors, whatever they are asked for with.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::Api;
use crate::{
    ask::Ask,
    deliver::Answer,
    words::{Seed, tokens},
};

const DIMENSIONS: usize = 16;

pub(super) fn answer(ask: &Ask) -> Answer {
    let inputs = match ask.body.get("input") {
        Some(Value::Array(inputs)) if !inputs.iter().any(Value::is_number) => inputs.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return Answer::error(Api::Embeddings, 400, "there is no input"),
    };
    let dimensions = ask.body.get("dimensions").and_then(Value::as_u64);
    let dimensions = dimensions.and_then(|count| usize::try_from(count).ok());
    let dimensions = dimensions.unwrap_or(DIMENSIONS).clamp(1, 4096);
    let is_base64 = ask.body.get("encoding_format").is_some_and(|format| format == "base64");
    let element = |(index, input): (usize, &Value)| {
        let numbers = Seed::of(format!("{} {input}", ask.model).as_bytes()).numbers(dimensions);
        let embedding = if is_base64 {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(BASE64.encode(&bytes))
        } else {
            json!(numbers)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let mut data: Vec<Value> = inputs.iter().enumerate().map(element).collect();
    if ask.marks.has("shuffle") {
        data.reverse();
    }
    let read: u64 = inputs.iter().map(|input| tokens(&input.to_string())).sum();
    let body = json!({
        "object": "list", "data": data, "model": ask.model,
        "usage": {"prompt_tokens": read, "total_tokens": read},
    });
    Answer::json(ask, &body)
}
