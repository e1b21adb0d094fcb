//! Why a response was not stored, or the cache not asked.

/// Why the cache had nothing to do with a request or its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BypassReason {
    /// The program said to leave it alone.
    Skipped,
    /// A method that is neither looked up nor stored.
    Method,
    /// gRPC, or a request to change the protocol.
    Protocol,
    /// A request with a body whose method gives it no meaning.
    RequestBody,
    /// Credentials of somebody whom no principal names.
    Unidentified,
    /// Whether a user may see their private answers could not be found out.
    Unverified,
    /// It has a field that changes what services answer and that no cache looks at.
    Unkeyed,
    /// The target cannot be made a key of.
    Target,
    /// The store did not answer.
    Store,
    /// The request says `no-store`.
    RequestNoStore,
    /// The response says `no-store`.
    NoStore,
    /// The response says `private`.
    Private,
    /// The response sets a cookie.
    SetCookie,
    /// The request had credentials, and the response does not say that others may have it.
    Authorization,
    /// The handler looked at the session.
    Personal,
    /// Nothing says for how long it is fresh, and it has nothing to ask by.
    NotFresh,
    /// A status that is not stored.
    Status,
    /// It varies by more than fields of the request.
    VaryAny,
    /// It has more tags than are kept.
    Tags,
    /// A part whose place in the whole is not clear.
    Part,
    /// The body is longer than entries may be.
    TooLarge,
    /// The body broke off, or is not as long as was said.
    Truncated,
    /// The body ended with trailers.
    Trailers,
    /// What was stored meanwhile became invalid: purged while it was being fetched.
    Purged,
}

impl BypassReason {
    /// Whether a request that is passed on for this reason is passed on as it came.
    pub(crate) const fn is_untouched(self) -> bool {
        matches!(self, Self::Skipped | Self::Protocol)
    }

    /// The reason as a short label, for logs, metrics and `Cache-Status`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Method => "method",
            Self::Protocol => "protocol",
            Self::RequestBody => "request-body",
            Self::Unidentified => "unidentified",
            Self::Unverified => "unverified",
            Self::Unkeyed => "unkeyed",
            Self::Target => "target",
            Self::Store => "store",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Authorization => "authorization",
            Self::Personal => "personal",
            Self::NotFresh => "not-fresh",
            Self::Status => "status",
            Self::VaryAny => "vary-any",
            Self::Tags => "tags",
            Self::Part => "part",
            Self::TooLarge => "too-large",
            Self::Truncated => "truncated",
            Self::Trailers => "trailers",
            Self::Purged => "purged",
        }
    }
}
