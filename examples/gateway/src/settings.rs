//! The command line, and the environment variables that stand for it.

use std::{ffi::OsString, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum, builder::Resettable};
use http::{HeaderName, HeaderValue};
use tower_keep::{Config, SetCookie, TenantId};

use crate::{ai_cache::AiCacheSettings, layers::LayerName, origin::Origin};

/// A reverse proxy that carries tower-keep's layers to any HTTP service.
///
/// It passes every request on to the one upstream that is named here. Nothing in a request can
/// choose another one.
///
/// Each option has an environment variable; the option goes before it, and an empty variable
/// counts as unset. The variables of tower-keep hold too, among them `RATE_LIMIT_MAX`,
/// `RATE_LIMIT_WINDOW` and `SESSION_SECRET`.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", version)]
pub(crate) struct Settings {
    /// The service behind, as `http://HOST[:PORT]` or `https://HOST[:PORT]`
    ///
    /// Its certificate must come from an authority that the system trusts, or one of those in the
    /// file that `SSL_CERT_FILE` names.
    #[arg(long, env = "GATEWAY_UPSTREAM", value_name = "URL")]
    pub(crate) upstream: Origin,

    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "GATEWAY_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: String,

    /// The layers around the upstream, the outermost first, with commas between; none if not given
    #[arg(long, env = "GATEWAY_LAYERS", value_name = "LAYERS", value_delimiter = ',')]
    pub(crate) layers: Vec<LayerName>,

    /// Where state is kept; without it in this process's memory
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,

    /// The tenant of every request, or of those that name none to --trust-tenant-header
    #[arg(long, env = "GATEWAY_TENANT", value_name = "TENANT", default_value = "public", value_parser = tenant)]
    pub(crate) tenant: TenantId,

    /// The header in which trusted proxies name the tenant; anybody else's is removed
    #[arg(long, env = "GATEWAY_TRUST_TENANT_HEADER", value_name = "NAME")]
    pub(crate) trust_tenant_header: Option<HeaderName>,

    /// Addresses and networks, with commas between, whose forwarding header is believed
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "LIST")]
    trusted_proxies: Option<String>,

    /// The one header in which clients' addresses are told and passed on: x-forwarded-for or forwarded
    #[arg(long, env = "TRUSTED_PROXY_HEADER", value_name = "NAME")]
    trusted_proxy_header: Option<String>,

    /// The Host that the upstream is told
    #[arg(long, env = "GATEWAY_UPSTREAM_HOST", value_name = "WHICH", default_value = "preserve")]
    pub(crate) upstream_host: UpstreamHost,

    /// The name in the Via field of requests passed on (RFC 9110, 7.6.3)
    #[arg(long, env = "GATEWAY_VIA", value_name = "NAME", default_value = "tower-keep", value_parser = via)]
    pub(crate) via: HeaderValue,

    /// The protocols that a client may upgrade to, with commas between
    #[arg(
        long,
        env = "GATEWAY_UPGRADES",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "websocket"
    )]
    pub(crate) upgrades: Vec<String>,

    /// A path that the gateway answers itself with how it is, past all layers
    #[arg(long, env = "GATEWAY_HEALTH_PATH", value_name = "PATH", value_parser = path)]
    pub(crate) health_path: Option<String>,

    /// How long a connection to the upstream may take; 504 after that
    #[arg(long, env = "GATEWAY_CONNECT_TIMEOUT_MS", value_name = "MS", default_value = "5000", value_parser = milliseconds)]
    pub(crate) connect_timeout_ms: Duration,

    /// How long the head of an answer may take once the request has been sent; 504 after that
    #[arg(long, env = "GATEWAY_HEAD_TIMEOUT_MS", value_name = "MS", default_value = "60000", value_parser = milliseconds)]
    pub(crate) head_timeout_ms: Duration,

    /// How long a client may take for a request's head, idle time before it included
    #[arg(long, env = "GATEWAY_CLIENT_TIMEOUT_MS", value_name = "MS", default_value = "60000", value_parser = milliseconds)]
    pub(crate) client_timeout_ms: Duration,

    /// How long a connection to the upstream may lie idle; less than the upstream allows
    #[arg(long, env = "GATEWAY_POOL_IDLE_TIMEOUT_MS", value_name = "MS", default_value = "4000", value_parser = milliseconds)]
    pub(crate) pool_idle_timeout_ms: Duration,

    /// How many connections to the upstream may lie idle
    #[arg(long, env = "GATEWAY_POOL_MAX_IDLE", value_name = "N", default_value = "256")]
    pub(crate) pool_max_idle: usize,

    /// How long requests under way may take once the gateway is told to stop
    #[arg(long, env = "GATEWAY_STOP_TIMEOUT_MS", value_name = "MS", default_value = "10000", value_parser = milliseconds)]
    pub(crate) stop_timeout_ms: Duration,

    #[command(flatten)]
    pub(crate) cache: CacheSettings,

    #[command(flatten)]
    pub(crate) ai_cache: AiCacheSettings,
}

