//! `AiCacheLayer` and its builder.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, request::Parts};
use tower_keep_cache::CacheBuilder;
use tower_keep_core::{Budget, ConfigError, Principal, Vault, time::Clock};
use tower_layer::Layer;

use crate::{
    Api, TtlClass,
    control::Policy,
    identity::Keying,
    provider::route::Routes,
    purge::CachedAnswers,
    service::AiCache,
    settings::{Settings, Skip},
    store::{AiStore, Open},
    ttl::Ttls,
    whose::{Credentials, Sharing},
};

/// The longest request that is read, and the longest answer that is stored, unless told otherwise.
const MAX_REQUEST: usize = 8 << 20;
const MAX_RESPONSE: usize = 4 << 20;
/// What all answers on their way may hold, unless told otherwise.
const MAX_IN_FLIGHT: u64 = 256 << 20;

/// The shortest secret for credentials, in bytes.
const SHORTEST_SECRET: usize = 16;

/// Answers requests to language models from answers that were stored. See the [crate's](crate) page
/// for its behaviour.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_ai_cache::{AiCacheLayer, Api, TtlClass};
///
/// let layer = AiCacheLayer::builder()
///     .memory()
///     .route("/v1/ocr", Api::Json, TtlClass::Ocr)
///     .model_ttl("*-latest", Duration::from_secs(300))
///     .build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AiCacheLayer {
    settings: Arc<Settings>,
}

impl AiCacheLayer {
    /// For how long one process has the right to ask for what is not stored, unless told otherwise:
    /// see [`fill_lease`](AiCacheLayerBuilder::fill_lease).
    pub const LEASE: Duration = Duration::from_secs(10);

    /// Begins a layer without a store.
    pub fn builder() -> AiCacheLayerBuilder {
        AiCacheLayerBuilder {
            store: AiStore::new(CacheBuilder::new().fill_lease(Some(AiCacheLayer::LEASE))),
            routes: Routes::default(),
            policy: Policy::default(),
            keying: Keying::default(),
            sharing: Sharing::default(),
            ttls: Ttls::default(),
            skip: Vec::new(),
            upstream: String::new(),
            epoch: 0,
            take_cut: false,
            cut_events: false,
            max_request: MAX_REQUEST,
            max_response: MAX_RESPONSE,
            max_in_flight: MAX_IN_FLIGHT,
            patience: Duration::from_secs(120),
            linger: Duration::from_secs(60),
            fill_timeout: Duration::from_secs(300),
            jitter: 0.05,
            errors: ConfigError::default(),
        }
    }

    /// What is stored, to be flushed.
    pub fn answers(&self) -> CachedAnswers {
        CachedAnswers { settings: Arc::clone(&self.settings) }
    }

    /// The layer, whose entries all have this key: what tells them apart is compared.
    #[cfg(test)]
    pub(crate) fn with_digest(mut self, digest: [u8; 16]) -> Self {
        if let Some(settings) = Arc::get_mut(&mut self.settings) {
            settings.digest = Some(digest);
        }
        self
    }
}

impl<S> Layer<S> for AiCacheLayer {
    type Service = AiCache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AiCache::new(inner, Arc::clone(&self.settings))
    }
}

/// Makes an [`AiCacheLayer`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct AiCacheLayerBuilder {
    store: AiStore,
    routes: Routes,
    policy: Policy,
    keying: Keying,
    sharing: Sharing,
    ttls: Ttls,
    skip: Vec<Skip>,
    upstream: String,
    epoch: u64,
    take_cut: bool,
    cut_events: bool,
    max_request: usize,
    max_response: usize,
    max_in_flight: u64,
    patience: Duration,
    linger: Duration,
    fill_timeout: Duration,
    jitter: f64,
    errors: ConfigError,
}

impl AiCacheLayerBuilder {
    /// Stores answers in this process's memory.
    pub fn memory(self) -> Self {
        self.store(CacheBuilder::memory)
    }

    /// Stores answers together with all layers that are given the same store. What is said of the
    /// store afterwards gives this layer one of its own again.
    pub fn stored_in(mut self, store: &AiStore) -> Self {
        self.store = store.clone();
        self
    }

    /// Stores answers where and how `change` says: see [`CacheBuilder`].
    pub fn store(mut self, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        self.store = AiStore::new(change(self.store.builder()));
        self
    }

    /// How many bytes answers may take in this process: 64 MiB unless told otherwise.
    pub fn capacity(self, bytes: u64) -> Self {
        self.store(|cache| cache.capacity(bytes))
    }

