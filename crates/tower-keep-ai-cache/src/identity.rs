//! All that tells one answer from another, as bytes that no two of them share: each part comes with
//! its length.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use crate::{
    canonical,
    control::Wishes,
    json::{Kind, Node},
    provider::Api,
};

/// The first byte of every identity. Another number forgets all that is stored.
const VERSION: u8 = 2;

/// A longer request stands in its identity by its SHA-256.
const MAX_WHOLE: usize = 4096;

/// What a request says of itself that has no part in what is answered: who asks, for which account,
/// how it is to be sent, and hints for caches on the way.
const UNKEYED: [&str; 8] = [
    "stream",
    "stream_options",
    "user",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
];

/// Those of them that an answer of the Responses API says again, so that it is another answer.
const ECHOED: [&str; 6] = [
    "user",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
];

/// Fields of a request that shape what is answered.
pub(crate) const SHAPING: [HeaderName; 5] = [
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

/// Which members and fields tell requests apart, as the operator says.
#[derive(Clone, Debug)]
pub(crate) struct Keying {
    /// `user`, `metadata` and `safety_identifier` tell requests apart.
    pub(crate) by_user: bool,
    /// Further members that do not.
    pub(crate) unkeyed: Vec<String>,
    pub(crate) headers: Vec<HeaderName>,
}

impl Default for Keying {
    fn default() -> Self {
        Self { by_user: false, unkeyed: Vec::new(), headers: SHAPING.to_vec() }
    }
}

impl Keying {
    /// Whether a request's own member of this name is no part of what is asked. In JSON of which
    /// no more is known, these words may mean anything.
    pub(crate) fn leaves_out(&self, api: Api, root: &Node<'_>, name: &str) -> bool {
        if Wishes::is_wish(root, name) || self.unkeyed.iter().any(|unkeyed| unkeyed == name) {
            return true;
        }
        let by_user = self.by_user && matches!(name, "user" | "metadata" | "safety_identifier");
        let echoed = api == Api::OpenAiResponses && ECHOED.contains(&name);
        api != Api::Json && !by_user && !echoed && UNKEYED.contains(&name)
    }

    /// What an operator says differently than unless told otherwise, and whether cut answers are taken:
    /// what was stored under other terms may not be an answer under these.
    pub(crate) fn terms(&self, take_cut: bool) -> Vec<u8> {
        let Self { by_user, unkeyed, headers } = self;
        let unkeyed: BTreeSet<&str> = unkeyed.iter().map(String::as_str).collect();
        let more = headers.iter().filter(|name| !SHAPING.contains(name));
        let more: BTreeSet<&str> = more.map(HeaderName::as_str).collect();
        if !by_user && !take_cut && unkeyed.is_empty() && more.is_empty() {
            return Vec::new();
        }
        let mut out = vec![u8::from(*by_user), u8::from(take_cut)];
        for names in [unkeyed, more] {
            for name in names {
                part(&mut out, name.as_bytes());
            }
            part(&mut out, &[]);
        }
        Sha256::digest(&out).to_vec()
    }

    /// How many bytes the fields have that shape the answer.
    pub(crate) fn shaping(&self, headers: &HeaderMap) -> usize {
        let values = self.headers.iter().flat_map(|name| headers.get_all(name));
        values.map(http::HeaderValue::len).sum()
    }

    /// What is asked, in its one form.
    pub(crate) fn canonical(&self, api: Api, root: &Node<'_>) -> Vec<u8> {
        canonical::object(root, |name| self.leaves_out(api, root, name))
    }
}

/// How an answer comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Json,
    /// As events, with what `stream_options` says of them.
    Events(Vec<u8>),
    /// As one of several vectors.
    Vector,
}

impl Variant {
    /// How the answer to this request comes.
    pub(crate) fn of(root: &Node<'_>, stream: bool) -> Self {
        if !stream {
            return Self::Json;
        }
        let Some(options) = root.get("stream_options") else { return Self::Events(Vec::new()) };
        // What is off unless it is said.
        let off = |name: &str| {
            let member = options.members().iter().find(|member| member.name == name);
            member.is_some_and(|member| match member.value.kind {
                Kind::Null => true,
                Kind::Bool(false) => name == "include_usage",
                _ => false,
            })
        };
        if !options.is_object() {
            return Self::Events(canonical::value(options));
        }
        let said = canonical::object(options, off);
        Self::Events(if said == b"{}" { Vec::new() } else { said })
    }
}

/// Whose answer it is, inside its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    /// A keyed hash of the credentials that paid for it, unless all of the tenant share.
    pub(crate) credential: Option<[u8; 32]>,
    /// The user, where each has their own.
    pub(crate) user: Option<&'a str>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// As the operator calls it.
    pub(crate) upstream: &'a str,
    /// As the request does.
    pub(crate) host: &'a [u8],
}

impl Origin<'_> {
    pub(crate) const fn len(&self) -> usize {
        self.upstream.len() + self.host.len()
    }
}

/// What an answer is told from others by. The tenant comes to it where an entry is named.
#[derive(Clone, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) api: Api,
    pub(crate) origin: Origin<'a>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) variant: &'a Variant,
    pub(crate) scope: Scope<'a>,
    /// Counted up by the operator when what was answered until then no longer holds.
    pub(crate) epoch: u64,
    /// See [`Keying::terms`].
    pub(crate) terms: &'a [u8],
    /// What is asked: see [`Keying::canonical`].
    pub(crate) canonical: &'a [u8],
}

impl Identity<'_> {
    /// The bytes that no other answer has. `shaping` are the fields that shape it, taken from
    /// `headers`.
    pub(crate) fn bytes(&self, shaping: &[HeaderName], headers: &HeaderMap) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.canonical.len().min(MAX_WHOLE));
        out.extend([VERSION, api_number(self.api)]);
        out.extend(self.epoch.to_be_bytes());
        part(&mut out, self.terms);
        part(&mut out, self.origin.upstream.as_bytes());
        part(&mut out, self.origin.host);
        part(&mut out, self.path.as_bytes());
        optional(&mut out, self.query.map(str::as_bytes));
        part(&mut out, self.model.as_bytes());
        match self.variant {
            Variant::Json => out.push(0),
            Variant::Events(options) => {
                out.push(1);
                part(&mut out, options);
            }
            Variant::Vector => out.push(2),
        }
        optional(&mut out, self.scope.credential.as_ref().map(|hash| &hash[..]));
        optional(&mut out, self.scope.user.map(str::as_bytes));
        for name in shaping {
            for value in headers.get_all(name) {
                part(&mut out, name.as_str().as_bytes());
                part(&mut out, value.as_bytes());
            }
        }
        part(&mut out, &[]);
        if self.canonical.len() > MAX_WHOLE {
            out.push(1);
            part(&mut out, &Sha256::digest(self.canonical));
        } else {
            out.push(0);
            part(&mut out, self.canonical);
        }
        out
    }
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    part(out, bytes.unwrap_or_default());
}

/// Numbers of their own: an API that is added changes none.
const fn api_number(api: Api) -> u8 {
    match api {
        Api::OpenAiChat => 1,
        Api::OpenAiCompletions => 2,
        Api::OpenAiResponses => 3,
        Api::OpenAiEmbeddings => 4,
        Api::AnthropicMessages => 5,
        Api::Json => 6,
    }
}

#[cfg(test)]
mod tests;
