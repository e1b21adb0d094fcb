//! `POST /v1/chat/completions`: choices by index, each of which says why it ended; a stream ends
//! with `[DONE]`.

use serde::{Deserialize, de::IgnoredAny};

use super::{Asked, Flaw, Follow, MAX_PARTS, Usage, read};
use crate::sse::Event;

/// An answer, or a part of one.
#[derive(Deserialize)]
struct Answer {
    error: Option<IgnoredAny>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    index: usize,
    finish_reason: Option<String>,
}

/// The `usage` of OpenAI's APIs, which say it in one way or the other.
#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(rename = "prompt_tokens")]
    prompt: Option<u64>,
    #[serde(rename = "completion_tokens")]
    completion: Option<u64>,
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
}

impl Tokens {
    pub(super) fn usage(&self) -> Usage {
        Usage {
            input: self.prompt.or(self.input).unwrap_or_default(),
            output: self.completion.or(self.output).unwrap_or_default(),
        }
    }
}

/// Why a choice ended, if it may be kept.
fn ended(reason: &str, asked: &Asked) -> Result<(), Flaw> {
    match reason {
        "stop" | "tool_calls" | "function_call" => Ok(()),
        "length" if asked.take_cut => Ok(()),
        "length" => Err(Flaw::Length),
        "content_filter" => Err(Flaw::Filtered),
        _ => Err(Flaw::Reason),
    }
}

/// Judges an answer with choices, as this API has them and that before it.
pub(super) fn judge(body: &[u8], asked: &Asked) -> Result<Usage, Flaw> {
    let answer: Answer = read(body)?;
    let mut following = Following::new(asked);
    let parts = answer.choices.len();
    following.add(answer)?;
    // As many as there are indexes: so none of them comes twice.
    if parts != asked.parts {
        return Err(Flaw::Parts);
    }
    following.finish()
}

/// Follows a stream of choices.
pub(super) struct Following {
    asked: Asked,
    /// By index: whether it has ended.
    choices: Vec<bool>,
    usage: Usage,
    done: bool,
}

impl Following {
    pub(super) fn new(asked: &Asked) -> Self {
        let choices = vec![false; asked.parts.min(MAX_PARTS)];
        Self { asked: *asked, choices, usage: Usage::default(), done: false }
    }

    fn add(&mut self, answer: Answer) -> Result<(), Flaw> {
        if answer.error.is_some() {
            return Err(Flaw::Error);
        }
        for choice in answer.choices {
            let ended_before = self.choices.get_mut(choice.index).ok_or(Flaw::Parts)?;
            // Some say "" until they know.
            let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) else {
                continue;
            };
            ended(&reason, &self.asked)?;
            *ended_before = true;
        }
        if let Some(tokens) = answer.usage {
            self.usage = tokens.usage();
        }
        Ok(())
    }
}

impl Follow for Following {
    fn event(&mut self, event: Event<'_>) -> Result<(), Flaw> {
        if event.data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        self.add(read(event.data)?)
    }

    fn has_ended(&self) -> bool {
        self.done
    }

    fn finish(&mut self) -> Result<Usage, Flaw> {
        if self.choices.iter().all(|ended| *ended) { Ok(self.usage) } else { Err(Flaw::Parts) }
    }
}
