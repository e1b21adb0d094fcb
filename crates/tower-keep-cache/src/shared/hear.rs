//! What is heard of other processes.

use tower_keep_core::{Invalidated, Invalidation};

use super::Shared;
use crate::{
    copies::Purged,
    stamp::{Stamp, Tag},
    store::Listener,
    value::Value,
};

pub(super) type Ear<V> = Shared<V>;

impl<V: Value> Listener for Shared<V> {
    fn message(&self, payload: &[u8]) {
        let Some(Invalidation { tenant, what }) = Invalidation::decode(payload) else {
            // A later version's: something is no longer so.
            return self.gap();
        };
        let tick = self.copies.tick();
        let (soft, tags, epoch, version) = match what {
            Invalidated::Entry(hash) => return self.removed.note(hash, tick, self.clock.now()),
            Invalidated::Everything { soft, epoch, version } => (soft, None, epoch, version),
            Invalidated::Tags { soft, tags, epoch, version } => {
                let tags: Vec<Tag> = tags.into_iter().map(Tag::from_bytes).collect();
                (soft, Some(tags), epoch, version)
            }
        };
        if let Some(copy) = self.copies.named(&tenant) {
            let stamp = Stamp { epoch, version };
            copy.hear(Purged { stamp, tags: tags.as_deref(), soft }, tick);
        }
    }

    fn gap(&self) {
        self.copies.gap();
        if let Some(near) = &self.near {
            near.clear();
        }
    }
}
