//! The tenant from the host that was asked: `acme.example.com`, whose base domain is
//! `example.com`.

use http::{HeaderMap, Uri, header::HOST, request::Parts, uri::Scheme};

use super::{InvalidPrincipal, Principal, PrincipalExtractor};
use crate::{ConfigError, TenantId};

/// The longest name and the longest label that DNS knows (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Takes the tenant from the label left of a base domain.
#[derive(Debug)]
pub(super) struct FromSubdomain {
    /// In lower case, without the dot at its end.
    base: Box<str>,
}

impl FromSubdomain {
    /// `base` as it is written, in any case and perhaps with a dot at its end.
    pub(super) fn new(base: &str) -> Result<Self, ConfigError> {
        let name = base.strip_suffix('.').unwrap_or(base);
        if is_name(name) && !is_ipv4(name) {
            return Ok(Self { base: name.to_ascii_lowercase().into() });
        }
        let message = format!(
            "`{}` is not a domain; accepted: labels of letters, digits and hyphens with dots \
             between, such as `example.com`, without scheme, port or wildcard; other letters \
             as DNS has them (`xn--…`)",
            base.escape_debug()
        );
        Err(ConfigError::new("from_subdomain", message))
    }

    /// The tenant that this host names, if it names one.
    fn tenant(&self, host: &str) -> Result<Option<TenantId>, InvalidPrincipal> {
        if !is_name(host) {
            return Err(InvalidPrincipal::new("the host is not a domain name"));
        }
        // No character of a name is longer than a byte.
        let at = host.len().checked_sub(self.base.len());
        let parts = at.and_then(|at| host.split_at_checked(at));
        let left = parts.filter(|(_, right)| right.eq_ignore_ascii_case(&self.base));
        match left.map(|(left, _)| (left, left.strip_suffix('.'))) {
            Some(("", _)) => Ok(None),
            Some((_, Some(label))) if !label.contains('.') => {
                let tenant = TenantId::new(label.to_ascii_lowercase());
                tenant.map(Some).map_err(|error| InvalidPrincipal::new(error.to_string()))
            }
            _ => Err(InvalidPrincipal::new(
                "the host is neither the base domain nor one label left of it",
            )),
        }
    }
}

impl PrincipalExtractor for FromSubdomain {
    fn extract(&self, head: &Parts) -> Result<Option<Principal>, InvalidPrincipal> {
        let Some(host) = asked(&head.uri, &head.headers)? else { return Ok(None) };
        Ok(self.tenant(host)?.map(Principal::new))
    }
}

/// The host that was asked: that of the URI, else that of `Host`, which must not contradict it.
fn asked<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, InvalidPrincipal> {
    let mut lines = headers.get_all(HOST).iter();
    let header = match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(InvalidPrincipal::new("`host` must not be repeated")),
        (Some(line), None) => {
            let text = line.to_str();
            Some(text.map_err(|_| InvalidPrincipal::new("`host` must be visible ASCII"))?)
        }
        (None, None) => None,
    };
    let header = header.map(host_and_port).transpose()?;
    let uri_says = uri.authority().map(|it| host_and_port(it.as_str())).transpose()?;
    if let (Some((host, port)), Some((other, other_port))) = (header, uri_says) {
        let usual = usual_port(uri.scheme());
        if !host.eq_ignore_ascii_case(other) || port.or(usual) != other_port.or(usual) {
            return Err(InvalidPrincipal::new("`host` is not the host of the request's URI"));
        }
    }
    Ok(uri_says.or(header).map(|(host, _)| host))
}

/// Takes an authority apart (RFC 3986, 3.2), one of a domain: the host without the dot at its
/// end, and the port.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), InvalidPrincipal> {
    if authority.contains('@') {
        return Err(InvalidPrincipal::new("the host must not hold a user"));
    }
    if authority.starts_with('[') {
        return Err(InvalidPrincipal::new("the host is an IP address"));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(self::port(port)?)),
        None => (authority, None),
    };
    Ok((host.strip_suffix('.').unwrap_or(host), port))
}

/// Digits and nothing else; `u16` alone would take a sign.
fn port(text: &str) -> Result<u16, InvalidPrincipal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.then(|| text.parse().ok()).flatten();
    port.ok_or_else(|| InvalidPrincipal::new("the host's port is not a number up to 65535"))
}

fn usual_port(scheme: Option<&Scheme>) -> Option<u16> {
    match scheme {
        Some(scheme) if *scheme == Scheme::HTTP => Some(80),
        Some(scheme) if *scheme == Scheme::HTTPS => Some(443),
        _ => None,
    }
}

/// Whether this can be a host's name: labels of letters, digits and inner hyphens.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner
            && (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

/// Whether this name would be read as an IPv4 address: no top-level domain is a number.
fn is_ipv4(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
