//! What a response is stored under.

use http::{Extensions, HeaderMap, Uri, header::HOST, uri::Scheme};
use tower_keep_core::{AskedUri, UserId};

mod query;

pub use self::query::QueryRules;

/// Longer identities are not kept.
const MAX_BYTES: usize = 8 * 1024;

/// The first byte of every identity. Another number forgets all that is stored.
const VERSION: u8 = 1;

/// A target, as far as it tells requests apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// As the request says it, which in HTTP/1 it mostly does not.
    pub(crate) scheme: Option<&'a str>,
    /// Host and port, as written.
    pub(crate) authority: &'a [u8],
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// The target of a request as the client has asked for it, whatever routers have taken off its
    /// path since.
    pub(crate) fn asked(
        uri: &'a Uri,
        headers: &'a HeaderMap,
        extensions: &'a Extensions,
    ) -> Option<Self> {
        Self::of(AskedUri::of(uri, extensions), headers)
    }

    /// The target of a URI and its fields. `None` if it is not clear what that is: several `Host`
    /// fields, one that is another than the host of the target, so that nobody knows which of them
    /// the service goes by, or one that no host has.
    pub(crate) fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Option<Self> {
        let mut hosts = headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes);
        let host = hosts.next();
        if hosts.next().is_some() {
            return None;
        }
        let scheme = uri.scheme().map(Scheme::as_str);
        let said = uri.authority().map(|authority| authority.as_str().as_bytes());
        let authority = match (said, host) {
            (Some(said), Some(host)) => {
                let same = without_default_port(said, scheme)
                    .eq_ignore_ascii_case(without_default_port(host, scheme));
                same.then_some(said)?
            }
            (said, host) => said.or(host).unwrap_or_default(),
        };
        let target = Self { scheme, authority, path: uri.path(), query: uri.query() };
        authority.iter().all(|byte| in_host(*byte)).then_some(target)
    }

    /// The target whatever its scheme, for what is invalid in all of them: HTTP/1 does not say the
    /// scheme that HTTP/2 says.
    pub(crate) fn in_any_scheme(self) -> Self {
        let authority = without_default_port(self.authority, self.scheme);
        Self { scheme: None, authority, ..self }
    }

    /// Its host and port, as they are compared.
    pub(crate) fn host(self) -> Vec<u8> {
        without_default_port(self.authority, self.scheme).to_ascii_lowercase()
    }
}

/// The identity of what GET and HEAD of a target get, for everybody or for one user; `None` if it
/// is longer than is kept. No two targets have the same, whatever they contain: each piece is
/// preceded by its length.
pub(crate) fn canonical(
    target: Target<'_>,
    rules: &QueryRules,
    user: Option<&UserId>,
) -> Option<Vec<u8>> {
    let Target { scheme, authority, path, query } = target;
    let user = user.map(UserId::as_str);
    let length = |piece: Option<&str>| piece.map_or(1, |piece| 5 + piece.len());
    let bytes = 1 + length(scheme) + 4 + authority.len() + 4 + path.len();
    let bytes = bytes + length(query) + length(user);
    if bytes > MAX_BYTES {
        return None;
    }
    let mut out = Vec::with_capacity(bytes);
    out.push(VERSION);
    maybe(&mut out, scheme.map(str::as_bytes));
    let start = out.len() + 4;
    piece(&mut out, without_default_port(authority, scheme));
    if let Some(host) = out.get_mut(start..) {
        host.make_ascii_lowercase();
    }
    piece(&mut out, path.as_bytes());
    match query {
        Some(query) if !rules.keep_all_as_is() => {
            maybe(&mut out, rules.apply(query).as_deref().map(str::as_bytes));
        }
        query => maybe(&mut out, query.map(str::as_bytes)),
    }
    maybe(&mut out, user.map(str::as_bytes));
    Some(out)
}

/// Adds `bytes` with their length before them; what follows cannot be taken for a part of them.
pub(super) fn piece(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here is longer than MAX_BYTES.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Whether an identity of `bytes` is kept.
pub(super) const fn fits(bytes: usize) -> bool {
    bytes <= MAX_BYTES
}

fn maybe(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        piece(out, bytes);
    }
}

/// The port is left out only where the request says which scheme's it is: elsewhere `host:80`
/// behind a door that speaks TLS would be stored for `host`, with links to port 80.
fn without_default_port<'a>(authority: &'a [u8], scheme: Option<&str>) -> &'a [u8] {
    let port: &[u8] = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => b":80",
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => b":443",
        _ => return authority,
    };
    match authority.strip_suffix(port) {
        // `[::80]` keeps its bracket at the end, and another host has no colon.
        Some(host) if !host.is_empty() => host,
        _ => authority,
    }
}

/// What RFC 3986 lets a host and its port consist of. A user before the host is not for targets.
const fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b':'
                | b'['
                | b']'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests;
