//! `PrincipalLayer` and its builder.

use std::{collections::HashSet, fmt, hash::BuildHasher, sync::Arc};

use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use tower_layer::Layer;

use super::{
    InvalidPrincipal, Principal, PrincipalExtractor, SetPrincipal,
    extract::{Fixed, FromHeader},
    subdomain::FromSubdomain,
};
use crate::{ConfigError, GrpcCode, Rejection, TenantId};

/// Decides which tenants exist. A set of names is one, and so is a closure
/// `Fn(&TenantId) -> bool`.
pub trait KnownTenants: Send + Sync + 'static {
    /// Whether there is such a tenant.
    fn contains(&self, tenant: &TenantId) -> bool;
}

impl<F: Fn(&TenantId) -> bool + Send + Sync + 'static> KnownTenants for F {
    fn contains(&self, tenant: &TenantId) -> bool {
        self(tenant)
    }
}

impl<S: BuildHasher + Send + Sync + 'static> KnownTenants for HashSet<TenantId, S> {
    fn contains(&self, tenant: &TenantId) -> bool {
        Self::contains(self, tenant)
    }
}

/// Tells every layer inside it who is asking, by a [`Principal`] in the request's extensions.
///
/// A request that does not name its tenant gets the default one, or no principal where there is
/// no default. One that names it wrongly is answered with 400 (`INVALID_ARGUMENT` over gRPC), one
/// that names an unknown tenant with 403 (`PERMISSION_DENIED`). The header that was read is
/// added to `Vary` of HTTP answers.
///
/// **A tenant header needs a trusted door**: whoever can send any tenant evades every limit by
/// changing it, and reads what is cached for others. Let a gateway set the header, or name the
/// tenants by [`PrincipalLayerBuilder::known_tenants`].
///
/// ```
/// use tower_keep_core::{Principal, PrincipalLayer, TenantId};
///
/// let by_header = PrincipalLayer::from_header("x-tenant-id").default_tenant("public").build()?;
/// let by_closure = PrincipalLayer::new(|head: &http::request::Parts| {
///     let told = head.extensions.get::<TenantId>();
///     Ok(told.cloned().map(Principal::new))
/// }).build()?;
/// # let _ = (by_header, by_closure);
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct PrincipalLayer {
    shared: Arc<Shared>,
}

impl PrincipalLayer {
    /// The principal that `extractor` finds.
    #[expect(clippy::new_ret_no_self, reason = "like its siblings it begins a builder")]
    pub fn new(extractor: impl PrincipalExtractor) -> PrincipalLayerBuilder {
        PrincipalLayerBuilder::new(Ok(Arc::new(extractor)))
    }

    /// The tenant named by the request header `name`.
    pub fn from_header(name: &str) -> PrincipalLayerBuilder {
        PrincipalLayerBuilder::new(match HeaderName::try_from(name) {
            Ok(name) => Ok(Arc::new(FromHeader(name))),
            Err(_) => {
                Err(ConfigError::new("from_header", format!("`{name}` is not a header name")))
            }
        })
    }

    /// The tenant named by the host that was asked, as the label left of `base`: where that is
    /// `example.com`, a request for `acme.example.com` is of the tenant `acme`, and one for
    /// `example.com` itself names none.
    ///
    /// The host is that of the request's URI (HTTP/2 has it in `:authority`), else that of its
    /// `Host`. Upper case is lowered, as DNS does not tell it apart, and a dot at the end is
    /// dropped. Refused are a host of another domain, more than one label (`a.b.example.com`),
    /// what is no host name (an empty label, an IP address, what is not ASCII, a user, a bad
    /// port), a repeated `Host`, and one that contradicts the URI.
    ///
    /// **Whoever can reach the server can name any host**, as with a header: let a gateway pass
    /// on the hosts that there are, or name the tenants by
    /// [`PrincipalLayerBuilder::known_tenants`]. `www` is a tenant like any other.
    ///
    /// Nothing is added to `Vary`: the host is part of the URI, by which caches tell answers
    /// apart already (RFC 9111, section 2).
    ///
    /// ```
    /// use tower_keep_core::{PrincipalLayer, TenantId};
    ///
    /// let layer = PrincipalLayer::from_subdomain("example.com")
    ///     .default_tenant("public")
    ///     .known_tenants(|tenant: &TenantId| ["public", "acme"].contains(&tenant.as_str()))
    ///     .build()?;
    /// # let _ = layer;
    /// assert!(PrincipalLayer::from_subdomain("*.example.com").build().is_err());
    /// # Ok::<_, tower_keep_core::ConfigError>(())
    /// ```
    pub fn from_subdomain(base: &str) -> PrincipalLayerBuilder {
        PrincipalLayerBuilder::new(match FromSubdomain::new(base) {
            Ok(extractor) => Ok(Arc::new(extractor)),
            Err(error) => Err(error),
        })
    }

