//! What is kept, by name.

use std::{
    error::Error,
    fmt,
    hash::{Hash, Hasher},
};

use serde::Serialize;
use tower_keep_cache::{Name, Tag};
use tower_keep_core::TenantId;

use crate::canonical;

/// What the canonical bytes of queries begin with. Those of things with an id begin otherwise.
const QUERY: u8 = b'?';

/// What an entry is called, and what it can be invalidated by. The tenant is a part of it: no
/// tenant's key is another's.
///
/// Two keys are equal when they name the same entry; types and tags do not matter.
///
/// ```
/// use tower_keep_core::TenantId;
/// use tower_keep_query_cache::QueryKey;
///
/// let tenant = TenantId::new("acme")?;
/// let search = "select * from patients where name like ?1 limit 20 offset ?2";
/// let page = QueryKey::query(&tenant, search, &("smith%", 40))?.of_type("patient").tag("ward-3");
/// let other = QueryKey::query(&tenant, search, &("smith%", 60))?;
/// assert_ne!(page, other);
///
/// let patient = QueryKey::named(&tenant, "patient", 42);
/// assert_eq!(patient.spell(), "cache:acme:patient:42");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct QueryKey {
    name: Name,
    kind: Option<Tag>,
    tags: Vec<Tag>,
}

/// Parameters that serde cannot serialise, so that they tell no two queries apart.
#[derive(Debug)]
pub struct InvalidParameters(Box<str>);

impl QueryKey {
    /// The result of a query with its parameters: `query:{tenant}:{md5}`. The query is compared byte
    /// by byte, and so are the parameters as serde has them: what is left out and what is `None`,
    /// `None` and `Some(None)` are told apart, and numbers are compared whatever their width. No
    /// `HashMap`, whose order varies, should be among them.
    ///
    /// # Errors
    ///
    /// When the parameters cannot be serialised.
    pub fn query(
        tenant: &TenantId,
        query: &str,
        parameters: &(impl Serialize + ?Sized),
    ) -> Result<Self, InvalidParameters> {
        let mut canonical = Vec::with_capacity(query.len() + 64);
        canonical.push(QUERY);
        canonical.extend_from_slice(&(query.len() as u64).to_be_bytes());
        canonical.extend_from_slice(query.as_bytes());
        canonical::write(&mut canonical, parameters)?;
        Ok(Self { name: Name::query(tenant, canonical), kind: None, tags: Vec::new() })
    }

    /// Something of this type that has an id: `cache:{tenant}:{type}:{id}`. `http` is the type of
    /// responses, and should be nobody else's.
    pub fn named(tenant: &TenantId, kind: &str, id: impl fmt::Display) -> Self {
        let name = Name::named(tenant, kind, &id.to_string());
        Self { name, kind: None, tags: Vec::new() }
    }

    /// Lets the entry be invalidated by this type, beside that of its name. An entry that was kept
    /// without it is not found.
    #[must_use]
    pub fn of_type(self, kind: &str) -> Self {
        Self { kind: Some(Invalidate::Type(kind).as_tag()), ..self }
    }

    /// Lets the entry be invalidated by this tag. An entry that was kept without it is not found: all
    /// who ask for the same thing should name the same tags.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(Invalidate::Tag(tag).as_tag());
        self
    }

    /// The same by several.
    #[must_use]
    pub fn tags<'a>(self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        tags.into_iter().fold(self, Self::tag)
    }

    /// Whose it is.
    pub const fn tenant(&self) -> &TenantId {
        self.name.tenant()
    }

    /// Its id, if it was [named](Self::named).
    pub fn id(&self) -> Option<&str> {
        self.name.kind_and_id().map(|(_, id)| id)
    }

    /// Its key on a server.
    pub fn spell(&self) -> String {
        self.name.key(crate::kept::KIND)
    }

    /// With a hash of its own choosing: for tests of what happens when two queries have one.
    #[doc(hidden)]
    #[must_use]
    pub fn with_digest(self, digest: [u8; 16]) -> Self {
        Self { name: self.name.with_digest(digest), ..self }
    }

    pub(crate) const fn name(&self) -> &Name {
        &self.name
    }

    /// All that it can be invalidated by.
    pub(crate) fn all_tags(&self) -> Box<[Tag]> {
        let named = self.name.kind_and_id().map(|(kind, _)| Invalidate::Type(kind).as_tag());
        let own = Invalidate::Key(self).as_tag();
        let mut tags: Vec<Tag> =
            named.into_iter().chain([own]).chain(self.chosen_tags().copied()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags.into()
    }

    /// Whether an entry of this name, which has these tags, can be invalidated by all that this key can
    /// be.
    #[inline]
    pub(crate) fn is_covered_by(&self, tags: &[Tag]) -> bool {
        // What follows from the name all of them have.
        self.chosen_tags().all(|tag| tags.binary_search(tag).is_ok())
    }

    fn chosen_tags(&self) -> impl Iterator<Item = &Tag> {
        self.kind.iter().chain(&self.tags)
    }
}

