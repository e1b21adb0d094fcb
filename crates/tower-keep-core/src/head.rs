//! A request's head, looked at where it is.

use std::borrow::Cow;

use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts};

/// The head of a request that has been taken apart, or of one that has not: to take a request apart
/// and put it together again moves all of it twice.
///
/// ```
/// use http::Request;
/// use tower_keep_core::{Dialect, Head};
///
/// let request = Request::get("/items").body("").unwrap();
/// assert_eq!(Head::from(&request).uri().path(), "/items");
/// assert_eq!(Dialect::of(&request), Dialect::Http);
/// let (parts, _) = request.into_parts();
/// assert_eq!(Dialect::of(&parts), Dialect::Http);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    version: http::Version,
    parts: Option<&'a Parts>,
}

impl<'a> Head<'a> {
    /// The request's method.
    #[inline]
    pub const fn method(self) -> &'a Method {
        self.method
    }

    /// Its target.
    #[inline]
    pub const fn uri(self) -> &'a Uri {
        self.uri
    }

    /// Its header fields.
    #[inline]
    pub const fn headers(self) -> &'a HeaderMap {
        self.headers
    }

    /// Its extensions.
    #[inline]
    pub const fn extensions(self) -> &'a Extensions {
        self.extensions
    }

    /// The head by itself: of a request that has not been taken apart, a copy, which is dear.
    pub fn parts(self) -> Cow<'a, Parts> {
        if let Some(parts) = self.parts {
            return Cow::Borrowed(parts);
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.uri.clone();
        parts.version = self.version;
        parts.headers = self.headers.clone();
        parts.extensions = self.extensions.clone();
        Cow::Owned(parts)
    }
}

impl<'a> From<&'a Parts> for Head<'a> {
    #[inline]
    fn from(parts: &'a Parts) -> Self {
        let Parts { method, uri, headers, extensions, version, .. } = parts;
        Self { method, uri, headers, extensions, version: *version, parts: Some(parts) }
    }
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    #[inline]
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            version: request.version(),
            parts: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_head_is_like_it() {
        let request = Request::post("/x?y=1")
            .version(http::Version::HTTP_2)
            .header("a", "b")
            .extension(7_u8)
            .body(())
            .unwrap();
        let copy = Head::from(&request).parts().into_owned();
        assert_eq!((copy.method.as_str(), copy.uri.to_string()), ("POST", "/x?y=1".to_owned()));
        assert_eq!(
            (copy.version, &copy.headers["a"]),
            (http::Version::HTTP_2, &"b".parse().unwrap())
        );
        assert_eq!(copy.extensions.get(), Some(&7_u8));
        let (parts, ()) = request.into_parts();
        assert!(matches!(Head::from(&parts).parts(), Cow::Borrowed(_)));
    }
}
