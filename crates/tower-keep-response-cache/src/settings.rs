//! What all services of one layer share.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, request::Parts};
use tower_keep_cache::{Cache, Flights};
use tower_keep_core::{Budget, time::Clock};

use crate::{
    fill::Flown,
    hit_for_miss::HitForMiss,
    options::Options,
    page::Page,
    policy::{key::QueryRules, unkeyed::Unkeyed},
};

pub(crate) type Skip = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// What a layer was built with, and what it keeps.
pub(crate) struct Settings {
    pub(crate) cache: Cache<Page>,
    pub(crate) flights: Flights<Flown>,
    pub(crate) hit_for_miss: HitForMiss,
    /// For answers that are everybody's.
    pub(crate) options: Options,
    /// For answers that are one user's, where the layer keeps such.
    pub(crate) private: Option<Options>,
    pub(crate) query: QueryRules,
    pub(crate) cookies: Cookies,
    pub(crate) unkeyed: Unkeyed,
    pub(crate) unkeyed_fields: Vec<HeaderName>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) skip: Vec<Skip>,
    /// How long a request waits for another's answer.
    pub(crate) patience: Duration,
    /// How long a body is read whose client may be gone.
    pub(crate) fill_timeout: Duration,
    /// The longest body that is stored.
    pub(crate) max_body: usize,
    /// What all bodies on their way may hold.
    pub(crate) in_flight: Budget,
    /// By which part of it at most a lifetime is cut.
    pub(crate) jitter: f64,
    pub(crate) clock: Clock,
    pub(crate) expose_outcome: bool,
}

/// What a `Cookie` in a request says about it, where no principal says who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cookies {
    /// It may be somebody's: the request is left alone.
    #[default]
    Bypass,
    /// Nothing, as RFC 9111 has it: a service whose answer depends on a cookie says so.
    Ignore,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
