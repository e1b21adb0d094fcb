//! A session as a store keeps it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tower_keep_core::time::{UnixMillis, millis};

use crate::{id::Origin, store::MOVED_FOR};

/// The longest name of a value, in bytes.
pub const MAX_NAME: usize = 128;

/// What a session holds: values by name. Each value is opaque here: encoded, and sealed where that
/// is wanted, by whoever put it in.
pub type Data = BTreeMap<Box<str>, Bytes>;

/// What a store knows of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How often it was written; 1 when it was made.
    pub version: u64,
    /// When it was made; for a user's, when they logged in. Stays through rotation.
    pub created: UnixMillis,
    /// When it ends unless it is used.
    pub expires: UnixMillis,
    /// When it was used last, as far as the store was told.
    pub seen: UnixMillis,
    /// How long it may lie unused, in milliseconds.
    pub idle_ms: u64,
    /// What its values are bound to.
    pub origin: Origin,
}

impl Header {
    /// Whether it is of a session of this origin, which was used a moment ago.
    pub(crate) fn goes_on(&self, origin: Origin, now: UnixMillis) -> bool {
        let unused = now.0.saturating_sub(self.seen.0);
        self.origin == origin && self.expires > now && unused < millis(MOVED_FOR)
    }
}

/// A session as it was when a store was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the store knows of it.
    pub header: Header,
    /// What it holds.
    pub data: Data,
}
