//! `SessionLayer` and its builder.

use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;
use tower_keep_core::{Admission, ConfigError, TrustedProxies, Vault, time::Clock};
use tower_layer::Layer;

use crate::{
    admin::Sessions,
    carrier::Carrier,
    cookie::CookieOptions,
    keys::KeyRing,
    lifetime::{Absolute, Lifetimes, Touch},
    memory::MemoryStore,
    opened::Tokens,
    policy::SaveOn,
    retry::Amendments,
    service::WithSession,
    settings::{OnStoreFailure, Settings, Skip},
    store::SessionStore,
};

/// How many bytes a session holds unless told otherwise.
const MAX_BYTES: u64 = 16 * 1024;
/// How many sessions a user has unless told otherwise.
const MAX_SESSIONS: u32 = 20;

/// Gives every request a [`Session`](crate::Session). See the [crate's](crate) page for its
/// behaviour.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_session::SessionLayer;
///
/// let layer = SessionLayer::builder()
///     .memory()
///     .secrets(["a secret of at least thirty-two bytes"])
///     .ttl(Duration::from_secs(3600))
///     .build()?;
/// # let _ = layer;
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer {
    settings: Arc<Settings>,
}

impl SessionLayer {
    /// Begins a layer without store and secrets.
    pub fn builder() -> SessionLayerBuilder {
        SessionLayerBuilder {
            store: None,
            secrets: Vec::new(),
            ephemeral: false,
            vault: None,
            lifetimes: Lifetimes::default(),
            cookie: CookieOptions::default(),
            plain_http: false,
            carrier: Carrier::default(),
            transient: false,
            max_bytes: MAX_BYTES,
            max_sessions: MAX_SESSIONS,
            save_on: SaveOn::default(),
            on_store_failure: OnStoreFailure::default(),
            admission: None,
            proxies: TrustedProxies::none(),
            clock: Clock::system(),
            skip: None,
            expose_outcome: false,
        }
    }

    /// All sessions in this layer's store, to be listed and ended.
    pub fn sessions(&self) -> Sessions {
        Sessions::of(&self.settings)
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = WithSession<S>;

    fn layer(&self, inner: S) -> WithSession<S> {
        WithSession::new(inner, Arc::clone(&self.settings))
    }
}

/// Builds a [`SessionLayer`].
#[derive(Clone)]
#[must_use = "call `build` to get the layer"]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct SessionLayerBuilder {
    store: Option<Arc<dyn SessionStore>>,
    secrets: Vec<Vec<u8>>,
    ephemeral: bool,
    vault: Option<Vault>,
    lifetimes: Lifetimes,
    cookie: CookieOptions,
    plain_http: bool,
    carrier: Carrier,
    transient: bool,
    max_bytes: u64,
    max_sessions: u32,
    save_on: SaveOn,
    on_store_failure: OnStoreFailure,
    admission: Option<Arc<dyn Admission>>,
    proxies: TrustedProxies,
    clock: Clock,
    skip: Option<Skip>,
    expose_outcome: bool,
}

impl SessionLayerBuilder {
    /// Keeps sessions in this process, in a store of the layer's own. A restart ends them all.
    pub fn memory(self) -> Self {
        self.store(Arc::new(MemoryStore::new()))
    }

    /// Keeps sessions in a store of any kind, which other layers may share.
    pub fn store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// What tokens are sealed with: secrets of at least 32 bytes, the newest first. New tokens are
    /// sealed by the newest; those of the others are still good, and are exchanged as they come.
    /// Processes that share sessions must share these. Who loses them loses all sessions.
    pub fn secrets<T: AsRef<[u8]>>(mut self, secrets: impl IntoIterator<Item = T>) -> Self {
        self.secrets = secrets.into_iter().map(|secret| secret.as_ref().to_vec()).collect();
        self
    }

