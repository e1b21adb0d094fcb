//! `ResponseCacheLayer` and its builder.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, request::Parts};
use tower_keep_cache::{CacheBuilder, Flights};
use tower_keep_core::{Budget, ConfigError, Vault, time::Clock};
use tower_layer::Layer;

use crate::{
    hit_for_miss::HitForMiss,
    options::{Options, SetCookie},
    policy::{
        key::QueryRules,
        unkeyed::{self, Unkeyed},
    },
    purge::CachedResponses,
    service::ResponseCache,
    settings::{Cookies, Settings, Skip},
    store::ResponseStore,
};

/// The longest body that is stored unless told otherwise.
const MAX_BODY: usize = 1 << 20;

/// What all bodies on their way may hold, unless told otherwise.
const MAX_IN_FLIGHT: u64 = 256 << 20;

/// Answers requests from responses that were stored, by RFC 9111. See the [crate's](crate) page
/// for its behaviour.
///
/// ```
/// use tower_keep_response_cache::ResponseCacheLayer;
///
/// let layer = ResponseCacheLayer::builder().memory().build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResponseCacheLayer {
    settings: Arc<Settings>,
}

impl ResponseCacheLayer {
    /// Begins a layer without a store.
    pub fn builder() -> ResponseCacheLayerBuilder {
        ResponseCacheLayerBuilder {
            cache: CacheBuilder::new(),
            shared: None,
            options: Options::default(),
            per_user: false,
            query: QueryRules::default(),
            cookies: Cookies::default(),
            unkeyed: Unkeyed::default(),
            unkeyed_fields: unkeyed::FIELDS.iter().map(|it| HeaderName::from_static(it)).collect(),
            prefixes: Vec::new(),
            skip: Vec::new(),
            patience: Duration::from_secs(5),
            fill_timeout: Duration::from_secs(30),
            max_body: MAX_BODY,
            max_in_flight: MAX_IN_FLIGHT,
            jitter: 0.0,
            clock: Clock::system(),
            expose_outcome: false,
            errors: ConfigError::default(),
        }
    }

    /// What is stored, to be purged.
    pub fn responses(&self) -> CachedResponses {
        CachedResponses { settings: Arc::clone(&self.settings) }
    }
}

impl<S> Layer<S> for ResponseCacheLayer {
    type Service = ResponseCache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResponseCache::new(inner, Arc::clone(&self.settings))
    }
}

/// Makes a [`ResponseCacheLayer`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct ResponseCacheLayerBuilder {
    cache: CacheBuilder,
    /// Where the cache is found, or put for the others, as long as nobody wants it otherwise.
    shared: Option<ResponseStore>,
    options: Options,
    per_user: bool,
    query: QueryRules,
    cookies: Cookies,
    unkeyed: Unkeyed,
    unkeyed_fields: Vec<HeaderName>,
    prefixes: Vec<String>,
    skip: Vec<Skip>,
    patience: Duration,
    fill_timeout: Duration,
    max_body: usize,
    max_in_flight: u64,
    jitter: f64,
    clock: Clock,
    expose_outcome: bool,
    errors: ConfigError,
}

impl ResponseCacheLayerBuilder {
    /// Stores responses in this process's memory.
    pub fn memory(self) -> Self {
        self.store(CacheBuilder::memory)
    }

    /// Stores responses together with all layers that are given the same store. What is said of the
    /// store afterwards gives this layer one of its own again.
    pub fn stored_in(mut self, store: &ResponseStore) -> Self {
        self.cache = store.builder();
        self.shared = Some(store.clone());
        self
    }

    /// Stores responses where and how `change` says: see [`CacheBuilder`].
    pub fn store(mut self, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        self.cache = change(self.cache);
        self.shared = None;
        self
    }

    /// How many bytes responses may take in this process: 64 MiB unless told otherwise.
    pub fn capacity(self, bytes: u64) -> Self {
        self.store(|cache| cache.capacity(bytes))
    }

