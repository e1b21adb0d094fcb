//! How a request's head tells its principal.

use std::{borrow::Cow, fmt};

use http::{HeaderName, HeaderValue, request::Parts};

use crate::{Principal, TenantId};

/// A request that names its principal wrongly. It is answered with 400 or `INVALID_ARGUMENT`,
/// never taken for the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPrincipal(Cow<'static, str>);

impl InvalidPrincipal {
    /// Refused because of `reason`, which the caller is told.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// Why it is refused.
    pub fn reason(&self) -> &str {
        &self.0
    }

    pub(super) fn into_reason(self) -> Cow<'static, str> {
        self.0
    }
}

impl fmt::Display for InvalidPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPrincipal {}

/// Decides who is asking, from the request's head alone. A closure
/// `Fn(&Parts) -> Result<Option<Principal>, InvalidPrincipal>` is one.
pub trait PrincipalExtractor: Send + Sync + 'static {
    /// Who is asking; `None` when the request does not say.
    ///
    /// # Errors
    ///
    /// [`InvalidPrincipal`] when the request says it wrongly.
    fn extract(&self, head: &Parts) -> Result<Option<Principal>, InvalidPrincipal>;

    /// The request header that was read, to be named in `Vary`.
    fn header(&self) -> Option<&HeaderName> {
        None
    }
}

impl<F> PrincipalExtractor for F
where
    F: Fn(&Parts) -> Result<Option<Principal>, InvalidPrincipal> + Send + Sync + 'static,
{
    fn extract(&self, head: &Parts) -> Result<Option<Principal>, InvalidPrincipal> {
        self(head)
    }
}

/// Takes the tenant from one request header. A header that is empty, repeated, not ASCII or no
/// valid tenant is refused; a missing one leaves the tenant open.
#[derive(Clone, Debug)]
pub(super) struct FromHeader(pub(super) HeaderName);

impl FromHeader {
    fn tenant(&self, value: &HeaderValue) -> Result<TenantId, InvalidPrincipal> {
        let name = &self.0;
        let text = value
            .to_str()
            .map_err(|_| InvalidPrincipal(format!("`{name}` must be visible ASCII").into()))?;
        TenantId::new(text).map_err(|error| InvalidPrincipal(format!("`{name}`: {error}").into()))
    }
}

impl PrincipalExtractor for FromHeader {
    fn extract(&self, head: &Parts) -> Result<Option<Principal>, InvalidPrincipal> {
        let mut values = head.headers.get_all(&self.0).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            let name = &self.0;
            return Err(InvalidPrincipal(format!("`{name}` must not be repeated").into()));
        }
        self.tenant(value).map(|tenant| Some(Principal::new(tenant)))
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&self.0)
    }
}

/// The same tenant for every request.
pub(super) struct Fixed(pub(super) Principal);

impl PrincipalExtractor for Fixed {
    fn extract(&self, _: &Parts) -> Result<Option<Principal>, InvalidPrincipal> {
        Ok(Some(self.0.clone()))
    }
}
