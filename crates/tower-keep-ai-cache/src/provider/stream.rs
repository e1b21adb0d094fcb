//! A streamed answer, followed while it passes by.

use super::{
    Api, Asked, Flaw, Follow, Usage, Verdict, anthropic_messages, openai_chat, openai_completions,
    openai_responses, spent,
};
use crate::sse::Events;

/// Finds out whether a stream is whole; it keeps nothing of it.
pub(crate) struct Stream {
    events: Events,
    follow: Option<Box<dyn Follow + Send>>,
    flaw: Option<Flaw>,
    /// What it says it cost, whole or not.
    spent: Option<Usage>,
}

impl Stream {
    /// `most` bounds one event.
    pub(crate) fn new(asked: &Asked, most: usize) -> Self {
        let follow: Option<Box<dyn Follow + Send>> = match asked.api {
            _ if !asked.stream => None,
            Api::OpenAiChat => Some(Box::new(openai_chat::Following::new(asked))),
            Api::OpenAiCompletions => Some(Box::new(openai_completions::Following::new(asked))),
            Api::OpenAiResponses => Some(Box::new(openai_responses::Following::new(asked))),
            Api::AnthropicMessages => Some(Box::new(anthropic_messages::Following::new(asked))),
            Api::OpenAiEmbeddings | Api::Json => None,
        };
        let flaw = if follow.is_none() { Some(Flaw::Shape) } else { None };
        Self { events: Events::new(most), follow, flaw, spent: None }
    }

    /// The stream goes on with these bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let Some(follow) = &mut self.follow else { return };
        let (flaw, spent) = (&mut self.flaw, &mut self.spent);
        let taken = self.events.take(bytes, |event| {
            *spent = spent::with(*spent, spent::told(event.data));
            if flaw.is_some() {
                return;
            }
            let told = if follow.has_ended() {
                // What comes after the end is of something that we do not know.
                Err(Flaw::Malformed)
            } else if event.name == b"error" {
                Err(Flaw::Error)
            } else {
                follow.event(event)
            };
            *flaw = told.err();
        });
        if taken.is_err() {
            *flaw = flaw.or(Some(Flaw::Malformed));
        }
    }

    /// What is wrong with it so far.
    pub(crate) const fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// What it has said so far that it cost, also if it is not whole.
    pub(crate) const fn spent(&self) -> Option<Usage> {
        self.spent
    }

    /// What it cost, once its last event has come.
    pub(crate) fn cost(&mut self) -> Option<Usage> {
        if self.has_ended() { self.whole().ok() } else { None }
    }

    /// Whether its last event has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.flaw.is_none() && self.follow.as_ref().is_some_and(|follow| follow.has_ended())
    }

    /// The stream has ended, without an error of the connection.
    pub(crate) fn end(mut self) -> Verdict {
        match self.whole() {
            Ok(usage) => Verdict::Complete(usage),
            Err(flaw) => Verdict::Incomplete(flaw),
        }
    }

    fn whole(&mut self) -> Result<Usage, Flaw> {
        let (Some(follow), None) = (&mut self.follow, self.flaw) else {
            return Err(self.flaw.unwrap_or(Flaw::Shape));
        };
        if !follow.has_ended() || self.events.is_amid_event() {
            return Err(Flaw::Truncated);
        }
        follow.finish()
    }
}
