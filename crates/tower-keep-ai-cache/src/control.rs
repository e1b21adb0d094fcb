//! What a request asks of the cache, and whether it is one that the cache may answer.

use std::time::Duration;

use http::{HeaderMap, header};

use crate::{
    BypassReason,
    json::{Node, Number},
    provider::{Api, Asked},
};

mod wishes;

pub(crate) use self::wishes::{TTL, Wishes};

/// Which requests are cached, as the operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// All but those that refuse it; else those only that ask for it.
    pub(crate) unless_refused: bool,
    /// Callers may ask for a refresh, other ages and no storing. Who may ask for refreshes makes
    /// cost.
    pub(crate) heed_wishes: bool,
    /// Requests that may be answered differently each time are cached too: those whose temperature
    /// is not 0 and that name no seed. One that asks for the cache is in any case.
    pub(crate) sampled: bool,
    /// More answers to one request than this are not cached, unless it asks for it.
    pub(crate) max_choices: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { unless_refused: true, heed_wishes: true, sampled: true, max_choices: 128 }
    }
}

/// What is done with a request that is the cache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What is stored may answer it; else it is asked anew, and what comes is stored.
    pub(crate) read: bool,
    /// An older answer is as good as none.
    pub(crate) oldest: Option<Duration>,
    /// For how long the caller wants the answer stored.
    pub(crate) ttl: Option<Duration>,
}

/// Decides about a request.
pub(crate) fn decide(
    root: &Node<'_>,
    asked: &Asked,
    headers: &HeaderMap,
    wishes: &Wishes,
    policy: &Policy,
) -> Result<Plan, BypassReason> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(BypassReason::Encoded);
    }
    let asked_for = wishes.use_cache == Some(true);
    if policy.heed_wishes {
        if wishes.malformed {
            return Err(BypassReason::Control);
        }
        if wishes.use_cache == Some(false) {
            return Err(BypassReason::Refused);
        }
        if wishes.no_store {
            return Err(BypassReason::NoStore);
        }
    }
    if !policy.unless_refused && !asked_for {
        return Err(BypassReason::NotAsked);
    }
    if asked.api != Api::Json {
        standing(root)?;
    }
    if !asked_for {
        let many = asked.api != Api::OpenAiEmbeddings && asked.parts > policy.max_choices;
        if many {
            return Err(BypassReason::Choices);
        }
        if !policy.sampled && is_sampled(root, asked.api) {
            return Err(BypassReason::Sampled);
        }
    }
    if !policy.heed_wishes {
        return Ok(Plan { read: true, oldest: None, ttl: None });
    }
    let read = !wishes.no_cache && wishes.oldest != Some(Duration::ZERO);
    Ok(Plan { read, oldest: wishes.oldest, ttl: wishes.ttl })
}

/// Whether the answer stands for itself: it depends on nothing that the upstream keeps, and makes
/// the upstream keep or do nothing that somebody counts on.
fn standing(root: &Node<'_>) -> Result<(), BypassReason> {
    let is_true = |name| root.get(name).is_some_and(|value| value.as_bool() != Some(false));
    if is_true("background") {
        return Err(BypassReason::Background);
    }
    let kept = ["previous_response_id", "conversation", "container"];
    if kept.into_iter().any(|name| root.get(name).is_some()) {
        return Err(BypassReason::Stateful);
    }
    if is_true("store") {
        return Err(BypassReason::Stored);
    }
    // Tools that the upstream runs by itself and that change things elsewhere.
    let servers = root.get("mcp_servers").is_some_and(|servers| !servers.elements().is_empty());
    let is = |node: &Node<'_>, kind| node.get("type").and_then(Node::as_str) == Some(kind);
    let acts = |tool: &Node<'_>| is(tool, "mcp");
    let within = |name| root.get(name).map_or(&[][..], Node::elements).iter();
    // A place of the upstream's where earlier calls have left things, or what it has answered.
    let continues = within("tools")
        .any(|tool| tool.get("container").is_some_and(|it| it.as_str().is_some()))
        || within("input").any(|item| is(item, "item_reference"))
        || within("messages")
            .any(|message| message.get("audio").is_some_and(|it| it.get("id").is_some()));
    if continues {
        return Err(BypassReason::Stateful);
    }
    if servers || root.get("tools").is_some_and(|tools| tools.elements().iter().any(acts)) {
        return Err(BypassReason::Acting);
    }
    Ok(())
}

/// Whether two answers to one request may differ, as far as it says. Texts are embedded and
/// pictures read the same each time.
fn is_sampled(root: &Node<'_>, api: Api) -> bool {
    let is_zero = |node: &Node<'_>| node.as_number().is_some_and(Number::is_zero);
    let is_cold = root.get("temperature").is_some_and(is_zero);
    let makes_text = !matches!(api, Api::OpenAiEmbeddings | Api::Json);
    makes_text && !is_cold && root.get("seed").is_none()
}

#[cfg(test)]
mod tests;
