//! Which requests a rule is for.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Method, request::Parts};
use percent_encoding::percent_decode_str;
use tower_keep_core::{ConfigError, Head};

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// What a request must be for a rule to count it.
#[derive(Clone, Default)]
pub(crate) struct Filter {
    methods: Option<Vec<Method>>,
    paths: Option<Paths>,
    predicates: Vec<Predicate>,
}

#[derive(Clone, Default)]
struct Paths {
    router: matchit::Router<()>,
    patterns: Vec<String>,
    problems: Vec<String>,
}

impl Filter {
    pub(crate) fn methods(&mut self, methods: impl IntoIterator<Item = Method>) {
        self.methods = Some(methods.into_iter().collect());
    }

    pub(crate) fn paths<P: Into<String>>(&mut self, patterns: impl IntoIterator<Item = P>) {
        let mut paths = Paths::default();
        for pattern in patterns {
            let pattern = pattern.into();
            if let Err(error) = paths.router.insert(&pattern, ()) {
                paths.problems.push(format!("`{}`: {error}", pattern.escape_debug()));
            }
            paths.patterns.push(pattern);
        }
        self.paths = Some(paths);
    }

    pub(crate) fn also(&mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) {
        self.predicates.push(Arc::new(predicate));
    }

    /// Whether somebody else is asked.
    pub(crate) fn needs_parts(&self) -> bool {
        !self.predicates.is_empty()
    }

    #[inline]
    pub(crate) fn matches(&self, head: Head<'_>) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(head.method()))
            && self.paths.as_ref().is_none_or(|paths| paths.matches(head.uri().path()))
            && (self.predicates.is_empty() || {
                let parts = head.parts();
                self.predicates.iter().all(|predicate| predicate(&parts))
            })
    }

    pub(crate) fn validate(&self, name: &str, error: &mut ConfigError) {
        if self.methods.as_ref().is_some_and(Vec::is_empty) {
            error.push(name, "`methods` was given no method, so the rule would match nothing");
        }
        let Some(paths) = &self.paths else { return };
        if paths.patterns.is_empty() {
            error.push(name, "`paths` was given no pattern, so the rule would match nothing");
        }
        for problem in &paths.problems {
            error.push(name, format!("`paths` was given {problem}"));
        }
    }
}

impl Paths {
    /// Whether a pattern matches the path, however its characters are spelled. An encoded slash is
    /// a part of its segment to some routers and a slash to others: either may match, so that no
    /// spelling evades the rule.
    fn matches(&self, path: &str) -> bool {
        let has = |path: &str| self.router.at(path).is_ok();
        has(path) || (path.contains('%') && (has(&decoded(path)) || has(&segments_decoded(path))))
    }
}

fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

/// All but the slashes.
fn segments_decoded(path: &str) -> String {
    let kept = path.replace("%2F", "%252F").replace("%2f", "%252f");
    decoded(&kept).into_owned()
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("methods", &self.methods)
            .field("paths", &self.paths.as_ref().map(|paths| &paths.patterns))
            .field("predicates", &self.predicates.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: Method, path: &str) -> Parts {
        Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn everything_named_must_match() {
        let mut filter = Filter::default();
        assert!(filter.matches((&head(Method::GET, "/x")).into()));
        filter.methods([Method::POST]);
        filter.paths(["/login", "/ai/{*rest}", "/users/{id}/keys", "/search/{word}"]);
        filter.also(|head| !head.headers.contains_key("x-free"));
        for (method, path, expected) in [
            (Method::POST, "/login", true),
            (Method::GET, "/login", false),
            (Method::POST, "/login/", false),
            (Method::POST, "/%6Cogin?x=1", true),
            (Method::POST, "/ai/ask/again", true),
            (Method::POST, "/ai", false),
            (Method::POST, "/users/7/keys", true),
            (Method::POST, "/users/7/8/keys", false),
            (Method::POST, "/%FF%fe", false),
            // A router takes an encoded slash for a part of one segment, some servers for a slash.
            (Method::POST, "/search/foo%2Fbar", true),
            (Method::POST, "/search/foo%2fbar", true),
            (Method::POST, "/%73earch/foo%2Fbar", true),
            (Method::POST, "/users/7%2F8/keys", true),
            (Method::POST, "/users%2F7%2Fkeys", true),
            (Method::POST, "/search/foo%252Fbar/", false),
            (Method::POST, "/search/foo/bar", false),
        ] {
            assert_eq!(filter.matches((&head(method, path)).into()), expected, "{path}");
        }
        let mut free = head(Method::POST, "/login");
        free.headers.insert("x-free", "1".parse().unwrap());
        assert!(!filter.matches((&free).into()));
    }

    #[test]
    fn what_matches_nothing_or_is_no_pattern_is_a_problem() {
        let problems = |filter: &Filter| {
            let mut error = ConfigError::default();
            filter.validate("rule", &mut error);
            error.problems().len()
        };
        let mut filter = Filter::default();
        assert_eq!(problems(&filter), 0);
        filter.methods([]);
        filter.paths([""; 0]);
        assert_eq!(problems(&filter), 2);
        filter.methods([Method::GET]);
        filter.paths(["/{a}{b}", "/x", "/x"]);
        assert_eq!(problems(&filter), 2, "no pattern, and one twice");
    }
}
