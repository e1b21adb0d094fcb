//! What a request asks of a cache (RFC 9111 §5.2.1, §5.4; RFC 5861 §4).

use http::{HeaderMap, header};

use crate::{
    freshness::FOREVER,
    policy::directives::{Argument, each, lower},
};

/// A request's directives. Whatever one says badly is taken as asking for more care, since it
/// concerns this request alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    /// Nothing stored without asking; `Pragma: no-cache` where there is no `Cache-Control`.
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    /// No older than this.
    pub(crate) max_age: Option<u64>,
    /// Still fresh for this long.
    pub(crate) min_fresh: Option<u64>,
    /// Stale for no longer than this; [`FOREVER`] where no bound is said.
    pub(crate) max_stale: Option<u64>,
    /// In place of an error, if it is stale for less than this.
    pub(crate) stale_if_error: Option<u64>,
}

impl RequestDirectives {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let mut asks = Self::default();
        let mut lines = request.get_all(header::CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            for line in request.get_all(header::PRAGMA) {
                each(line.as_bytes(), |name, _| {
                    asks.no_cache |= name.eq_ignore_ascii_case(b"no-cache");
                });
            }
        }
        for line in lines {
            each(line.as_bytes(), |name, argument| asks.add(name, argument));
        }
        asks
    }

    fn add(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-cache") {
            self.no_cache = true;
        } else if is("max-age") {
            lower(&mut self.max_age, argument.seconds().unwrap_or(0));
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.max(Some(argument.seconds().unwrap_or(FOREVER)));
        } else if is("max-stale") {
            let bound = match argument {
                Argument::None => FOREVER,
                said => said.seconds().unwrap_or(0),
            };
            lower(&mut self.max_stale, bound);
        } else if is("stale-if-error") {
            lower(&mut self.stale_if_error, argument.seconds().unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests;
