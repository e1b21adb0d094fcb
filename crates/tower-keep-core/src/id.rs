//! Who a key belongs to: tenants and users, validated once.

use std::{fmt, sync::Arc};

/// The longest id accepted, in bytes.
const MAX_BYTES: usize = 1024;

/// An id that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// It has no character.
    #[error("an id must not be empty")]
    Empty,
    /// It is longer than 1024 bytes.
    #[error("an id has at most {MAX_BYTES} bytes")]
    TooLong,
    /// It holds a control character.
    #[error("an id holds no control characters")]
    ControlCharacter,
}

fn validate(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        Err(InvalidId::Empty)
    } else if id.len() > MAX_BYTES {
        Err(InvalidId::TooLong)
    } else if id.chars().any(char::is_control) {
        Err(InvalidId::ControlCharacter)
    } else {
        Ok(())
    }
}

/// The tenant that data belongs to: any text of 1 to 1024 bytes without control characters.
/// Cheap to clone.
///
/// ```
/// use tower_keep_core::TenantId;
///
/// assert_eq!(TenantId::new("acme")?.as_str(), "acme");
/// assert!(TenantId::new("").is_err());
/// assert_ne!(TenantId::new("~none")?, TenantId::NONE); // a name cannot pose as "no tenant"
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantId(Option<Arc<str>>);

impl TenantId {
    /// What requests without a tenant are counted under; written `~none`.
    pub const NONE: Self = Self(None);

    /// The tenant called `id`.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when it is empty, over 1024 bytes, or holds a control character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        let id = id.as_ref();
        validate(id)?;
        Ok(Self(Some(id.into())))
    }

    /// The tenant's name as it was given; `~none` for [`TenantId::NONE`].
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("~none")
    }

    /// The tenant's name, unless this is [`TenantId::NONE`].
    #[inline]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({:?})", self.as_str())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user within a tenant: an opaque id of 1 to 1024 bytes without control characters. Cheap to
/// clone. It is part of keys, so it should be no e-mail address or other personal data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The user called `id`.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when it is empty, over 1024 bytes, or holds a control character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        let id = id.as_ref();
        validate(id)?;
        Ok(Self(id.into()))
    }

    /// The id as it was given.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.as_str())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_refused_for_a_reason() {
        assert_eq!(TenantId::new("").unwrap_err(), InvalidId::Empty);
        assert_eq!(TenantId::new("a\nb").unwrap_err(), InvalidId::ControlCharacter);
        assert_eq!(UserId::new("a\u{85}b").unwrap_err(), InvalidId::ControlCharacter);
        assert_eq!(UserId::new("x".repeat(1025)).unwrap_err(), InvalidId::TooLong);
        assert!(TenantId::new("x".repeat(1024)).is_ok());
        assert_eq!(TenantId::new("Zürich: 8/1 {x}").unwrap().as_str(), "Zürich: 8/1 {x}");
    }
}