impl PartialEq for QueryKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for QueryKey {}

impl Hash for QueryKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Without the query and its parameters: they may be secret.
impl fmt::Debug for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryKey").field("tenant", self.tenant()).finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a query's parameters cannot be serialised: {}", self.0)
    }
}

impl Error for InvalidParameters {}

impl serde::ser::Error for InvalidParameters {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string().into())
    }
}

/// What of a tenant's entries is to be invalidated.
#[derive(Clone, Copy, Debug)]
pub enum Invalidate<'a> {
    /// One entry.
    Key(&'a QueryKey),
    /// All that have this [tag](QueryKey::tag).
    Tag(&'a str),
    /// All that are of this type, by their [name](QueryKey::named) or [otherwise](QueryKey::of_type).
    Type(&'a str),
    /// All that the tenant has; in a store that processes share also what other caches have there,
    /// responses too.
    Everything,
}

impl Invalidate<'_> {
    /// The tag that stands for it.
    pub(crate) fn as_tag(self) -> Tag {
        match self {
            Self::Key(key) => Tag::new("query-key", key.name().as_bytes()),
            Self::Tag(tag) => Tag::new("query-tag", tag.as_bytes()),
            Self::Type(kind) => Tag::new("query-type", kind.as_bytes()),
            // Not asked for: what is everything needs none.
            Self::Everything => Tag::new("query-everything", b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn acme() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    #[test]
    fn queries_are_told_apart_by_tenant_text_and_parameters() {
        let (acme, globex) = (acme(), TenantId::new("globex").unwrap());
        let key = |tenant, query, id: u32| QueryKey::query(tenant, query, &id).unwrap();
        let keys = [
            key(&acme, "q", 1),
            key(&acme, "q", 2),
            key(&acme, "p", 1),
            key(&globex, "q", 1),
            QueryKey::query(&acme, "q", "1").unwrap(),
            QueryKey::query(&acme, "q", &(1, 1)).unwrap(),
            QueryKey::query(&acme, "q", &None::<Option<u32>>).unwrap(),
            QueryKey::query(&acme, "q", &Some(None::<u32>)).unwrap(),
            QueryKey::named(&acme, "q", 1),
        ];
        for (number, one) in keys.iter().enumerate() {
            for other in &keys[..number] {
                assert_ne!(one, other);
                assert_ne!(one.spell(), other.spell());
            }
        }
        assert_eq!(keys[0], key(&acme, "q", 1).of_type("x").tag("y"));
        assert!(keys[0].spell().starts_with("query:acme:"));
        // What is no text does not become text, nor a name.
        let odd = QueryKey::query(&acme, "kind", &35_u8).unwrap();
        assert_eq!((odd.id(), keys[8].id()), (None, Some("1")));
    }

    #[test]
    fn what_cannot_be_serialised_is_no_key() {
        struct Never;
        impl Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("never"))
            }
        }
        let error = QueryKey::query(&acme(), "q", &Never).unwrap_err();
        assert!(error.to_string().contains("never"));
        assert!(QueryKey::query(&acme(), "q", &HashMap::from([(1, 2)])).is_ok());
    }

    #[test]
    fn its_tags_are_those_that_it_is_invalidated_by() {
        let key = QueryKey::named(&acme(), "patient", 1).of_type("person").tags(["a", "b", "a"]);
        let tags = key.all_tags();
        assert_eq!(tags.len(), 5);
        for what in [
            Invalidate::Key(&key),
            Invalidate::Tag("a"),
            Invalidate::Tag("b"),
            Invalidate::Type("patient"),
            Invalidate::Type("person"),
        ] {
            assert!(tags.contains(&what.as_tag()), "{what:?}");
        }
        for what in [Invalidate::Tag("patient"), Invalidate::Type("a"), Invalidate::Everything] {
            assert!(!tags.contains(&what.as_tag()), "{what:?}");
        }
    }
}
