//! `POST /v1/ocr`, `POST /v1/analyze`: JSON in, JSON out.

use serde_json::json;

use crate::{ask::Ask, deliver::Answer, words};

pub(super) fn answer(ask: &Ask) -> Answer {
    let text = ask.seed.words(12);
    let (read, written) = (ask.tokens, words::tokens(&text));
    let body = json!({
        "id": ask.seed.id("doc_"), "model": ask.model, "text": text,
        "usage": {"input_tokens": read, "output_tokens": written},
    });
    Answer::json(ask, &body)
}