    /// Seals answers before a shared store gets them.
    pub fn vault(self, vault: Vault) -> Self {
        self.store(|cache| cache.vault(vault))
    }

    /// For how long one process has the right to ask for what is not stored, while the others wait;
    /// it is renewed while it asks, so it need only be as long as the others may wait for one that
    /// has died. 10 s unless told otherwise; `None` has each process ask for itself. Needs Redis 7.
    pub fn fill_lease(self, lasting: Option<Duration>) -> Self {
        self.store(|cache| cache.fill_lease(lasting))
    }

    /// Takes requests whose path ends with `suffix`, from a `/` on, for requests to this API, in
    /// place of what was said of it before. A [`Json`](Api::Json) route is one whose answers are all
    /// of the same kind: a text read off a picture, an analysis.
    ///
    /// The paths of the APIs themselves are known: `/chat/completions`, `/v1/completions`,
    /// `/v1/responses`, `/embeddings` and `/v1/messages`.
    pub fn route(mut self, suffix: &str, api: Api, class: TtlClass) -> Self {
        if !suffix.starts_with('/') {
            self.errors.push("route", format!("`{suffix}` does not begin with `/`"));
        }
        self.routes.add(suffix, api, class);
        self
    }

    /// For how long answers of a class are stored: half an hour, two hours for
    /// [`Ocr`](TtlClass::Ocr), an hour for [`Analysis`](TtlClass::Analysis) unless told otherwise.
    /// It ends where it ends, however often the answer is used.
    pub const fn ttl(mut self, class: TtlClass, ttl: Duration) -> Self {
        match class {
            TtlClass::Chat => self.ttls.chat = ttl,
            TtlClass::Ocr => self.ttls.ocr = ttl,
            TtlClass::Analysis => self.ttls.analysis = ttl,
        }
        self
    }

    /// For how long answers of a model are stored, whatever its class. A name that ends with `*` is
    /// for all that begin so; the longest that fits holds.
    pub fn model_ttl(mut self, model: impl Into<String>, ttl: Duration) -> Self {
        self.ttls.models.push((model.into(), ttl));
        self
    }

    /// Stores and answers only requests that ask for it, by `"useCache": true`. Off unless told
    /// otherwise: all but those that refuse it.
    pub const fn opt_in(mut self, on: bool) -> Self {
        self.policy.unless_refused = !on;
        self
    }

    /// Whether callers may ask for new answers, younger ones, other lifetimes and no storing, by
    /// `Cache-Control`, `x-ai-cache-ttl`, and members of the request. On unless told otherwise: off,
    /// whoever would pay for refreshes is spared them.
    pub const fn heed_callers(mut self, on: bool) -> Self {
        self.policy.heed_wishes = on;
        self
    }

    /// Whether requests are answered from the store that may be answered differently each time:
    /// whose temperature is not 0, and that have no seed. On unless told otherwise; a request that
    /// asks for the cache is in any case.
    pub const fn sampled(mut self, on: bool) -> Self {
        self.policy.sampled = on;
        self
    }

    /// Leaves alone requests for more answers (`n`) than this, unless they ask for the cache.
    pub const fn max_choices(mut self, most: usize) -> Self {
        self.policy.max_choices = most;
        self
    }

    /// Whether requests are told apart by the `user`, `metadata` and `safety_identifier` they name.
    /// Off unless told otherwise: they say who asks, not what.
    pub const fn keyed_by_user(mut self, on: bool) -> Self {
        self.keying.by_user = on;
        self
    }

    /// A further member of requests that has no part in what is answered, and so does not tell them
    /// apart.
    pub fn unkeyed_member(mut self, name: impl Into<String>) -> Self {
        self.keying.unkeyed.push(name.into());
        self
    }

    /// A further field of requests that shapes what is answered, and so tells them apart.
    pub fn keyed_field(mut self, name: HeaderName) -> Self {
        self.keying.headers.push(name);
        self
    }