/// What the response cache is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CacheSettings {
    /// Whether answers that set a cookie are stored
    #[arg(
        long = "cache-set-cookie",
        env = "GATEWAY_CACHE_SET_COOKIE",
        value_name = "WHEN",
        default_value = "never"
    )]
    pub(crate) set_cookie: CacheSetCookie,

    /// Fields for caches such as this one, which go before Cache-Control, with commas between; none
    /// for none
    #[arg(
        long = "cache-targets",
        env = "GATEWAY_CACHE_TARGETS",
        value_name = "FIELDS",
        value_delimiter = ',',
        default_value = "cdn-cache-control"
    )]
    targets: Vec<HeaderName>,

    /// Whether what is stale may be used when the upstream does not answer at all
    #[arg(
        long = "cache-stale-on-failure",
        env = "GATEWAY_CACHE_STALE_ON_FAILURE",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_value = "true",
        default_missing_value = "true"
    )]
    pub(crate) stale_on_failure: bool,

    /// How long what is stale may be used while it is asked for, where the answer does not say it
    #[arg(
        long = "cache-stale-while-revalidate",
        env = "GATEWAY_CACHE_STALE_WHILE_REVALIDATE",
        value_name = "SECONDS",
        default_value = "0"
    )]
    pub(crate) stale_while_revalidate: u64,

    /// How long what is stale may be used in place of an error, where the answer does not say it
    #[arg(
        long = "cache-stale-if-error",
        env = "GATEWAY_CACHE_STALE_IF_ERROR",
        value_name = "SECONDS",
        default_value = "0"
    )]
    pub(crate) stale_if_error: u64,

    /// Believe the last part of a body that is shorter than its Content-Range says
    #[arg(long = "cache-lenient-parts", env = "GATEWAY_CACHE_LENIENT_PARTS")]
    pub(crate) lenient_parts: bool,

    /// Fields that list what an answer can be purged by, with commas between
    #[arg(
        long = "cache-tag-fields",
        env = "GATEWAY_CACHE_TAG_FIELDS",
        value_name = "FIELDS",
        value_delimiter = ','
    )]
    pub(crate) tag_fields: Vec<HeaderName>,

    /// The longest body that is stored, instead of `CACHE_MAX_ENTRY_BYTES`
    #[arg(long = "cache-max-body", env = "GATEWAY_CACHE_MAX_BODY", value_name = "BYTES")]
    pub(crate) max_body: Option<usize>,

    /// Guess how long an answer is fresh that does not say it, at most so many seconds
    #[arg(long = "cache-heuristic", env = "GATEWAY_CACHE_HEURISTIC", value_name = "SECONDS")]
    pub(crate) heuristic: Option<u64>,

    /// How many bytes answers may take in this process, instead of 64 MiB
    #[arg(long = "cache-capacity", env = "GATEWAY_CACHE_CAPACITY", value_name = "BYTES")]
    pub(crate) capacity: Option<u64>,
}

/// Whether answers that set a cookie are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheSetCookie {
    /// Never
    Never,
    /// Where the answer says itself how long it is fresh for everybody, cookie and all
    Explicit,
}

impl CacheSettings {
    /// The fields that go before Cache-Control.
    pub(crate) fn targets(&self) -> impl Iterator<Item = HeaderName> {
        self.targets.iter().filter(|field| field.as_str() != "none").cloned()
    }
}

impl From<CacheSetCookie> for SetCookie {
    fn from(told: CacheSetCookie) -> Self {
        match told {
            CacheSetCookie::Never => Self::Never,
            CacheSetCookie::Explicit => Self::Explicit,
        }
    }
}

/// Which Host the upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpstreamHost {
    /// The one that the client asked for
    Preserve,
    /// The upstream's own, as in --upstream
    Upstream,
}