    /// The same tenant for every request.
    pub fn fixed(tenant: &str) -> PrincipalLayerBuilder {
        PrincipalLayerBuilder::new(match TenantId::new(tenant) {
            Ok(tenant) => Ok(Arc::new(Fixed(Principal::new(tenant)))),
            Err(error) => Err(ConfigError::new("fixed", error.to_string())),
        })
    }
}

impl fmt::Debug for PrincipalLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrincipalLayer").field("shared", &self.shared).finish()
    }
}

impl<S> Layer<S> for PrincipalLayer {
    type Service = SetPrincipal<S>;

    fn layer(&self, inner: S) -> SetPrincipal<S> {
        SetPrincipal::new(inner, Arc::clone(&self.shared))
    }
}

/// Builds a [`PrincipalLayer`].
#[must_use = "call `build` to get the layer"]
pub struct PrincipalLayerBuilder {
    extractor: Result<Arc<dyn PrincipalExtractor>, ConfigError>,
    default: Option<String>,
    known: Option<Arc<dyn KnownTenants>>,
}

impl PrincipalLayerBuilder {
    fn new(extractor: Result<Arc<dyn PrincipalExtractor>, ConfigError>) -> Self {
        Self { extractor, default: None, known: None }
    }

    /// The tenant of requests that name none. Without it they have no principal.
    pub fn default_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.default = Some(tenant.into());
        self
    }

    /// The tenants that exist, as a set or a closure; any other is answered with 403. The
    /// default tenant must be among them.
    pub fn known_tenants(mut self, known: impl KnownTenants) -> Self {
        self.known = Some(Arc::new(known));
        self
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a header name, base domain or tenant that is none, and for a default tenant that
    /// is not among the known ones.
    pub fn build(self) -> Result<PrincipalLayer, ConfigError> {
        let mut error = ConfigError::default();
        let default = self.default.and_then(|name| match TenantId::new(&name) {
            Ok(tenant) => Some(Principal::new(tenant)),
            Err(invalid) => {
                error.push("default_tenant", invalid.to_string());
                None
            }
        });
        if let (Some(default), Some(known)) = (&default, &self.known)
            && !known.contains(default.tenant())
        {
            let tenant = default.tenant();
            error.push("default_tenant", format!("`{tenant}` is not among the known tenants"));
        }
        match self.extractor {
            Ok(extractor) => error.into_result(PrincipalLayer {
                shared: Arc::new(Shared {
                    vary: extractor.header().cloned().map(HeaderValue::from),
                    extractor,
                    default,
                    known: self.known,
                }),
            }),
            Err(other) => {
                error.merge(other);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for PrincipalLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrincipalLayerBuilder")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// What all services of one layer share.
pub(super) struct Shared {
    extractor: Arc<dyn PrincipalExtractor>,
    default: Option<Principal>,
    known: Option<Arc<dyn KnownTenants>>,
    pub(super) vary: Option<HeaderValue>,
}

impl Shared {
    /// Who is asking, or how the request is to be refused.
    pub(super) fn identify(&self, head: &Parts) -> Result<Option<Principal>, Box<Rejection>> {
        let told = self.extractor.extract(head).map_err(invalid)?;
        let Some(principal) = told else { return Ok(self.default.clone()) };
        match &self.known {
            Some(known) if !known.contains(principal.tenant()) => Err(unknown()),
            _ => Ok(Some(principal)),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("default", &self.default).finish_non_exhaustive()
    }
}

fn invalid(error: InvalidPrincipal) -> Box<Rejection> {
    Box::new(
        Rejection::new(StatusCode::BAD_REQUEST, GrpcCode::InvalidArgument, "invalid tenant")
            .detail(error.into_reason()),
    )
}

fn unknown() -> Box<Rejection> {
    Box::new(Rejection::new(StatusCode::FORBIDDEN, GrpcCode::PermissionDenied, "unknown tenant"))
}
