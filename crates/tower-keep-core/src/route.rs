//! Which endpoint a request is for: the route's template, never the raw path.

use std::sync::Arc;

use http::Extensions;

/// Request extension: the template of the route that matched, such as `/items/{id}`.
///
/// Any server or router may set it. With the `axum` feature, axum's `MatchedPath` is read too
/// where this one is missing; axum sets it for layers added by `Router::layer`, not for a stack
/// that wraps the router from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteTemplate(Arc<str>);

impl RouteTemplate {
    /// The route whose template is `template`.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self(template.into())
    }

    /// The template as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The template of the route that a request matched, as its extensions tell; `None` when
    /// there is none or it is empty.
    ///
    /// ```
    /// use tower_keep_core::RouteTemplate;
    ///
    /// let mut request = http::Request::new(());
    /// assert_eq!(RouteTemplate::of(request.extensions()), None);
    /// request.extensions_mut().insert(RouteTemplate::new("/items/{id}"));
    /// assert_eq!(RouteTemplate::of(request.extensions()), Some("/items/{id}"));
    /// ```
    #[inline]
    pub fn of(extensions: &Extensions) -> Option<&str> {
        let told = extensions.get::<Self>().map(Self::as_str);
        #[cfg(feature = "axum")]
        let told = told.or_else(|| {
            extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
        });
        told.filter(|template| !template.is_empty())
    }
}
