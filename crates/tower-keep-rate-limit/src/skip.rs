//! Which requests pass uncounted.

use std::{fmt, sync::Arc};

use http::{Method, request::Parts};
use tower_keep_core::{Dialect, Head};

/// gRPC services that must answer whatever the load.
const GRPC_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// The default, and what a layer adds to it or puts in its place.
#[derive(Clone)]
pub(crate) struct Skip {
    default: bool,
    predicates: Vec<Predicate>,
}

impl Default for Skip {
    fn default() -> Self {
        Self { default: true, predicates: Vec::new() }
    }
}

impl Skip {
    pub(crate) fn also(&mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) {
        self.predicates.push(Arc::new(predicate));
    }

    pub(crate) const fn not_by_default(&mut self) {
        self.default = false;
    }

    /// Whether a closure looks at requests' heads.
    pub(crate) fn needs_parts(&self) -> bool {
        !self.predicates.is_empty()
    }

    #[inline]
    pub(crate) fn matches(&self, head: Head<'_>) -> bool {
        let asked = || {
            let parts = head.parts();
            self.predicates.iter().any(|skip| skip(&parts))
        };
        (self.default && is_default(head)) || (self.needs_parts() && asked())
    }
}

impl fmt::Debug for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skip")
            .field("default", &self.default)
            .field("predicates", &self.predicates.len())
            .finish()
    }
}

#[inline]
fn is_default(head: Head<'_>) -> bool {
    // Every gRPC call is a POST; paths of others need not be read.
    let grpc_service = || {
        let path = head.uri().path();
        *head.method() == Method::POST && GRPC_SERVICES.iter().any(|it| path.starts_with(it))
    };
    *head.method() == Method::OPTIONS || (grpc_service() && Dialect::of(head).is_grpc())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: Method, path: &str, content_type: &str) -> Parts {
        let request = Request::builder().method(method).uri(path);
        request.header("content-type", content_type).body(()).unwrap().into_parts().0
    }

    #[test]
    fn preflights_and_grpc_health_are_skipped_by_default() {
        let health = head(Method::POST, "/grpc.health.v1.Health/Check", "application/grpc");
        let posing = head(Method::POST, "/grpc.health.v1.Health/Check", "text/plain");
        let preflight = head(Method::OPTIONS, "/x", "text/plain");
        let skip = Skip::default();
        assert!(skip.matches((&health).into()) && skip.matches((&preflight).into()));
        assert!(!skip.matches((&posing).into()));

        let mut skip = Skip::default();
        skip.not_by_default();
        assert!(!skip.matches((&health).into()) && !skip.matches((&preflight).into()));
        skip.also(|head| head.uri.path() == "/x");
        assert!(skip.matches((&preflight).into()) && !skip.matches((&health).into()));
    }
}