    /// Whom the service inside asks, by any name that no other upstream has: a part of what tells
    /// entries apart, as is the host that a request names. Of use where one store outlives a change
    /// of the upstream, or serves several.
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.upstream = name.into();
        self
    }

    /// A number that the operator counts up when what was answered until now no longer holds. Part
    /// of what tells entries apart: with another number all others are there no more.
    pub const fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Tells entries apart by the credentials of requests (`Authorization`, `x-api-key`, `api-key`),
    /// hashed with this secret, so that nobody gets an answer that somebody else's key has paid for.
    /// A request without credentials is left alone; one without a principal is its credentials'
    /// own. Processes that share a store need the same secret, of 16 bytes at least.
    pub fn by_credentials(mut self, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        if secret.len() < SHORTEST_SECRET {
            let message = format!("a secret of {} bytes is too short", secret.len());
            self.errors.push("by_credentials", message);
        }
        self.sharing.credentials = Credentials::new(secret);
        self
    }

    /// Shares entries among the credentials of a tenant for requests that `predicate` picks: those
    /// whose tenant is known for sure.
    pub fn shared_where(
        mut self,
        predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.sharing.shared.push(Arc::new(predicate));
        self
    }

    /// Keeps answers for each user by themselves, if a look at their session, or the principal, has
    /// verified them; else the request is left alone.
    pub const fn per_user(mut self) -> Self {
        self.sharing.per_user = true;
        self
    }

    /// Stores and looks for nothing for the principals that `predicate` marks.
    pub fn no_store_for(
        mut self,
        predicate: impl Fn(&Principal) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.sharing.no_store.push(Arc::new(predicate));
        self
    }

    /// Leaves alone the requests that `predicate` picks.
    pub fn skip(mut self, predicate: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip.push(Arc::new(predicate));
        self
    }

    /// The longest request that is read, in bytes: 8 MiB unless told otherwise. A longer one is
    /// passed on as it is.
    pub const fn max_request(mut self, bytes: usize) -> Self {
        self.max_request = bytes;
        self
    }

    /// The longest answer that is shared and stored, in bytes: 4 MiB unless told otherwise. What is
    /// longer goes on to its own client; those who share it are cut off.
    pub const fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// How many bytes all answers together may hold that are on their way and shared: 256 MiB unless
    /// told otherwise. What has no room in it goes on to its own client; those who share it are cut
    /// off.
    pub const fn max_in_flight(mut self, bytes: u64) -> Self {
        self.max_in_flight = bytes;
        self
    }

    /// Stores answers too that were cut at the most tokens they may have. Off unless told otherwise.
    pub const fn store_cut(mut self, on: bool) -> Self {
        self.take_cut = on;
        self
    }

    /// Sends stored events one by one, as they came, and not all at once. Off unless told otherwise:
    /// the bytes are the same.
    pub const fn replay_events(mut self, on: bool) -> Self {
        self.cut_events = on;
        self
    }

    /// How long a request waits for another's answer before it asks by itself: 2 min unless told
    /// otherwise.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long the upstream is waited for when its client has gone away, since what was asked has to
    /// be paid: a minute unless told otherwise.
    pub const fn linger(mut self, longest: Duration) -> Self {
        self.linger = longest;
        self
    }

    /// How long an answer that has begun may take to come and be stored, though its client may be
    /// gone: 5 min unless told otherwise. Its client gets the rest all the same.
    pub const fn fill_timeout(mut self, longest: Duration) -> Self {
        self.fill_timeout = longest;
        self
    }

    /// By which part of it at most each lifetime is cut, at random, so that what was stored
    /// together does not end together: 0.05 unless told otherwise; from 0 to 1.
    pub const fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Where the time is taken from.
    pub fn clock(self, clock: Clock) -> Self {
        self.store(|cache| cache.clock(clock))
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong: no store, a jitter that is no part, a route
    /// that does not begin with `/`, a secret that is too short.
    pub fn build(self) -> Result<AiCacheLayer, ConfigError> {
        let Self { mut errors, .. } = self;
        if !(0.0..=1.0).contains(&self.jitter) {
            errors.push("jitter", format!("{} is not a part from 0 to 1", self.jitter));
        }
        let Open { cache, flights } = match self.store.open() {
            Ok(open) => open,
            Err(error) => {
                errors.merge(error);
                return Err(errors);
            }
        };
        let terms = self.keying.terms(self.take_cut);
        let settings = Settings {
            cache,
            flights,
            terms,
            routes: self.routes,
            policy: self.policy,
            keying: self.keying,
            sharing: self.sharing,
            ttls: self.ttls,
            skip: self.skip,
            upstream: self.upstream,
            epoch: self.epoch,
            take_cut: self.take_cut,
            cut_events: self.cut_events,
            max_request: self.max_request,
            max_response: self.max_response,
            in_flight: Budget::new(self.max_in_flight),
            patience: self.patience,
            linger: self.linger,
            fill_timeout: self.fill_timeout,
            jitter: self.jitter,
            digest: None,
        };
        errors.into_result(AiCacheLayer { settings: Arc::new(settings) })
    }
}

impl fmt::Debug for AiCacheLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AiCacheLayerBuilder")
            .field("store", &self.store)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}
