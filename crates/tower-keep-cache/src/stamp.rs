//! When something was stored, in purges, and what it can be purged by.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What entries are purged by: a name, known by 128 bits of its SHA-256, so that an entry's tags
/// are short whatever they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(u128);

impl Tag {
    /// The tag of this `name` among those of its `kind`: names of different kinds are different
    /// tags.
    pub fn new(kind: &str, name: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((kind.len() as u64).to_be_bytes());
        hash.update(kind);
        hash.update(name);
        let digest: [u8; 32] = hash.finalize().into();
        Self(u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default()))
    }

    /// It as bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The tag that has these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// The state of a tenant's purges at the moment when a fill began. What is purged later has a
/// higher version, or lies in another epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Which life of the tenant's generations: made anew, at random, whenever they are lost.
    pub epoch: u64,
    /// How many purges there had been.
    pub version: u64,
}
