//! What a caller asks of the cache: by members of the body that are ours and are not sent on, and by
//! fields of the request.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use crate::json::Node;

/// For how long the answer is to be stored, in seconds.
pub(crate) const TTL: HeaderName = HeaderName::from_static("x-ai-cache-ttl");

/// `true` or `false`.
const USE_CACHE: &str = "useCache";

/// An object of the members that [`Wishes::of_member`] knows.
const CACHE: &str = "cache";

/// What a caller asks for, said in whichever way; of what is said twice the stricter holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) use_cache: Option<bool>,
    /// What is stored is not good enough.
    pub(crate) no_cache: bool,
    /// The answer is not to be stored.
    pub(crate) no_store: bool,
    /// An older answer is not good enough.
    pub(crate) oldest: Option<Duration>,
    /// For how long the answer is to be stored.
    pub(crate) ttl: Option<Duration>,
    /// Something else was said than can be made sense of.
    pub(crate) malformed: bool,
}

impl Wishes {
    /// What a request says.
    pub(crate) fn of(root: &Node<'_>, headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            for directive in line.as_bytes().split(|byte| *byte == b',') {
                wishes.add_directive(&String::from_utf8_lossy(directive));
            }
        }
        for line in headers.get_all(TTL) {
            let seconds = line.to_str().ok().and_then(|text| seconds(text.trim()));
            wishes.limit_ttl(seconds);
        }
        if let Some(said) = root.get(USE_CACHE) {
            wishes.use_cache = said.as_bool();
            wishes.malformed |= said.as_bool().is_none();
        }
        if let Some(said) = root.get(CACHE).filter(|said| is_ours(said)) {
            for member in said.members() {
                wishes.add_member(&member.name, &member.value);
            }
        }
        wishes
    }

    /// Whether a request's own member of this name is meant for the cache and for nobody else: it
    /// is no part of what is asked, and is not sent on.
    pub(crate) fn is_wish(root: &Node<'_>, name: &str) -> bool {
        match name {
            USE_CACHE => true,
            CACHE => root.get(CACHE).is_none_or(is_ours),
            _ => false,
        }
    }

    fn add_directive(&mut self, text: &str) {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        // Whatever a directive has to say besides: a refusal is a refusal.
        let is_around = |character: char| character == '"' || character.is_ascii_whitespace();
        let (name, value) = (name.trim_matches(is_around), value.trim_matches(is_around));
        if name.eq_ignore_ascii_case("no-cache") {
            self.no_cache = true;
        } else if name.eq_ignore_ascii_case("no-store") {
            self.no_store = true;
        } else if name.eq_ignore_ascii_case("max-age") {
            self.limit_age(seconds(value).unwrap_or_default());
        }
    }

    fn add_member(&mut self, name: &str, value: &Node<'_>) {
        let is_true = || value.as_bool() == Some(true);
        let seconds = || value.as_u64().map(Duration::from_secs);
        match name {
            "no-cache" => self.no_cache |= is_true(),
            "no-store" => self.no_store |= is_true(),
            "ttl" => self.limit_ttl(seconds()),
            _ => self.limit_age(seconds().unwrap_or_default()),
        }
    }

    fn limit_age(&mut self, age: Duration) {
        self.oldest = Some(self.oldest.map_or(age, |known| known.min(age)));
    }

    fn limit_ttl(&mut self, ttl: Option<Duration>) {
        self.malformed |= ttl.is_none();
        self.ttl = match (self.ttl, ttl) {
            (Some(known), Some(ttl)) => Some(known.min(ttl)),
            (known, ttl) => known.or(ttl),
        };
    }
}

/// Whether all of an object is for us. Another `cache` is the upstream's, and so is part of what is
/// asked.
fn is_ours(said: &Node<'_>) -> bool {
    !said.members().is_empty()
        && said.members().iter().all(|member| match &*member.name {
            "no-cache" | "no-store" => member.value.as_bool().is_some(),
            "ttl" | "s-maxage" | "max-age" => member.value.as_u64().is_some(),
            _ => false,
        })
}

/// A number of seconds, of digits only; one that is too large is as large as there are.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}