    /// Seals tokens by a secret that this process makes and takes along when it ends. For
    /// sessions that end with it anyway.
    pub const fn ephemeral_secret(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// Seals values too, so that the store can neither read nor move them (default: not).
    pub fn vault(mut self, vault: Vault) -> Self {
        self.vault = Some(vault);
        self
    }

    /// How long a session may lie unused (default a day).
    pub const fn ttl(mut self, idle: Duration) -> Self {
        self.lifetimes.idle = idle;
        self
    }

    /// The same for visitors without a user (default: the same time).
    pub const fn anonymous_ttl(mut self, idle: Duration) -> Self {
        self.lifetimes.anonymous = Some(idle);
        self
    }

    /// When a session ends however much it is used (default after 7 days, or the
    /// idle time if that is longer); `None` for never.
    pub const fn absolute_ttl(mut self, life: Option<Duration>) -> Self {
        self.lifetimes.absolute = match life {
            Some(life) => Absolute::After(life),
            None => Absolute::Never,
        };
        self
    }

    /// How long a session may lie unused that is to be [remembered](crate::Session::remember)
    /// (default 30 days). It may live as long however it is used.
    pub const fn remember_ttl(mut self, idle: Duration) -> Self {
        self.lifetimes.remember = idle;
        self
    }

    /// What counts as being used (default: being read or written).
    pub const fn touch(mut self, touch: Touch) -> Self {
        self.lifetimes.touch = touch;
        self
    }

    /// How often at most the store is told that a session is used (default every 300 s, but at
    /// least four times in a session's idle time).
    pub const fn touch_every(mut self, interval: Duration) -> Self {
        self.lifetimes.touch_every = interval;
        self
    }

    /// The cookie (default `__Host-session`, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`).
    pub fn cookie(mut self, cookie: CookieOptions) -> Self {
        self.cookie = cookie;
        self
    }

    /// For development over plain HTTP: the cookie, whichever is given, is
    /// [`insecure`](CookieOptions::insecure).
    pub const fn insecure_cookie(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Which header carries the token (default: either).
    pub const fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// Has browsers forget the cookie when they are closed: no `Max-Age` (default: they keep it
    /// for as long as the session may lie unused).
    pub const fn browser_session(mut self, forget: bool) -> Self {
        self.transient = forget;
        self
    }

    /// How many bytes of names and values a session holds (default 16 KiB, 64 to 1048576).
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many sessions a user has (default 20, 1 to 1000). One more takes the place of the one
    /// unused for longest.
    pub const fn max_sessions(mut self, sessions: u32) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Whether what a request changed is kept although it is answered by a server error (default:
    /// not).
    pub const fn save_on(mut self, save_on: SaveOn) -> Self {
        self.save_on = save_on;
        self
    }

    /// What happens while the store is away (default: 503).
    pub const fn on_store_failure(mut self, on_store_failure: OnStoreFailure) -> Self {
        self.on_store_failure = on_store_failure;
        self
    }

    /// Whom to ask whether a visitor may have a new session (default: nobody). Logins are not
    /// asked for: limit those where passwords are checked.
    pub fn admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.admission = Some(admission);
        self
    }

    /// The proxies that are believed when they tell the client's address (default: none), for
    /// [`admission`](Self::admission).
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Leaves these requests alone: they have no [`Session`](crate::Session) (default: none).
    pub fn skip(mut self, skip: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Arc::new(skip));
        self
    }

    /// Whether answers have a [`SessionOutcome`](crate::SessionOutcome) in their extensions
    /// (default: not).
    pub const fn expose_outcome(mut self, expose: bool) -> Self {
        self.expose_outcome = expose;
        self
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names all that is wrong: no store, no secret or one that is too short,
    /// a cookie that browsers would refuse, lives and bounds that cannot be.
    pub fn build(mut self) -> Result<SessionLayer, ConfigError> {
        let mut error = ConfigError::default();
        if self.store.is_none() {
            let message = "none is named: call `memory`, `redis` or `store`";
            error.push("store", message);
        }
        let ring = if self.ephemeral && self.secrets.is_empty() {
            Some(KeyRing::ephemeral())
        } else {
            KeyRing::new(&self.secrets).map_err(|found| error.merge(found)).ok()
        };
        self.lifetimes.validate(&mut error);
        if self.plain_http {
            self.cookie = self.cookie.insecure();
        }
        self.cookie.validate(&mut error);
        for (name, number, least, most) in [
            ("max_bytes", self.max_bytes, 64, 1 << 20),
            ("max_sessions", u64::from(self.max_sessions), 1, 1000),
        ] {
            if !(least..=most).contains(&number) {
                error.push(name, format!("`{number}` is not a number from {least} to {most}"));
            }
        }
        let (Some(store), Some(ring)) = (self.store, ring) else { return Err(error) };
        error.into_result(SessionLayer {
            settings: Arc::new(Settings {
                store,
                ring,
                tokens: Tokens::new(),
                vault: self.vault,
                lifetimes: self.lifetimes,
                cookie: self.cookie,
                carrier: self.carrier,
                transient: self.transient,
                max_bytes: self.max_bytes,
                max_sessions: self.max_sessions,
                save_on: self.save_on,
                on_store_failure: self.on_store_failure,
                admission: self.admission,
                proxies: self.proxies,
                clock: self.clock,
                amendments: Amendments::default(),
                skip: self.skip,
                expose_outcome: self.expose_outcome,
            }),
        })
    }
}

impl fmt::Debug for SessionLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayerBuilder")
            .field("lifetimes", &self.lifetimes)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}
