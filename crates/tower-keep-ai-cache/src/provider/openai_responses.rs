//! `POST /v1/responses`: an answer that says its status; a stream ends with an event that holds the
//! whole of it.

use serde::{Deserialize, de::IgnoredAny};

use super::{Asked, Flaw, Follow, Usage, openai_chat::Tokens, read};
use crate::sse::Event;

#[derive(Deserialize)]
struct Answer {
    status: Option<String>,
    error: Option<IgnoredAny>,
    incomplete_details: Option<Details>,
    #[serde(default)]
    output: Vec<Item>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Details {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    status: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    r#type: Option<String>,
    error: Option<IgnoredAny>,
    response: Option<Answer>,
}

fn whole(answer: &Answer, asked: &Asked) -> Result<Usage, Flaw> {
    if answer.error.is_some() {
        return Err(Flaw::Error);
    }
    let reason = answer.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
    let cut = match (answer.status.as_deref(), reason) {
        (Some("completed"), None) => false,
        (Some("incomplete"), Some("max_output_tokens")) if asked.take_cut => true,
        (Some("incomplete"), Some("max_output_tokens")) => return Err(Flaw::Length),
        (Some("incomplete"), Some("content_filter")) => return Err(Flaw::Filtered),
        (Some("in_progress" | "queued"), _) => return Err(Flaw::Unfinished),
        (Some("failed" | "cancelled"), _) => return Err(Flaw::Error),
        (None, _) => return Err(Flaw::Malformed),
        _ => return Err(Flaw::Reason),
    };
    let is_whole = |item: &Item| item.status.as_deref().is_none_or(|status| status == "completed");
    if !cut && !answer.output.iter().all(is_whole) {
        return Err(Flaw::Unfinished);
    }
    Ok(answer.usage.as_ref().map(Tokens::usage).unwrap_or_default())
}

pub(super) fn judge(body: &[u8], asked: &Asked) -> Result<Usage, Flaw> {
    whole(&read(body)?, asked)
}

/// Follows a stream.
pub(super) struct Following {
    asked: Asked,
    /// Its last event has come, and was a good one.
    usage: Option<Usage>,
}

impl Following {
    pub(super) const fn new(asked: &Asked) -> Self {
        Self { asked: *asked, usage: None }
    }
}

impl Follow for Following {
    fn event(&mut self, event: Event<'_>) -> Result<(), Flaw> {
        // Not of this API, but some that imitate it send it.
        if event.data == b"[DONE]" {
            return Err(Flaw::Truncated);
        }
        // Most events are of no account, and hold nothing that stands for the whole.
        let Told { r#type, error, response } = read(event.data)?;
        let kind = r#type.as_deref().map_or(event.name, str::as_bytes);
        if kind == b"error" || error.is_some() {
            return Err(Flaw::Error);
        }
        match kind {
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                self.usage = Some(whole(&response.ok_or(Flaw::Malformed)?, &self.asked)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.usage.is_some()
    }

    fn finish(&mut self) -> Result<Usage, Flaw> {
        self.usage.ok_or(Flaw::Truncated)
    }
}
