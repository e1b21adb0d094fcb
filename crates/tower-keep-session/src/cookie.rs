//! The cookie: how it is written and where it is found.

use std::{
    fmt::{self, Write as _},
    iter::from_fn,
    time::Duration,
};

use http::HeaderValue;
use memchr::memchr;
use tower_keep_core::ConfigError;

/// The longest name; what a browser takes at most for name and value together is 4096 bytes.
const LONGEST_NAME: usize = 128;

/// The longest value of an attribute that browsers look at (RFC 6265bis).
const LONGEST_ATTRIBUTE: usize = 1024;

const HOST: &str = "__Host-";

/// What a browser takes only over a secure connection. It does not look at the case.
const SECURE_PREFIXES: [&str; 3] = [HOST, "__Secure-", "__Http-"];

/// How the session's cookie is written. It is always `HttpOnly`: no script reads it.
///
/// By default it is called `__Host-session`, so that browsers take it only from the very host
/// that it is sent back to, and only over a secure connection; it has `Secure`, `SameSite=Lax` and
/// `Path=/`. A mix that browsers would refuse is refused when the layer is built.
///
/// ```
/// use tower_keep_session::{CookieOptions, SameSite};
///
/// let shared_by_subdomains = CookieOptions::default()
///     .name("__Secure-id")
///     .domain("example.com")
///     .same_site(SameSite::Strict);
/// assert_ne!(shared_by_subdomains, CookieOptions::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CookieOptions {
    name: String,
    domain: Option<String>,
    path: String,
    same_site: SameSite,
    secure: bool,
    partitioned: bool,
}

/// With which requests from other sites a browser sends the cookie.
///
/// ```
/// use tower_keep_session::SameSite;
///
/// assert_eq!(SameSite::default().to_string(), "Lax");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// With none, so that who follows a link to the site is not known there at first.
    Strict,
    /// Only when somebody follows a link.
    #[default]
    Lax,
    /// With all. Needs `Secure`.
    None,
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        })
    }
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            name: format!("{HOST}session"),
            domain: None,
            path: "/".into(),
            same_site: SameSite::Lax,
            secure: true,
            partitioned: false,
        }
    }
}

impl CookieOptions {
    /// What the cookie is called. A name that begins with `__Host-` allows no domain and no path
    /// but `/`; one with `__Host-`, `__Secure-` or `__Http-` needs `Secure`.
    ///
    /// Tokens are bound to it: under another name, all that clients have is worthless.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The domain whose hosts all get the cookie, instead of the one host that set it.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Under which path it is sent.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// With which requests from other sites it is sent.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Whether it is sent over secure connections only.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether a frame in another site gets a cookie of its own for each site that it is in
    /// (CHIPS). Needs `Secure`, and `SameSite=None` to be of use.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// For development over plain HTTP: no `Secure`, and no prefix in the name that needs it.
    ///
    /// ```
    /// use tower_keep_session::CookieOptions;
    ///
    /// let same = CookieOptions::default().name("session").secure(false);
    /// assert_eq!(CookieOptions::default().insecure(), same);
    /// ```
    pub fn insecure(mut self) -> Self {
        for prefix in SECURE_PREFIXES {
            let kept = without_prefix(&self.name, prefix).map_or(0, str::len);
            if kept > 0 {
                self.name.drain(..self.name.len() - kept);
            }
        }
        self.secure(false)
    }

    /// What it is called.
    pub(crate) fn cookie_name(&self) -> &str {
        &self.name
    }

