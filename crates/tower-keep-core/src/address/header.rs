//! Which forwarding header is read.

use std::{fmt, str::FromStr};

use crate::ConfigError;

/// The one header in which trusted proxies tell for whom they ask. The other one is never looked
/// at: a proxy that writes one of them passes on whatever a client wrote into the other.
///
/// ```
/// use tower_keep_core::ForwardingHeader;
///
/// assert_eq!("forwarded".parse(), Ok(ForwardingHeader::Forwarded));
/// assert_eq!(ForwardingHeader::default().to_string(), "x-forwarded-for");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: addresses with commas between, each with or without a port.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), of which the parameter `for` is read, as strictly as it is
    /// specified there: a port or an IPv6 address stands in quotes, as in
    /// `for="[2001:db8::1]:4711"`. Only white space beside a semicolon is let pass.
    Forwarded,
}

impl fmt::Display for ForwardingHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        })
    }
}

impl FromStr for ForwardingHeader {
    type Err = ConfigError;

    /// Reads the header's name, in any case.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for any other header.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        match name.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(ConfigError::new(
                "TRUSTED_PROXY_HEADER",
                format!("`{}` is neither `x-forwarded-for` nor `forwarded`", name.escape_debug()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_headers_are_known_in_any_case() {
        for header in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded] {
            assert_eq!(header.to_string().parse(), Ok(header));
            assert_eq!(header.to_string().to_ascii_uppercase().parse(), Ok(header));
        }
        for bad in ["", "x-real-ip", " forwarded", "forwarded,x-forwarded-for"] {
            let error = bad.parse::<ForwardingHeader>().unwrap_err();
            assert_eq!(error.problems()[0].name, "TRUSTED_PROXY_HEADER");
        }
    }
}
