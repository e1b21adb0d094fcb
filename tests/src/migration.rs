//! Moving a slot of a [`Cluster`] in steps.

use std::io;

use crate::Cluster;

/// How long one key may take.
const MOVE_MS: &str = "10000";

/// A slot on its way from one node to another; [`Cluster::begin_migration`] makes one.
///
/// While it is, the old owner serves the keys it still has and answers `ASK` for all others, and
/// the new owner serves them to who says `ASKING`. Dropping it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a migration that is begun is to be finished"]
pub struct Migration {
    /// The slot.
    pub slot: i64,
    /// The index of the node that gives it away.
    pub from: usize,
    /// The index of the node that gets it.
    pub to: usize,
}

impl Cluster {
    /// Moves a slot with all its keys.
    pub async fn migrate_slot(&self, slot: i64, to: usize) -> io::Result<()> {
        let migration = self.begin_migration(slot, to).await?;
        self.move_keys(migration).await?;
        self.finish_migration(migration).await
    }

    /// Begins to move a slot from the node that holds it: from here on its keys can be moved.
    pub async fn begin_migration(&self, slot: i64, to: usize) -> io::Result<Migration> {
        let from = self.owner_of_slot(slot).await?;
        if from == to {
            return Err(io::Error::other(format!("node {to} holds slot {slot} already")));
        }
        let migration = Migration { slot, from, to };
        // In this order: the new owner must know when the old one begins to send clients over.
        self.set_slot(migration, to, "IMPORTING", from).await?;
        self.set_slot(migration, from, "MIGRATING", to).await?;
        Ok(migration)
    }

    /// Moves one key of the slot; `false` if the old owner does not have it (any more).
    pub async fn move_key(&self, migration: Migration, key: &str) -> io::Result<bool> {
        let target = &self.nodes()[migration.to];
        let port = target.port().to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, key, "0", MOVE_MS];
        command.extend(target.password().map(|password| ["AUTH", password]).iter().flatten());
        let answer = self.nodes()[migration.from].command(&command).await?.ok()?;
        Ok(answer.text() != "NOKEY")
    }

    /// Moves the keys that the old owner still has; answers how many there were.
    pub async fn move_keys(&self, migration: Migration) -> io::Result<usize> {
        let slot = migration.slot.to_string();
        let mut moved = 0;
        loop {
            let command = ["CLUSTER", "GETKEYSINSLOT", &slot, "100"];
            let keys = self.nodes()[migration.from].command(&command).await?.ok()?;
            if keys.array().is_empty() {
                return Ok(moved);
            }
            for key in keys.array() {
                moved += usize::from(self.move_key(migration, &key.text()).await?);
            }
        }
    }

    /// Gives the slot to its new owner and tells every node that runs. The keys must have been
    /// moved: a node deletes what it has in a slot that it loses.
    pub async fn finish_migration(&self, migration: Migration) -> io::Result<()> {
        let Migration { slot, from, to } = migration;
        if self.nodes()[from].pid().is_some() {
            let command = ["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()];
            let left = self.nodes()[from].command(&command).await?.ok()?.int();
            if left > 0 {
                return Err(io::Error::other(format!("{left} keys of slot {slot} are not moved")));
            }
        }
        // The new owner first: were it lost in between, the old one would still hold the slot.
        let others = (0..self.nodes().len()).filter(|node| ![from, to].contains(node));
        for node in [to, from].into_iter().chain(others) {
            if self.nodes()[node].pid().is_some() {
                self.set_slot(migration, node, "NODE", to).await?;
            }
        }
        Ok(())
    }

    /// `CLUSTER SETSLOT` on one node, about another.
    async fn set_slot(
        &self,
        migration: Migration,
        told: usize,
        state: &str,
        about: usize,
    ) -> io::Result<()> {
        let (slot, id) = (migration.slot.to_string(), self.node_id(about).await?);
        let command = ["CLUSTER", "SETSLOT", &slot, state, &id];
        self.nodes()[told].command(&command).await?.ok().map(drop)
    }
}