    /// The longest body that is stored, in bytes: 1 MiB unless told otherwise. Longer ones pass
    /// through, and no more of them is ever held.
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How many bytes all bodies together may hold that are on their way to be stored: 256 MiB unless
    /// told otherwise. What has no room in it passes through.
    pub const fn max_in_flight(mut self, bytes: u64) -> Self {
        self.max_in_flight = bytes;
        self
    }

    /// Seals responses before a shared store gets them.
    pub fn vault(self, vault: Vault) -> Self {
        self.store(|cache| cache.vault(vault))
    }

    /// Has one process at a time fetch what is not stored, for this long at most. Needs Redis 7.
    /// Off unless told otherwise.
    pub fn fill_lease(self, lasting: Duration) -> Self {
        self.store(|cache| cache.fill_lease(Some(lasting)))
    }

    /// Fields for caches such as this one, which go before `Cache-Control` and `Expires`
    /// (RFC 9213), the most wanted first: `CDN-Cache-Control`, say. None unless told otherwise.
    pub fn targets(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.options.targets = fields.into_iter().collect();
        self
    }

    /// Guesses how long a response is fresh that does not say it: a tenth of the time since it was
    /// last modified, but at most so long (RFC 9111 §4.2.2). Off unless told otherwise: what
    /// nobody has thought of caching may be private.
    pub const fn heuristic(mut self, at_most: Duration) -> Self {
        self.options.heuristic = Some(at_most);
        self
    }

    /// For how long a response is fresh that does not say it, and whose status allows that
    /// (RFC 9110 §15.1). Off unless told otherwise: as with [`heuristic`](Self::heuristic).
    pub const fn default_ttl(mut self, ttl: Duration) -> Self {
        self.options.default_ttl = Some(ttl);
        self
    }

    /// For how long a response is fresh that says `public` but not for how long, and whose status
    /// allows that (RFC 9111 §4.2.2). Off unless told otherwise.
    pub const fn public_ttl(mut self, ttl: Duration) -> Self {
        self.options.public_ttl = Some(ttl);
        self
    }

    /// The longest time that a response is fresh, whatever it says: a year unless told otherwise.
    pub const fn max_ttl(mut self, ttl: Duration) -> Self {
        self.options.max_ttl = ttl;
        self
    }

