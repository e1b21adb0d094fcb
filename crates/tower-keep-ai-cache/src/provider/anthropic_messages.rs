//! `POST /v1/messages`: a message that says why it stopped; a stream begins with `message_start`,
//! opens and closes blocks by index, and ends with `message_stop`.

use std::collections::BTreeSet;

use serde::{Deserialize, de::IgnoredAny};

use super::{Asked, Flaw, Follow, Usage, read};
use crate::sse::Event;

#[derive(Deserialize)]
struct Message {
    r#type: Option<String>,
    error: Option<IgnoredAny>,
    stop_reason: Option<String>,
    usage: Option<Tokens>,
}

/// What has no number is not told anew.
#[derive(Default, Deserialize)]
struct Tokens {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
}

impl Tokens {
    /// Takes over what is told later: the counts of a stream are those until then.
    fn add(&mut self, later: &Self) {
        let newer = |known: &mut Option<u64>, told: Option<u64>| *known = told.or(*known);
        newer(&mut self.input, later.input);
        newer(&mut self.cache_written, later.cache_written);
        newer(&mut self.cache_read, later.cache_read);
        newer(&mut self.output, later.output);
    }

    /// What was read from a cache of the upstream is input too.
    fn usage(&self) -> Usage {
        let input = [self.input, self.cache_written, self.cache_read];
        let input = input.into_iter().flatten().fold(0, u64::saturating_add);
        Usage { input, output: self.output.unwrap_or_default() }
    }
}

#[derive(Deserialize)]
struct Told {
    r#type: String,
    index: Option<u64>,
    message: Option<Message>,
    delta: Option<Delta>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Delta {
    stop_reason: Option<String>,
}

fn stopped(reason: &str, asked: &Asked) -> Result<(), Flaw> {
    match reason {
        "end_turn" | "tool_use" | "stop_sequence" => Ok(()),
        "max_tokens" if asked.take_cut => Ok(()),
        "max_tokens" | "model_context_window_exceeded" => Err(Flaw::Length),
        "refusal" => Err(Flaw::Filtered),
        "pause_turn" => Err(Flaw::Unfinished),
        _ => Err(Flaw::Reason),
    }
}

pub(super) fn judge(body: &[u8], asked: &Asked) -> Result<Usage, Flaw> {
    let message: Message = read(body)?;
    match message.r#type.as_deref() {
        _ if message.error.is_some() => return Err(Flaw::Error),
        Some("error") => return Err(Flaw::Error),
        Some("message") => {}
        _ => return Err(Flaw::Malformed),
    }
    stopped(message.stop_reason.as_deref().ok_or(Flaw::Truncated)?, asked)?;
    Ok(message.usage.map(|tokens| tokens.usage()).unwrap_or_default())
}

/// Follows a stream.
pub(super) struct Following {
    asked: Asked,
    started: bool,
    open: BTreeSet<u64>,
    /// A reason to stop has come, and was a good one.
    stopped: bool,
    ended: bool,
    tokens: Tokens,
}

/// More blocks than this are never open.
const MAX_OPEN: usize = 64;

impl Following {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            asked: *asked,
            started: false,
            open: BTreeSet::new(),
            stopped: false,
            ended: false,
            tokens: Tokens::default(),
        }
    }

    fn start(&mut self, message: Option<Message>) -> Result<(), Flaw> {
        let message = message.ok_or(Flaw::Malformed)?;
        if let Some(tokens) = message.usage {
            self.tokens.add(&tokens);
        }
        Ok(())
    }

    fn block(&mut self, kind: &str, index: Option<u64>) -> Result<(), Flaw> {
        let index = index.ok_or(Flaw::Malformed)?;
        let in_order = match kind {
            "content_block_start" => self.open.len() < MAX_OPEN && self.open.insert(index),
            "content_block_stop" => self.open.remove(&index),
            _ => self.open.contains(&index),
        };
        if in_order { Ok(()) } else { Err(Flaw::Malformed) }
    }
}

impl Follow for Following {
    fn event(&mut self, event: Event<'_>) -> Result<(), Flaw> {
        let Told { r#type, index, message, delta, usage } = read(event.data)?;
        let begins = r#type == "message_start";
        match &*r#type {
            "error" => return Err(Flaw::Error),
            // May come at any time, as may what we do not know.
            "ping" => return Ok(()),
            "message_start"
            | "content_block_start"
            | "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
                if begins == self.started =>
            {
                return Err(Flaw::Malformed);
            }
            "message_start" => {
                self.started = true;
                self.start(message)?;
            }
            "content_block_start" | "content_block_delta" | "content_block_stop" => {
                self.block(&r#type, index)?;
            }
            "message_delta" => {
                if let Some(reason) = delta.and_then(|delta| delta.stop_reason) {
                    stopped(&reason, &self.asked)?;
                    self.stopped = true;
                }
                if let Some(tokens) = usage {
                    self.tokens.add(&tokens);
                }
            }
            "message_stop" => self.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn finish(&mut self) -> Result<Usage, Flaw> {
        let whole = self.stopped && self.open.is_empty();
        if whole { Ok(self.tokens.usage()) } else { Err(Flaw::Truncated) }
    }
}