impl Settings {
    /// Reads the command line and the environment.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::from(std::env::args_os())
    }

    fn from(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_args(|arg| {
            let empty = arg.get_env().and_then(variable).is_some_and(|value| value.is_empty());
            if empty { arg.env(Resettable::Reset) } else { arg }
        });
        let matches = command.try_get_matches_from_mut(args)?;
        let settings =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        settings
            .check()
            .map_err(|message| command.error(clap::error::ErrorKind::ArgumentConflict, message))?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        for (index, layer) in self.layers.iter().enumerate() {
            if self.layers.iter().skip(index + 1).any(|other| other == layer) {
                return Err(format!("`--layers` names {layer} twice"));
            }
        }
        if let Some(http) = self.upgrades.iter().find(|name| is_http(name)) {
            return Err(format!("`--upgrades {http}` would be a way around all layers"));
        }
        if self.trust_tenant_header.is_some() && self.trusted_proxies.is_none() {
            return Err("`--trust-tenant-header` needs `--trusted-proxies`: whoever may name any \
                        tenant evades every limit"
                .to_owned());
        }
        self.ai_cache.check()
    }

    /// Whether a client may upgrade to this, its one wish.
    pub(crate) fn may_upgrade(&self, wish: &HeaderValue) -> bool {
        let same = |name: &String| wish.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        self.upgrades.iter().any(same)
    }

    /// The settings of tower-keep: its own variables, and the options that stand for some of them.
    pub(crate) fn config(&self) -> Result<Config, tower_keep::ConfigError> {
        Config::from_lookup(|name| {
            let told = match name {
                "REDIS_URL" => &self.redis,
                "TRUSTED_PROXIES" => &self.trusted_proxies,
                "TRUSTED_PROXY_HEADER" => &self.trusted_proxy_header,
                _ => return variable(name.as_ref()),
            };
            told.as_ref().map(OsString::from)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the program's own command line")]
fn variable(name: &std::ffi::OsStr) -> Option<OsString> {
    std::env::var_os(name)
}

/// Whether this is HTTP by another name, in which whole requests could pass unseen.
fn is_http(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default().to_ascii_lowercase();
    ["h2", "h2c", "h3", "http", "tls"].contains(&name.as_str())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number @ 1..=86_400_000_u64) => Ok(Duration::from_millis(number)),
        _ => Err("not a number of milliseconds from 1 to 86400000".to_owned()),
    }
}

fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::new(text).map_err(|error| error.to_string())
}

/// A pseudonym, which is a token (RFC 9110, 5.6.2).
fn via(text: &str) -> Result<HeaderValue, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let named = !text.is_empty() && text.bytes().all(token);
    HeaderValue::try_from(text).ok().filter(|_| named).ok_or_else(|| "not a token".to_owned())
}

fn path(text: &str) -> Result<String, String> {
    let parsed = text.parse::<http::uri::PathAndQuery>();
    let plain = text.starts_with('/') && parsed.is_ok_and(|it| it.path() == text);
    plain.then(|| text.to_owned()).ok_or_else(|| "not a path that begins with `/`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Settings, String> {
        let args = ["gateway"].iter().chain(args).map(OsString::from);
        Settings::from(args).map_err(|error| error.to_string())
    }

    fn refused(args: &[&str], because: &str) {
        let args = [&["--upstream", "http://127.0.0.1:8000"], args].concat();
        let error = read(&args).expect_err("it was accepted");
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn the_upstream_is_all_that_must_be_told() {
        let settings = read(&["--upstream", "http://127.0.0.1:8000"]).unwrap();
        assert_eq!(settings.upstream.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.listen, "127.0.0.1:8080");
        assert_eq!((settings.layers.len(), settings.tenant.as_str()), (0, "public"));
        assert_eq!(settings.upgrades, ["websocket"]);
        assert!(read(&[]).unwrap_err().contains("--upstream"));
        for (bad, because) in [
            ("ftp://127.0.0.1", "neither an http:// nor an https:// URL"),
            ("http://127.0.0.1/api", "has a path"),
        ] {
            let error = read(&["--upstream", bad]).unwrap_err();
            assert!(error.contains(because), "{error}");
        }
    }

    #[test]
    fn layers_stand_in_the_order_given() {
        let settings = read(&["--upstream", "http://a", "--layers", "rate-limit,session"]).unwrap();
        assert_eq!(settings.layers, [LayerName::RateLimit, LayerName::Session]);
        refused(&["--layers", "session,rate-limit,session"], "names session twice");
        refused(
            &["--layers", "sesion"],
            "[possible values: session, rate-limit, response-cache, ai-cache]",
        );
    }

    #[test]
    fn what_cannot_be_is_said_by_name() {
        refused(&["--trust-tenant-header", "x-tenant-id"], "needs `--trusted-proxies`");
        refused(&["--trust-tenant-header", "a b"], "--trust-tenant-header");
        refused(&["--head-timeout-ms", "0"], "from 1 to 86400000");
        refused(&["--health-path", "healthz"], "not a path that begins");
        refused(&["--upgrades", "websocket,h2c"], "a way around all layers");
        refused(&["--via", "a b"], "not a token");
        refused(&["--upstream-host", "mine"], "[possible values: preserve, upstream]");
    }

    #[test]
    fn options_stand_for_the_variables_of_tower_keep() {
        let settings = read(&[
            "--upstream",
            "http://a",
            "--redis",
            "redis://:secret@127.0.0.1:7000",
            "--trusted-proxies",
            "10.0.0.0/8",
            "--trusted-proxy-header",
            "forwarded",
        ]);
        let config = settings.unwrap().config().unwrap();
        assert!(config.redis.is_some());
        assert!(config.trusted_proxies.trusts([10, 1, 2, 3].into()));
        let bad = read(&["--upstream", "http://a", "--trusted-proxies", "x"]).unwrap();
        assert!(bad.config().unwrap_err().to_string().contains("TRUSTED_PROXIES"));
    }
}
