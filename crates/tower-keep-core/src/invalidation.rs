//! What of the caches is no longer so: what processes tell each other of it.

use sha2::{Digest as _, Sha256};

use crate::{TenantId, key::GenerationsKey};

/// Something cached was purged or removed.
///
/// It names nobody: tenants, tags and entries are told by hashes.
///
/// ```
/// use tower_keep_core::{Invalidated, Invalidation, TenantId};
///
/// let acme = TenantId::new("acme")?;
/// let what = Invalidated::Tags { soft: false, tags: vec![[7; 16]], epoch: 5, version: 1 };
/// let purged = Invalidation::new(&acme, what);
/// assert_eq!(Invalidation::decode(&purged.encode()), Some(purged));
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Whose caches: [`tenant_hash`](Self::tenant_hash).
    pub tenant: [u8; 16],
    /// What of them.
    pub what: Invalidated,
}

/// What of a tenant's caches was purged or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidated {
    /// Everything was purged, by the purge that has this number in this epoch of the tenant's
    /// generations.
    Everything {
        /// It is only stale.
        soft: bool,
        /// Which life of the generations.
        epoch: u64,
        /// Which purge.
        version: u64,
    },
    /// What has one of these tags was purged.
    Tags {
        /// It is only stale.
        soft: bool,
        /// The tags, at least one.
        tags: Vec<[u8; 16]>,
        /// Which life of the generations.
        epoch: u64,
        /// Which purge.
        version: u64,
    },
    /// One entry was removed: [`entry_hash`](Invalidation::entry_hash).
    Entry([u8; 16]),
}

impl Invalidation {
    /// Of this tenant's caches, this.
    pub fn new(tenant: &TenantId, what: Invalidated) -> Self {
        Self { tenant: Self::tenant_hash(tenant), what }
    }

    /// What stands for a tenant.
    pub fn tenant_hash(tenant: &TenantId) -> [u8; 16] {
        Self::entry_hash(&GenerationsKey { tenant }.spell())
    }

    /// What stands for the entry that is kept under `key`.
    pub fn entry_hash(key: &str) -> [u8; 16] {
        let digest: [u8; 32] = Sha256::digest(key).into();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// As a message on the bus, of the kind [`BUS_CACHES`](crate::key::BUS_CACHES). A purge ends
    /// with its epoch and version, 8 bytes each and big-endian, so that a script can put them there.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = self.tenant.to_vec();
        match &self.what {
            Invalidated::Everything { soft, epoch, version } => {
                message.push(if *soft { b'E' } else { b'e' });
                push_stamp(&mut message, *epoch, *version);
            }
            Invalidated::Tags { soft, tags, epoch, version } => {
                message.push(if *soft { b'T' } else { b't' });
                message.extend(tags.iter().flatten());
                push_stamp(&mut message, *epoch, *version);
            }
            Invalidated::Entry(entry) => {
                message.push(b'r');
                message.extend_from_slice(entry);
            }
        }
        message
    }

    /// What a message says; `None` if it is none.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (&tenant, rest) = message.split_first_chunk::<16>()?;
        let (&letter, rest) = rest.split_first()?;
        if letter == b'r' {
            return Some(Self { tenant, what: Invalidated::Entry(rest.try_into().ok()?) });
        }
        let (rest, &version) = rest.split_last_chunk::<8>()?;
        let (rest, &epoch) = rest.split_last_chunk::<8>()?;
        let (epoch, version) = (u64::from_be_bytes(epoch), u64::from_be_bytes(version));
        let (tags, odd) = rest.as_chunks::<16>();
        let soft = letter.is_ascii_uppercase();
        let what = match (letter, tags, odd) {
            (b'e' | b'E', [], []) => Invalidated::Everything { soft, epoch, version },
            (b't' | b'T', [_, ..], []) => {
                Invalidated::Tags { soft, tags: tags.to_vec(), epoch, version }
            }
            _ => return None,
        };
        Some(Self { tenant, what })
    }
}

fn push_stamp(message: &mut Vec<u8>, epoch: u64, version: u64) {
    message.extend_from_slice(&epoch.to_be_bytes());
    message.extend_from_slice(&version.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_and_nothing_else_is_taken() {
        for what in [
            Invalidated::Everything { soft: false, epoch: u64::MAX, version: 1 },
            Invalidated::Everything { soft: true, epoch: 1, version: u64::MAX },
            Invalidated::Tags { soft: false, tags: vec![[1; 16]], epoch: 2, version: 3 },
            Invalidated::Tags { soft: true, tags: vec![[1; 16], [2; 16]], epoch: 2, version: 3 },
            Invalidated::Entry([9; 16]),
        ] {
            let sent = Invalidation::new(&TenantId::NONE, what);
            let message = sent.encode();
            assert_eq!(Invalidation::decode(&message).as_ref(), Some(&sent));
            for end in 0..message.len() {
                let cut = Invalidation::decode(&message[..end]);
                // A tag less is another message of the same kind.
                let shorter =
                    matches!(&cut, Some(cut) if matches!(cut.what, Invalidated::Tags { .. }));
                assert!(cut.is_none() || shorter, "{sent:?} cut at {end}");
            }
            assert_eq!(Invalidation::decode(&[&message[..], b"x"].concat()), None);
        }
        assert_eq!(Invalidation::decode(&[b'z'; 33]), None);
    }

    #[test]
    fn no_two_tenants_are_told_alike() {
        let hash = |name| Invalidation::tenant_hash(&TenantId::new(name).unwrap());
        assert_ne!(hash("acme"), hash("globex"));
        assert_ne!(hash("~none"), Invalidation::tenant_hash(&TenantId::NONE));
    }
}
