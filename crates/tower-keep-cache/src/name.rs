//! What an entry is called.

use std::{
    fmt,
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use tower_keep_core::{
    TenantId,
    key::{AiKey, CacheKey, NamedKey, QueryKey},
};

/// What an entry is called: its tenant, and all that tells it from the tenant's other entries.
/// Cheap to clone.
///
/// The whole of it is compared, in memory as in what is stored; a hash only says where to look.
///
/// ```
/// use tower_keep_cache::Name;
/// use tower_keep_core::TenantId;
///
/// let (acme, globex) = (TenantId::new("acme")?, TenantId::new("globex")?);
/// let name = Name::new(&acme, "GET /items");
/// assert_eq!(name.key("http"), "cache:acme:http:e87b2e0e8e32a3aa8c3389a647cc8807");
/// assert_ne!(name, Name::new(&globex, "GET /items"));
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone)]
pub struct Name {
    tenant: TenantId,
    /// The tenant's length and name, then the canonical bytes.
    identity: Arc<[u8]>,
    /// Where to look in memory, by a key that differs in each process.
    hash: u64,
    spelling: Spelling,
    /// Instead of the MD5, in tests.
    digest: Option<[u8; 16]>,
}

/// What the canonical bytes of things with an id begin with.
const NAMED: u8 = b'#';

/// How its key is made. What is not in here is in the identity.
#[derive(Clone, Debug)]
enum Spelling {
    /// `cache:{tenant}:{kind}:{hash}`, whose kind is the cache's.
    Hashed,
    /// `query:{tenant}:{hash}`.
    Query,
    /// `ai:{tenant}:{model}:{hash}`.
    Ai { model: Arc<str> },
    /// `cache:{tenant}:{kind}:{id}`; how long the kind is, which the canonical bytes begin with
    /// after [`NAMED`], and the id is the rest of them.
    Named { kind: usize },
}

impl Name {
    /// The entry of this tenant that is told from its others by these bytes. Its key is
    /// `cache:{tenant}:{kind}:{hash}`.
    pub fn new(tenant: &TenantId, canonical: impl AsRef<[u8]>) -> Self {
        Self::spelled(tenant, canonical.as_ref(), Spelling::Hashed)
    }

    /// The same for the result of a query, whose key is `query:{tenant}:{hash}`.
    pub fn query(tenant: &TenantId, canonical: impl AsRef<[u8]>) -> Self {
        Self::spelled(tenant, canonical.as_ref(), Spelling::Query)
    }

    /// The same for an answer of a language model, whose key is `ai:{tenant}:{model}:{hash}`.
    pub fn ai(tenant: &TenantId, model: &str, canonical: impl AsRef<[u8]>) -> Self {
        Self::spelled(tenant, canonical.as_ref(), Spelling::Ai { model: model.into() })
    }

    /// Something of this kind that has an id. Its key is `cache:{tenant}:{kind}:{id}`.
    pub fn named(tenant: &TenantId, kind: &str, id: &str) -> Self {
        let length = (kind.len() as u64).to_be_bytes();
        let canonical = [&[NAMED][..], kind.as_bytes(), id.as_bytes(), &length].concat();
        Self::spelled(tenant, &canonical, Spelling::Named { kind: kind.len() })
    }