    /// Whether responses are stored that set a cookie: never unless told otherwise.
    pub const fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.options.set_cookie = set_cookie;
        self
    }

    /// For how long what is stale may be used while it is asked for, where the response says
    /// nothing of that: not at all unless told otherwise (RFC 5861).
    pub const fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.options.stale_while_revalidate = window;
        self
    }

    /// For how long what is stale may be used in place of an error, where the response says nothing
    /// of that: not at all unless told otherwise (RFC 5861).
    pub const fn stale_if_error(mut self, window: Duration) -> Self {
        self.options.stale_if_error = window;
        self
    }

    /// Whether what is stale may be used when the service gives no answer at all, which is to say
    /// fails with an error, although nothing but RFC 9111 §4.2.4 allows it. Off unless told
    /// otherwise.
    pub const fn stale_on_failure(mut self, on: bool) -> Self {
        self.options.stale_on_failure = on;
        self
    }

    /// Fields of a response that list the tags it can be purged by, separated by commas or blanks:
    /// `Surrogate-Key`, `Cache-Tag`. `Cache-Groups` (RFC 9875) always does.
    pub fn tag_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.options.tag_fields = fields.into_iter().collect();
        self
    }

    /// Keeps answers for each user by themselves, `private` ones and those that looked at the
    /// session included. Only for users that a look at their session, or the principal, has
    /// verified: whose session is gone gets no such answer. A look is one command.
    pub const fn per_user(mut self) -> Self {
        self.per_user = true;
        self
    }

    /// Whether the last part of a whole is believed that is shorter than its `Content-Range` says, if
    /// its `Content-Length` agrees with its body: the whole is then taken to end where it ends. For
    /// services that count wrongly. Off unless told otherwise.
    pub const fn lenient_parts(mut self, on: bool) -> Self {
        self.options.lenient_parts = on;
        self
    }

    /// Whether `Accept-Encoding` and `Accept-Language` are made alike before they are compared, so
    /// that those who say the same in other words share an answer. On unless told otherwise.
    pub const fn normalise(mut self, on: bool) -> Self {
        self.options.normalise = on;
        self
    }

    /// Which parts of the query tell requests apart: all, in their order, unless told otherwise.
    pub fn query(mut self, rules: QueryRules) -> Self {
        self.query = rules;
        self
    }

    /// What a cookie means in a request of which no principal says whose it is.
    pub const fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = cookies;
        self
    }

    /// What is done with request fields that services believe and no cache looks at.
    pub const fn unkeyed(mut self, unkeyed: Unkeyed) -> Self {
        self.unkeyed = unkeyed;
        self
    }

    /// Which fields those are, instead of the usual ones. A `_` in the name of a field is a `-`, as
    /// it is to services that read fields as CGI does.
    pub fn unkeyed_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.unkeyed_fields = fields.into_iter().collect();
        self
    }

    /// Prefixes of paths that can be purged.
    pub fn purge_prefixes<T: Into<String>>(
        mut self,
        prefixes: impl IntoIterator<Item = T>,
    ) -> Self {
        self.prefixes = prefixes.into_iter().map(Into::into).collect();
        self
    }

    /// Leaves alone the requests that `predicate` picks.
    pub fn skip(mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip.push(Arc::new(predicate));
        self
    }

    /// How long a request waits for another's answer before it fetches its own: 5 s unless told
    /// otherwise.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a body may take to come and be stored, though its client may be gone: 30 s unless
    /// told otherwise.
    pub const fn fill_timeout(mut self, longest: Duration) -> Self {
        self.fill_timeout = longest;
        self
    }

    /// By which part of it at most each lifetime is cut, at random, so that what was stored
    /// together is not fetched again together: from 0, which it is unless told otherwise, to 1.
    pub const fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Where the time is taken from.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock.clone();
        self.store(|cache| cache.clock(clock))
    }

    /// Adds the [outcome](crate::ResponseCacheOutcome) to the extensions of each response, and to
    /// those of one that was not stored or not looked for the [reason](crate::BypassReason).
    pub const fn expose_outcome(mut self, on: bool) -> Self {
        self.expose_outcome = on;
        self
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong: no store, a jitter that is no part, a prefix
    /// that does not begin with `/`.
    pub fn build(self) -> Result<ResponseCacheLayer, ConfigError> {
        let Self { mut errors, max_body, clock, .. } = self;
        if !(0.0..=1.0).contains(&self.jitter) {
            errors.push("jitter", format!("{} is not a part from 0 to 1", self.jitter));
        }
        for prefix in self.prefixes.iter().filter(|prefix| !prefix.starts_with('/')) {
            errors.push("purge_prefixes", format!("`{prefix}` does not begin with `/`"));
        }
        let cache = match &self.shared {
            Some(shared) => shared.open(),
            None => self.cache.build(),
        };
        let cache = match cache {
            Ok(cache) => cache,
            Err(error) => {
                errors.merge(error);
                return Err(errors);
            }
        };
        let private = self.per_user.then(|| Options { per_user: true, ..self.options.clone() });
        let settings = Settings {
            cache,
            flights: Flights::default(),
            hit_for_miss: HitForMiss::new(clock.clone()),
            options: self.options,
            private,
            query: self.query,
            cookies: self.cookies,
            unkeyed: self.unkeyed,
            unkeyed_fields: self.unkeyed_fields,
            prefixes: self.prefixes,
            skip: self.skip,
            patience: self.patience,
            fill_timeout: self.fill_timeout,
            max_body,
            in_flight: Budget::new(self.max_in_flight),
            jitter: self.jitter,
            clock,
            expose_outcome: self.expose_outcome,
        };
        errors.into_result(ResponseCacheLayer { settings: Arc::new(settings) })
    }
}

impl fmt::Debug for ResponseCacheLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCacheLayerBuilder")
            .field("cache", &self.cache)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
