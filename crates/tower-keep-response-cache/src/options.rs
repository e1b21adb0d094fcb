//! What a cache may be told to do differently.

use std::time::Duration;

use http::HeaderName;

/// What the decisions depend on besides the exchange itself; filled by the builder.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option by itself")]
pub(crate) struct Options {
    /// Targeted fields that go before `Cache-Control`, the most wanted first (RFC 9213).
    pub(crate) targets: Vec<HeaderName>,
    /// Whether freshness is guessed where nothing says it (RFC 9111 §4.2.2): a tenth of the time
    /// since `Last-Modified`, at most this long. `None` guesses never.
    pub(crate) heuristic: Option<Duration>,
    /// How long a response without a word about it is fresh, for statuses that may be guessed.
    pub(crate) default_ttl: Option<Duration>,
    /// The same for a response that says `public`.
    pub(crate) public_ttl: Option<Duration>,
    /// The longest lifetime, whatever a response says.
    pub(crate) max_ttl: Duration,
    /// Whether a response that sets a cookie may be stored.
    pub(crate) set_cookie: SetCookie,
    /// Used where a response says nothing of it and nothing forbids it.
    pub(crate) stale_while_revalidate: Duration,
    /// Used where a response says nothing of it and nothing forbids it.
    pub(crate) stale_if_error: Duration,
    /// Whether what is stored may answer when the service fails without an answer (RFC 9111
    /// §4.2.4: disconnected), although nothing allows it.
    pub(crate) stale_on_failure: bool,
    /// Fields that name tags, beside `Cache-Groups`.
    pub(crate) tag_fields: Vec<HeaderName>,
    /// Answers are kept for each verified user by themselves, and `private` ones too.
    pub(crate) per_user: bool,
    /// Whether a part is believed that is shorter than it says, if its `Content-Length` says so too.
    pub(crate) lenient_parts: bool,
    /// How `Accept-Encoding` and `Accept-Language` are made alike before they are compared.
    pub(crate) normalise: bool,
}

/// Whether a response that sets a cookie is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetCookie {
    /// Never: the cookie is somebody's.
    #[default]
    Never,
    /// Where the response says itself how long it is fresh for everybody, cookie and all, as
    /// RFC 9111 has it. Only for services that set no cookie in what they let caches keep.
    Explicit,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            heuristic: None,
            default_ttl: None,
            public_ttl: None,
            max_ttl: Duration::from_secs(365 * 86_400),
            set_cookie: SetCookie::Never,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            stale_on_failure: false,
            tag_fields: Vec::new(),
            per_user: false,
            lenient_parts: false,
            normalise: true,
        }
    }
}
