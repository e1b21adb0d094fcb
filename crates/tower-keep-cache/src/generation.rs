//! What of a tenant's caches was purged, and what that says about an entry.

use std::fmt;

use hashbrown::HashMap;

use crate::stamp::{Stamp, Tag};

/// How many purges of single tags are known one by one, hard and soft ones together. When there
/// are more, the older half is forgotten, and all that is older than those counts as purged.
pub(crate) const MAX_MARKS: usize = 1000;

/// What is to be purged.
///
/// ```
/// use tower_keep_cache::{Purge, Tag};
///
/// let items = Purge::tags([Tag::new("group", b"items")]);
/// let refreshed = Purge::everything().soft();
/// assert!(!items.is_soft() && refreshed.is_soft());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// `None` for everything.
    tags: Option<Vec<Tag>>,
    soft: bool,
}

impl Purge {
    /// All that the tenant has.
    pub const fn everything() -> Self {
        Self { tags: None, soft: false }
    }

    /// What has any of these tags. Without a tag that is nothing.
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        Self { tags: Some(tags), soft: false }
    }

    /// What it purges may still be used where stale may be used: it counts as no longer fresh.
    #[must_use]
    pub fn soft(self) -> Self {
        Self { soft: true, ..self }
    }

    /// Whether what it purges is only stale.
    pub const fn is_soft(&self) -> bool {
        self.soft
    }

    /// The tags that it names, each once; `None` for everything.
    pub(crate) fn named(&self) -> Option<&[Tag]> {
        self.tags.as_deref()
    }
}

/// What a tenant's purges say about something stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validity {
    /// Nothing: it is as it was.
    Valid,
    /// It was purged softly: it may be used where stale may be used.
    Stale,
    /// It was purged, and must not be used.
    Gone,
}

/// The purges of one tag: the version of the last of each kind, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) hard: u64,
    pub(crate) soft: u64,
}

/// The state of a tenant's purges at one moment.
///
/// A fill begins with its [`stamp`](Self::stamp), which is stored with what was made; whoever
/// reads that later has it [judged](Self::judge) by the state of then.
#[derive(Clone, PartialEq, Eq)]
pub struct Generations {
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    /// What is older was purged.
    pub(crate) floor: u64,
    /// What is older was purged softly.
    pub(crate) soft: u64,
    pub(crate) tags: HashMap<Tag, Marks, std::hash::RandomState>,
}

impl Generations {
    /// Of a tenant of whom nothing was purged yet, in the life that is called `epoch`.
    #[doc(hidden)]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, version: 0, floor: 0, soft: 0, tags: HashMap::default() }
    }

    /// What a fill that begins now is to be stored with.
    pub const fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, version: self.version }
    }

    /// What became of something since: its stamp, and all tags that it can be purged by.
    pub fn judge(&self, stamp: Stamp, tags: impl IntoIterator<Item = Tag>) -> Validity {
        if stamp.epoch != self.epoch || stamp.version < self.floor {
            return Validity::Gone;
        }
        let mut validity =
            if stamp.version < self.soft { Validity::Stale } else { Validity::Valid };
        if self.tags.is_empty() {
            return validity;
        }
        for tag in tags {
            match self.tags.get(&tag) {
                Some(marks) if stamp.version < marks.hard => return Validity::Gone,
                Some(marks) if stamp.version < marks.soft => validity = Validity::Stale,
                _ => {}
            }
        }
        validity
    }

    /// After one more purge, of these tags or (`None`) of everything. It is the twin of
    /// `purge.lua`.
    #[doc(hidden)]
    #[must_use]
    pub fn purged(&self, tags: Option<&[Tag]>, soft: bool) -> Self {
        let version = self.version + 1;
        let mut after = Self { version, ..self.clone() };
        match tags {
            None if soft => after.soft = version,
            None => {
                after.floor = version;
                after.tags.clear();
            }
            Some(tags) => {
                for tag in tags {
                    let marks = after.tags.entry(*tag).or_default();
                    *if soft { &mut marks.soft } else { &mut marks.hard } = version;
                }
                after.prune();
            }
        }
        after
    }

    /// Forgets the older half of the marks if there are too many.
    fn prune(&mut self) {
        let mut versions: Vec<u64> = self.versions().collect();
        if versions.len() <= MAX_MARKS {
            return;
        }
        versions.sort_unstable();
        let Some(&last) = versions.get(versions.len() / 2 - 1) else { return };
        // Those of one purge go together.
        self.floor = self.floor.max(last);
        let floor = self.floor;
        self.tags.retain(|_, marks| {
            for mark in [&mut marks.hard, &mut marks.soft] {
                if *mark <= floor {
                    *mark = 0;
                }
            }
            *marks != Marks::default()
        });
    }

    fn versions(&self) -> impl Iterator<Item = u64> {
        self.tags.values().flat_map(|marks| [marks.hard, marks.soft]).filter(|mark| *mark > 0)
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generations")
            .field("stamp", &self.stamp())
            .field("tags", &self.tags.len())
            .finish_non_exhaustive()
    }
}
