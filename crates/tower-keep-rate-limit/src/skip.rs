//! Which requests pass uncounted.

use std::{fmt, sync::Arc};

use http::{Method, request::Parts};
use tower_keep_core::{Dialect, Head};

/// gRPC methods that must answer whatever the load: all that those services have, and no path that
/// a caller may make up beside them.
const GRPC_METHODS: [&str; 5] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
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
    let grpc_method =
        || *head.method() == Method::POST && GRPC_METHODS.contains(&head.uri().path());
    *head.method() == Method::OPTIONS || (grpc_method() && Dialect::of(head).is_grpc())
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
        for method in ["Check", "Watch", "List"] {
            let path = format!("/grpc.health.v1.Health/{method}");
            assert!(
                Skip::default().matches((&head(Method::POST, &path, "application/grpc")).into())
            );
        }
        for version in ["v1", "v1alpha"] {
            let service = format!("/grpc.reflection.{version}.ServerReflection/");
            for (method, expected) in [("ServerReflectionInfo", true), ("Anything", false)] {
                let call = head(Method::POST, &(service.clone() + method), "application/grpc");
                assert_eq!(Skip::default().matches((&call).into()), expected, "{method}");
            }
        }
        for path in ["", "check", "Checks", "Check/", "Check/x", "anything"] {
            let path = format!("/grpc.health.v1.Health/{path}");
            let call = head(Method::POST, &path, "application/grpc");
            assert!(!Skip::default().matches((&call).into()), "{path}");
        }
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
