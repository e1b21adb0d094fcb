//! Where the upstream is.

use std::{fmt, str::FromStr};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};

/// A scheme and an authority. It has no path, so that a path means the same on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl Origin {
    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(crate) const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its address, as a `Host`.
    pub(crate) fn host(&self) -> HeaderValue {
        // What is an authority is a field's value, too.
        HeaderValue::from_str(self.authority.as_str())
            .unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// The authority alone where there is no TLS. Caches tell upstreams apart by this.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "https://" } else { "" };
        write!(f, "{scheme}{}", self.authority)
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| "not a URL")?;
        let scheme = match uri.scheme() {
            Some(it) if *it == Scheme::HTTP || *it == Scheme::HTTPS => it.clone(),
            _ => return Err("neither an http:// nor an https:// URL"),
        };
        if uri.path_and_query().is_some_and(|it| it.as_str() != "/") {
            return Err("has a path; paths are passed on as they are");
        }
        match uri.authority() {
            Some(it) if !it.host().is_empty() && !it.as_str().contains('@') => {
                Ok(Self { scheme, authority: it.clone() })
            }
            _ => Err("not http://HOST[:PORT] or https://HOST[:PORT]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_http_with_tls_or_without_and_has_no_path() {
        for (url, written, tls, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000", false, "127.0.0.1:8000"),
            ("http://a/", "a", false, "a"),
            ("https://api.example", "https://api.example", true, "api.example"),
            ("HTTPS://[::1]:8443/", "https://[::1]:8443", true, "[::1]:8443"),
        ] {
            let origin: Origin = url.parse().unwrap();
            assert_eq!((origin.to_string().as_str(), origin.is_tls()), (written, tls));
            assert_eq!(origin.host(), host);
        }
        for (bad, because) in [
            ("ftp://127.0.0.1", "neither an http:// nor an https:// URL"),
            ("wss://127.0.0.1", "neither an http:// nor an https:// URL"),
            ("127.0.0.1:8000", "neither an http:// nor an https:// URL"),
            ("a b", "not a URL"),
            ("https://u@127.0.0.1", "or https://HOST"),
            ("https://127.0.0.1/api", "has a path"),
        ] {
            let error = bad.parse::<Origin>().expect_err(bad);
            assert!(error.contains(because), "{bad}: {error}");
        }
    }
}
