//! What carries the token: a cookie, or a bearer token and a header of ours.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};
use tower_keep_core::Dialect;

use crate::{cookie, token::LONGEST};

/// The header in which a client without cookies is given a new token.
pub(crate) const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-session-token");

/// How many cookies of our name are looked at. A browser sends several if they were set for
/// several paths or domains; one who sends more only wants us to work.
const MOST_COOKIES: usize = 16;

/// What carries a session's token.
///
/// ```
/// use tower_keep_session::Carrier;
///
/// assert_eq!(Carrier::default(), Carrier::Both);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The cookie alone, for pages.
    Cookie,
    /// `Authorization: Bearer` alone, for programs. A new token comes in the response header
    /// `x-session-token`.
    Bearer,
    /// Either. A bearer token that is ours goes before any cookie; one that is somebody else's is
    /// passed over. A new token goes back the way the old one came; where none came, to gRPC
    /// clients in the header and to all others in a cookie.
    #[default]
    Both,
}

/// The way a token came or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// In a cookie.
    Cookie,
    /// As a bearer token, and back in [`TOKEN_HEADER`].
    Bearer,
}

impl Carrier {
    /// What may be a token, in the order to be tried, of these lines of `Authorization` and
    /// `Cookie`. `name` is the cookie's.
    pub(crate) fn candidates<'a>(
        self,
        authorization: &'a [HeaderValue],
        cookies: &'a [HeaderValue],
        name: &'a str,
    ) -> impl Iterator<Item = (Via, &'a [u8])> {
        let authorization = if self == Self::Cookie { &[] } else { authorization };
        let cookies = if self == Self::Bearer { &[] } else { cookies };
        let cookies = cookie::candidates(cookies.iter(), name).take(MOST_COOKIES);
        let bearer = bearer(authorization).map(|text| (Via::Bearer, text)).into_iter();
        bearer.chain(cookies.map(|text| (Via::Cookie, text)))
    }

    /// Which way a new token goes, by the way an old one came. A browser speaks gRPC-Web, and has
    /// cookies.
    pub(crate) const fn answer(self, came: Option<Via>, dialect: Dialect) -> Via {
        match (self, came, dialect) {
            (Self::Both, Some(via), _) => via,
            (Self::Bearer, ..) | (Self::Both, None, Dialect::Grpc) => Via::Bearer,
            (Self::Cookie, ..) | (Self::Both, None, _) => Via::Cookie,
        }
    }

    /// On which request headers the answer depends once the session was looked at.
    pub(crate) const fn vary(self) -> HeaderValue {
        const COOKIE: HeaderValue = HeaderValue::from_static("Cookie");
        const BEARER: HeaderValue = HeaderValue::from_static("Authorization");
        // Whoever has a cookie is somebody else with a bearer token beside it.
        const BOTH: HeaderValue = HeaderValue::from_static("Authorization, Cookie");
        match self {
            Self::Cookie => COOKIE,
            Self::Bearer => BEARER,
            Self::Both => BOTH,
        }
    }
}

/// The bearer token, if it is the one credential and could be ours.
fn bearer(authorization: &[HeaderValue]) -> Option<&[u8]> {
    let [only] = authorization else { return None };
    let (scheme, rest) = only.as_bytes().split_at_checked("bearer".len())?;
    let text = rest.strip_prefix(b" ")?.trim_ascii();
    let fits = !text.is_empty() && text.len() <= LONGEST;
    (fits && scheme.eq_ignore_ascii_case(b"bearer")).then_some(text)
}

/// Adds our `Set-Cookie` and takes away any other for a cookie of that name; the rest stay.
pub(crate) fn set_cookie(headers: &mut HeaderMap, name: &str, value: HeaderValue) {
    let is_ours = |value: &HeaderValue| {
        let found = value.as_bytes().split(|&byte| byte == b'=' || byte == b';').next();
        found.is_some_and(|found| found.trim_ascii() == name.as_bytes())
    };
    if headers.get_all(header::SET_COOKIE).iter().any(is_ours) {
        let all = headers.get_all(header::SET_COOKIE).iter();
        let others: Vec<_> = all.filter(|value| !is_ours(value)).cloned().collect();
        headers.remove(header::SET_COOKIE);
        for other in others {
            headers.append(header::SET_COOKIE, other);
        }
    }
    headers.append(header::SET_COOKIE, value);
}

/// Gives a client without cookies its new token.
#[expect(clippy::expect_used, reason = "a token is base64url")]
pub(crate) fn set_token(headers: &mut HeaderMap, token: &str) {
    let mut value = HeaderValue::from_str(token).expect("the token is no header value");
    value.set_sensitive(true);
    headers.insert(TOKEN_HEADER, value);
}

/// Forbids every cache to keep the answer, unless the handler has kept it from shared ones itself:
/// who is given the token of another's session has it.
pub(crate) fn no_store(headers: &mut HeaderMap) {
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    if !is_own(headers) {
        headers.insert(header::CACHE_CONTROL, NO_STORE);
    }
}

/// Whether the handler means the answer for others too: it says `public`, or for how long it may be
/// kept, and not that shared caches may not keep it. That it must be asked for again (`no-cache`,
/// `max-age=0`, `must-revalidate`) is no such thing.
pub(crate) fn is_shared(headers: &HeaderMap) -> bool {
    let shares = |directive: &[u8]| {
        let mut parts = directive.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is_some_time = || value.iter().any(|byte| (b'1'..=b'9').contains(byte));
        let lives =
            [&b"max-age"[..], b"s-maxage"].iter().any(|life| name.eq_ignore_ascii_case(life));
        name.eq_ignore_ascii_case(b"public") || (lives && is_some_time())
    };
    directives(headers).any(shares) && !is_own(headers)
}

/// Whether the handler has kept the answer from shared caches.
fn is_own(headers: &HeaderMap) -> bool {
    directives(headers).any(|directive| {
        [&b"no-store"[..], b"private"].iter().any(|own| directive.eq_ignore_ascii_case(own))
    })
}

/// What the answer says of caches.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// Says that the answer depends on these request headers too, where that was not said.
pub(crate) fn add_vary(headers: &mut HeaderMap, fields: HeaderValue) {
    if let Entry::Vacant(free) = headers.entry(header::VARY) {
        free.insert(fields);
        return;
    }
    let all = headers.get_all(header::VARY);
    let said = |field: &[u8]| {
        let mut fields = all.iter().flat_map(|v| v.as_bytes().split(|&byte| byte == b','));
        fields.any(|said| said.trim_ascii().eq_ignore_ascii_case(field))
    };
    if said(b"*") {
        return;
    }
    let new = fields.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let new: Vec<_> = new.filter(|field| !said(field)).collect();
    if new.is_empty() {
        return;
    }
    // One line, since not everybody reads a second.
    let old = all.iter().map(|value| value.as_bytes().trim_ascii());
    let line: Vec<_> = old.filter(|value| !value.is_empty()).chain(new).collect();
    if let Ok(line) = HeaderValue::from_bytes(&line.join(&b", "[..])) {
        headers.insert(header::VARY, line);
    }
}

#[cfg(test)]
mod tests;