    fn spelled(tenant: &TenantId, canonical: &[u8], spelling: Spelling) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        // No name is empty, so a length of 0 is only the tenant that has none.
        let tenant_name = tenant.name().unwrap_or_default().as_bytes();
        let length = (tenant_name.len() as u64).to_be_bytes();
        let identity = joined([&length, tenant_name, canonical]);
        let hash = HASHER.hash_one(&*identity);
        Self { tenant: tenant.clone(), identity, hash, spelling, digest: None }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// All that tells it from others, its tenant included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.identity
    }

    /// The key that an entry has on a server, in a cache of values of this `kind`: by the MD5 of the
    /// canonical bytes, unless it has an id.
    pub fn key(&self, kind: &str) -> String {
        let tenant = &self.tenant;
        let hash = || self.digest.unwrap_or_else(|| Md5::digest(self.canonical()).into());
        match &self.spelling {
            Spelling::Hashed => CacheKey { tenant, kind, hash: hash() }.spell(),
            Spelling::Query => QueryKey { tenant, hash: hash() }.spell(),
            Spelling::Ai { model } => AiKey { tenant, model, hash: hash() }.spell(),
            Spelling::Named { kind } => {
                let (kind, id) = self.parts(*kind).unwrap_or_default();
                NamedKey { tenant, kind, id }.spell()
            }
        }
    }

    /// The same, with a key of its own choosing: for tests of what happens when two names have one.
    #[doc(hidden)]
    #[must_use]
    pub fn with_digest(self, digest: [u8; 16]) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// What is stored with the entry, and compared when it is read.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.identity).into()
    }

    pub(crate) fn identity_len(&self) -> usize {
        self.identity.len()
    }

    /// The kind, which is so long, and the id of what has them.
    fn parts(&self, kind: usize) -> Option<(&str, &str)> {
        let text = self.canonical().get(1..)?;
        let (text, _length) = text.split_at_checked(text.len().checked_sub(8)?)?;
        str::from_utf8(text).ok()?.split_at_checked(kind)
    }

    /// The kind and the id, of what has them.
    pub fn kind_and_id(&self) -> Option<(&str, &str)> {
        match self.spelling {
            Spelling::Named { kind } => self.parts(kind),
            _ => None,
        }
    }

    fn canonical(&self) -> &[u8] {
        let tenant = self.tenant.name().unwrap_or_default();
        self.identity.get(8 + tenant.len()..).unwrap_or_default()
    }
}

/// All of them in one allocation, as long as they are not unusually long together.
fn joined(parts: [&[u8]; 3]) -> Arc<[u8]> {
    let mut short = [0; 512];
    let mut rest = short.as_mut_slice();
    for part in parts {
        let Some((here, after)) = rest.split_at_mut_checked(part.len()) else {
            return parts.concat().into();
        };
        here.copy_from_slice(part);
        rest = after;
    }
    let left = rest.len();
    let used = short.len() - left;
    short.get(..used).unwrap_or_default().into()
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.identity == other.identity
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_its_parts_are_they_are_joined() {
        for length in [0, 1, 499, 500, 501, 512, 513, 5000] {
            let (tenant, canonical) = (vec![b't'; 12], vec![b'c'; length]);
            let whole = [tenant.as_slice(), &canonical, b"x"].concat();
            assert_eq!(*joined([&tenant, &canonical, b"x"]), *whole, "{length}");
        }
    }

    #[test]
    fn each_is_spelled_in_its_own_way() {
        let acme = TenantId::new("acme").unwrap();
        let hash = "0cc175b9c0f1b6a831c399e269772661";
        assert_eq!(Name::new(&acme, "a").key("x"), format!("cache:acme:x:{hash}"));
        assert_eq!(Name::query(&acme, "a").key("x"), format!("query:acme:{hash}"));
        assert_eq!(Name::ai(&acme, "m:1", "a").key("x"), format!("ai:acme:m%3A1:{hash}"));
        assert_eq!(Name::named(&acme, "user", "4 2").key("x"), "cache:acme:user:4%202");
        assert_eq!(Name::named(&acme, "", "").key("x"), "cache:acme::");
        assert_eq!(Name::named(&acme, "ü", "é").kind_and_id(), Some(("ü", "é")));
        assert_ne!(Name::named(&acme, "ab", "c"), Name::named(&acme, "a", "bc"));
        assert_eq!(Name::new(&acme, "a").kind_and_id(), None);
        let none = TenantId::NONE;
        assert_eq!(Name::query(&none, "a").key("x"), format!("query:~none:{hash}"));
        let chosen = Name::query(&acme, "a").with_digest([0xff; 16]);
        assert_eq!(chosen.key("x"), format!("query:acme:{}", "f".repeat(32)));
    }
}
