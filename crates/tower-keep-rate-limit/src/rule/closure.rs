//! What a rule asks of a request: closures of the program.

use std::{fmt, sync::Arc};

use http::request::Parts;
use tower_keep_core::Head;

/// A shared function of a request's head.
pub(crate) struct Closure<T>(Arc<dyn Fn(&Parts) -> T + Send + Sync>);

impl<T> Closure<T> {
    pub(crate) fn new(function: impl Fn(&Parts) -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn ask(&self, head: Head<'_>) -> T {
        self.0(&head.parts())
    }
}

impl<T> Clone for Closure<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Closure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closure")
    }
}
