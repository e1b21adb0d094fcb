//! The APIs that are understood: what is a request to them, and when an answer is whole.
//!
//! An answer is kept only if it is known to be whole: it ended as its API ends answers, and every
//! part that was asked for says why it ended. Clients do not notice a stream that was cut, so
//! nobody else would.

use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use crate::{json::Node, sse::Event};

mod anthropic_messages;
mod json;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_responses;
pub(crate) mod route;
pub(crate) mod spent;
pub(crate) mod stream;

/// An API whose requests and answers are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/completions`.
    OpenAiCompletions,
    /// `POST /v1/responses`.
    OpenAiResponses,
    /// `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// `POST /v1/messages`.
    AnthropicMessages,
    /// A JSON request that is answered by JSON, of which no more is known.
    Json,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is whole.
    Complete(Usage),
    /// It is not, or it cannot be told.
    Incomplete(Flaw),
}

/// The tokens that an answer says it cost. An answer need not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Usage {
    /// That of two answers.
    pub(crate) const fn and(self, other: Self) -> Self {
        let Self { input, output } = other;
        Self { input: self.input.saturating_add(input), output: self.output.saturating_add(output) }
    }

    pub(crate) const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// It ended before its end.
    Truncated,
    /// It is, or holds, an error.
    Error,
    /// It is not what the API answers.
    Malformed,
    /// It is of another kind than was asked for: a stream, or none.
    Shape,
    /// It was cut at the most tokens it may have.
    Length,
    /// A filter cut it, or the model was not let answer.
    Filtered,
    /// It is to be continued, or is made in the background.
    Unfinished,
    /// It ended for a reason that is not known.
    Reason,
    /// It has more or fewer parts than were asked for.
    Parts,
    /// Its status is none of whole answers.
    Status,
    /// It is encoded, so that nobody here can tell.
    Encoded,
    /// It says `no-store`.
    NoStore,
    /// It is longer than is kept.
    TooLarge,
    /// It ended with trailers.
    Trailers,
}

impl Flaw {
    /// The reason as a short label, for logs, metrics and `Cache-Status`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Error => "error",
            Self::Malformed => "malformed",
            Self::Shape => "shape",
            Self::Length => "length",
            Self::Filtered => "filtered",
            Self::Unfinished => "unfinished",
            Self::Reason => "reason",
            Self::Parts => "parts",
            Self::Status => "status",
            Self::Encoded => "encoded",
            Self::NoStore => "no-store",
            Self::TooLarge => "too-large",
            Self::Trailers => "trailers",
        }
    }
}

/// What a request asks for, as far as an answer is measured by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) api: Api,
    /// How many answers.
    pub(crate) parts: usize,
    /// As events.
    pub(crate) stream: bool,
    /// An answer that was cut at the most tokens it may have is taken for whole.
    pub(crate) take_cut: bool,
}

/// More parts than this are not counted.
pub(crate) const MAX_PARTS: usize = 2048;

impl Asked {
    /// What the request asks for. `None` if that cannot be told.
    pub(crate) fn of(api: Api, request: &Node<'_>, take_cut: bool) -> Option<Self> {
        let stream = match request.get("stream") {
            Some(stream) => stream.as_bool()?,
            None => false,
        };
        let parts = match api {
            Api::OpenAiChat => count(request)?,
            Api::OpenAiCompletions => openai_completions::parts(request)?,
            Api::OpenAiEmbeddings => openai_embeddings::parts(request)?,
            Api::OpenAiResponses | Api::AnthropicMessages | Api::Json => 1,
        };
        let may_stream = !matches!(api, Api::OpenAiEmbeddings | Api::Json);
        let known = (1..=MAX_PARTS).contains(&parts) && (may_stream || !stream);
        known.then_some(Self { api, parts, stream, take_cut })
    }

    /// Whether an answer with these fields is of the kind that was asked for.
    pub(crate) fn is_shape_of(&self, answer: &HeaderMap) -> bool {
        if self.stream { is_stream(answer) } else { is_of(answer, "application/json") }
    }

    /// What an answer is that did not come as a stream.
    pub(crate) fn judge(&self, body: &[u8]) -> Verdict {
        let judged = match self.api {
            _ if self.stream => Err(Flaw::Shape),
            Api::OpenAiChat => openai_chat::judge(body, self),
            Api::OpenAiCompletions => openai_completions::judge(body, self),
            Api::OpenAiResponses => openai_responses::judge(body, self),
            Api::OpenAiEmbeddings => openai_embeddings::judge(body, self),
            Api::AnthropicMessages => anthropic_messages::judge(body, self),
            Api::Json => json::judge(body),
        };
        judged.map_or_else(Verdict::Incomplete, Verdict::Complete)
    }
}

/// The media type of a message, if it has one and only one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let (line, more) = (lines.next()?, lines.next());
    let text = line.to_str().ok()?;
    more.is_none().then(|| text.split(';').next().unwrap_or_default().trim())
}

/// What follows a stream of one API.
trait Follow {
    /// An event has come.
    fn event(&mut self, event: Event<'_>) -> Result<(), Flaw>;

    /// The last event has come.
    fn has_ended(&self) -> bool;

    /// No more will come.
    fn finish(&mut self) -> Result<Usage, Flaw>;
}

/// The `n` of a request.
fn count(request: &Node<'_>) -> Option<usize> {
    request.get("n").map_or(Some(1), |n| usize::try_from(n.as_u64()?).ok())
}

/// What a text is in the API's terms. What is not JSON breaks off, for all that one can tell.
fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Flaw> {
    serde_json::from_slice(text)
        .map_err(|error| if error.is_eof() { Flaw::Truncated } else { Flaw::Malformed })
}

/// Whether an answer comes as events.
pub(crate) fn is_stream(answer: &HeaderMap) -> bool {
    is_of(answer, "text/event-stream")
}

fn is_of(answer: &HeaderMap, kind: &str) -> bool {
    media_type(answer).is_some_and(|found| found.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests;