    /// Notes what cannot be, or what browsers would not take.
    pub(crate) fn validate(&self, error: &mut ConfigError) {
        let Self { name, domain, path, same_site, secure, partitioned } = self;
        let mut refuse = |option: &str, message: String| error.push(option, message);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_token) {
            refuse(
                "cookie.name",
                format!(
                    "`{}` is not 1 to {LONGEST_NAME} letters, digits and characters of \
                     !#$%&'*+-.^_`|~",
                    name.escape_debug()
                ),
            );
        }
        if without_prefix(name, HOST).is_some() {
            if domain.is_some() {
                refuse("cookie.domain", format!("`{name}` allows none; use `__Secure-`"));
            }
            if path != "/" {
                refuse("cookie.path", format!("`{name}` allows only `/`; use `__Secure-`"));
            }
        }
        if !secure {
            for prefix in SECURE_PREFIXES {
                if without_prefix(name, prefix).is_some() {
                    refuse("cookie.secure", format!("`{name}` needs it, for its `{prefix}`"));
                }
            }
            if *same_site == SameSite::None {
                refuse("cookie.secure", "`SameSite=None` needs it".into());
            }
            if *partitioned {
                refuse("cookie.secure", "`Partitioned` needs it".into());
            }
        }
        let is_host = |host: &str| {
            let host = host.strip_prefix('.').unwrap_or(host);
            !host.is_empty()
                && host.len() < LONGEST_ATTRIBUTE
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        };
        if let Some(domain) = domain.as_deref().filter(|domain| !is_host(domain)) {
            refuse("cookie.domain", format!("`{}` is no host name", domain.escape_debug()));
        }
        let is_plain = |b: u8| (b' '..=b'~').contains(&b) && b != b';';
        let plain = path.bytes().all(is_plain) && path.trim_end() == path;
        if !path.starts_with('/') || !plain || path.len() > LONGEST_ATTRIBUTE {
            refuse(
                "cookie.path",
                format!(
                    "`{}` is no path: it begins with `/` and has up to {LONGEST_ATTRIBUTE} \
                     characters of ASCII, without `;`",
                    path.escape_debug()
                ),
            );
        }
    }

    /// Sets the cookie to `value`, a token, for so long; without a time, until the browser ends
    /// its own session.
    pub(crate) fn set(&self, value: &str, max_age: Option<Duration>) -> HeaderValue {
        self.render(value, max_age)
    }

    /// Takes the cookie away: with the same attributes, or a browser would not see the same one.
    pub(crate) fn removal(&self) -> HeaderValue {
        self.render("", Some(Duration::ZERO))
    }

    #[expect(clippy::expect_used, reason = "the options are valid, and so is every token")]
    fn render(&self, value: &str, max_age: Option<Duration>) -> HeaderValue {
        let Self { name, domain, path, same_site, secure, partitioned } = self;
        let mut text = String::with_capacity(name.len() + value.len() + path.len() + 128);
        // Writing to a string does not fail.
        let _ = write!(text, "{name}={value}; Path={path}");
        if let Some(domain) = domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(age) = max_age {
            let _ = write!(text, "; Max-Age={}", age.as_secs());
        }
        let _ = write!(text, "; HttpOnly; SameSite={same_site}");
        for (given, attribute) in [(*secure, "; Secure"), (*partitioned, "; Partitioned")] {
            text.push_str(if given { attribute } else { "" });
        }
        let mut header = HeaderValue::try_from(text).expect("the cookie is no header value");
        header.set_sensitive(true);
        header
    }
}

/// The values of the cookies of this name, as they come, without quotes around them.
pub(crate) fn candidates<'a>(
    headers: impl Iterator<Item = &'a HeaderValue>,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    headers.flat_map(|header| pairs(header.as_bytes())).filter_map(move |pair| {
        let equals = memchr(b'=', pair)?;
        let (found, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        (found.trim_ascii() == name.as_bytes()).then(|| unquoted(value.trim_ascii()))
    })
}

/// What stands between semicolons.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    from_fn(move || {
        let line = rest?;
        let Some(end) = memchr(b';', line) else { return rest.take() };
        rest = line.get(end + 1..);
        line.get(..end)
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// A character of a token (RFC 9110).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What follows `prefix`, in whatever case it is written.
fn without_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests;
