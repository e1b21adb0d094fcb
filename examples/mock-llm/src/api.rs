//! The APIs that are spoken.

use serde_json::{Value, json};

use crate::{ask::Ask, deliver::Answer};

mod chat;
mod completions;
mod embeddings;
mod json;
mod messages;
mod responses;

/// When everything was made: answers tell no time, so that they are the same each time.
const CREATED: u64 = 1_700_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Messages,
    Ocr,
    Analyze,
}

impl Api {
    pub(crate) const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Messages,
        Self::Ocr,
        Self::Analyze,
    ];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
            Self::Ocr => "/v1/ocr",
            Self::Analyze => "/v1/analyze",
        }
    }

    pub(crate) fn answer(self, ask: &Ask) -> Answer {
        match self {
            Self::Chat => chat::answer(ask),
            Self::Completions => completions::answer(ask),
            Self::Responses => responses::answer(ask),
            Self::Embeddings => embeddings::answer(ask),
            Self::Messages => messages::answer(ask),
            Self::Ocr | Self::Analyze => json::answer(ask),
        }
    }

    pub(crate) fn error(self, status: u16, message: &str) -> Value {
        let kind = match status {
            429 => "rate_limit_error",
            529 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        match self {
            Self::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": kind}}),
        }
    }
}

/// Why a choice ended, in OpenAI's terms.
fn finish_reason(ask: &Ask, otherwise: &'static str) -> &'static str {
    match () {
        () if ask.marks.has("length") => "length",
        () if ask.marks.has("content_filter") => "content_filter",
        () => otherwise,
    }
}
