//! Which URI the client asked for, where routers have shortened it since.

use http::{Extensions, Uri};

/// Request extension: the URI that the client asked for, where a router has taken the beginning of
/// its path away before it passed the request on. What is kept for a target is kept for this one:
/// without their beginnings two targets look alike.
///
/// Any router may set it. With the `axum` feature, axum's `OriginalUri` is read too where this one
/// is missing, as far as axum's `nest` can have made the request's URI of it: what was rewritten to
/// something else is what it was rewritten to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedUri(pub Uri);

impl AskedUri {
    /// The URI that was asked for by a request with this `uri` and these extensions.
    ///
    /// ```
    /// use tower_keep_core::AskedUri;
    ///
    /// let mut request = http::Request::get("/items").body(()).unwrap();
    /// assert_eq!(AskedUri::of(request.uri(), request.extensions()), "/items");
    /// request.extensions_mut().insert(AskedUri("/v1/items".parse().unwrap()));
    /// assert_eq!(AskedUri::of(request.uri(), request.extensions()), "/v1/items");
    /// ```
    #[inline]
    pub fn of<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
        let told = extensions.get::<Self>().map(|Self(asked)| asked);
        #[cfg(feature = "axum")]
        let told = told.or_else(|| {
            let axum::extract::OriginalUri(asked) = extensions.get()?;
            may_be_nested(asked, uri).then_some(asked)
        });
        told.unwrap_or(uri)
    }
}

/// Whether `uri` may be what `nest` has made of `asked`: the end of its path, where nothing is left
/// of that a `/`, and all else.
#[cfg(feature = "axum")]
fn may_be_nested(asked: &Uri, uri: &Uri) -> bool {
    (uri.path() == "/" || asked.path().ends_with(uri.path()))
        && asked.query() == uri.query()
        && asked.authority() == uri.authority()
        && asked.scheme() == uri.scheme()
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use axum::extract::OriginalUri;

    use super::*;

    #[test]
    fn what_axum_keeps_counts_where_a_beginning_is_taken() {
        for (original, uri, asked) in [
            ("/v1/items?a", "/items?a", "/v1/items?a"),
            ("http://h/v1/items", "http://h/items", "http://h/v1/items"),
            ("/v1", "/", "/v1"),
            ("/v1/", "/", "/v1/"),
            ("/items", "/items", "/items"),
            // It was rewritten.
            ("/v1/items", "/index.html", "/index.html"),
            ("/v1/items?a", "/items", "/items"),
            ("/v1/items?a", "/items?b", "/items?b"),
            ("http://h/v1/items", "http://i/items", "http://i/items"),
            ("/v1/items", "http://h/items", "http://h/items"),
        ] {
            let mut request = http::Request::get(uri).body(()).unwrap();
            request.extensions_mut().insert(OriginalUri(original.parse().unwrap()));
            let of = AskedUri::of(request.uri(), request.extensions());
            assert_eq!(of, asked, "{original} {uri}");
            request.extensions_mut().insert(AskedUri("/told".parse().unwrap()));
            assert_eq!(AskedUri::of(request.uri(), request.extensions()), "/told");
        }
    }
}
