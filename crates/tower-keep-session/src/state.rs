//! What a request has done to its session so far. Knows no store and no time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tower_keep_core::{StoreError, UserId, time::UnixMillis};

use crate::{
    apply,
    error::SessionError,
    id::PublicId,
    record::{Data, Record},
    store::Change,
    token::Token,
};

/// Whether the session was looked at in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// It is not there.
    Absent,
    /// It was so.
    Here(Arc<Record>),
}

/// What is to become of the session as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intent {
    /// The one that the request came with ends, and nothing of it goes on.
    pub(crate) ends: bool,
    /// It gets a new id.
    pub(crate) renews: bool,
    /// It becomes this user's.
    pub(crate) user: Option<UserId>,
    /// It is to exist even if it holds nothing.
    pub(crate) exists: bool,
    /// How long it may lie unused.
    pub(crate) idle: Option<Duration>,
    /// Whether the client is to keep its token when it ends its own session.
    pub(crate) remember: Option<bool>,
}

impl Intent {
    /// Whether it is about more than values: such a thing is done whatever the handler answers.
    pub(crate) const fn moves(&self) -> bool {
        self.ends || self.renews || self.user.is_some()
    }

    /// What comes out of `older`, which was not carried out, followed by this.
    fn after(self, older: Self) -> Self {
        Self {
            ends: older.ends,
            renews: self.renews || older.renews,
            user: self.user.or(older.user),
            exists: self.exists || older.exists,
            idle: self.idle.or(older.idle),
            remember: self.remember.or(older.remember),
        }
    }
}

/// One request's session.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What the client has, or will have with the answer. `None`: nothing.
    pub(crate) token: Option<Token>,
    pub(crate) loaded: Loaded,
    /// Values in the clear; they are sealed when they are saved.
    pub(crate) change: Change,
    pub(crate) intent: Intent,
    /// What is being saved now: no part of `change` any more, and not of `loaded` yet.
    pub(crate) saving: Option<Change>,
    /// A rotation that was tried, whose outcome is not known.
    pub(crate) drawn: Option<Drawn>,
    /// What is to be done could not be, when it was tried last.
    pub(crate) failed: bool,
    /// What the client must be told.
    pub(crate) news: News,
    /// Whether the store knows that the session is used.
    pub(crate) touched: bool,
    /// When the session was made, once the store has told.
    pub(crate) created: Option<UnixMillis>,
    /// The failure of the store that was taken for an absent session.
    pub(crate) lost: Option<StoreError>,
    /// The answer has begun.
    pub(crate) sealed: Seal,
}

/// A rotation whose outcome is not known.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// What the session may be called now.
    pub(crate) token: Token,
    /// What it was called, and may be still.
    pub(crate) from: PublicId,
}

/// What the client must be told with the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// Nothing.
    #[default]
    None,
    /// Its token, which is that of a session that it has already.
    Renewed,
    /// The same, and the program has said for how long it is to be kept.
    Kept,
    /// Its token, without which it has nothing: of a session that was made, or has another id.
    Token,
    /// That it has none any more.
    Ended,
}

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seal {
    /// The answer has not begun.
    #[default]
    Open,
    /// It has.
    Sealed,
    /// It has, and the program promised to commit by itself.
    Unsealed,
}

/// A value as the request sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Set in this request: in the clear.
    Own(Bytes),
    /// As it is in the store: perhaps sealed.
    Stored(Bytes),
    /// There is none.
    Nothing,
    /// Nobody has looked yet.
    Unknown,
}

impl State {
    /// The state of a request that came with this token, or without.
    pub(crate) fn new(token: Option<Token>) -> Self {
        let loaded = if token.is_some() { Loaded::Unknown } else { Loaded::Absent };
        Self { token, loaded, ..Self::default() }
    }

    /// The value `name`.
    pub(crate) fn see(&self, name: &str) -> Seen {
        for change in [Some(&self.change), self.saving.as_ref()].into_iter().flatten() {
            if let Some(value) = change.set.get(name) {
                return Seen::Own(value.clone());
            }
            if change.cleared || change.removed.contains(name) {
                return Seen::Nothing;
            }
        }
        match &self.loaded {
            _ if self.leaves() => Seen::Nothing,
            Loaded::Unknown => Seen::Unknown,
            Loaded::Absent => Seen::Nothing,
            Loaded::Here(record) => {
                record.data.get(name).cloned().map_or(Seen::Nothing, Seen::Stored)
            }
        }
    }

    /// Whether nothing of what the session held goes on: it ends, or becomes another user's.
    fn leaves(&self) -> bool {
        let had = self.token.as_ref().and_then(|token| token.user.as_ref());
        let other =
            self.intent.user.as_ref().is_some_and(|user| had.is_some_and(|had| had != user));
        self.intent.ends || other
    }

    /// What of the stored session goes on in what this request leaves.
    pub(crate) fn kept(&self) -> Option<&Arc<Record>> {
        match &self.loaded {
            Loaded::Here(record) if !self.change.cleared && !self.leaves() => Some(record),
            _ => None,
        }
    }

    /// How many bytes it would hold, as far as that is known, if what is set takes `more` each.
    fn size(&self, more: usize) -> u64 {
        let nothing = Data::new();
        let kept = self.kept().map_or(&nothing, |record| &record.data);
        let sealing = (more * self.change.set.len()) as u64;
        apply::size_after(kept, &self.change) + sealing
    }

    /// Sets a value, which takes `more` bytes when it is sealed.
    pub(crate) fn set(
        &mut self,
        name: &str,
        value: Bytes,
        limit: u64,
        more: usize,
    ) -> Result<(), SessionError> {
        self.check_open()?;
        let before = self.change.set.insert(name.into(), value);
        let was_removed = self.change.removed.remove(name);
        if self.size(more) > limit {
            match before {
                Some(value) => self.change.set.insert(name.into(), value),
                None => self.change.set.remove(name),
            };
            if was_removed {
                self.change.removed.insert(name.into());
            }
            return Err(SessionError::TooLarge { limit });
        }
        Ok(())
    }

    /// Removes a value.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), SessionError> {
        self.check_open()?;
        self.change.set.remove(name);
        self.change.removed.insert(name.into());
        Ok(())
    }

    /// Removes all values.
    pub(crate) fn clear(&mut self) -> Result<(), SessionError> {
        self.check_open()?;
        self.change = Change { cleared: true, ..Change::default() };
        Ok(())
    }

    /// Ends the session; what is set afterwards is a new one's.
    ///
    /// For this it is never too late: the client need not be told.
    pub(crate) fn end(&mut self) {
        self.change = Change::default();
        self.intent = Intent { ends: true, ..Intent::default() };
    }

    /// Takes back what could not be carried out. What was done meanwhile comes after it; who has
    /// logged out meanwhile wants nothing of it.
    pub(crate) fn restore(&mut self, change: Change, intent: Intent) {
        if !self.intent.ends {
            self.change = std::mem::take(&mut self.change).after(change);
            self.intent = std::mem::take(&mut self.intent).after(intent);
        }
    }

    /// There is no session any more: nobody is told of the token that was good a moment ago.
    pub(crate) fn is_gone(&mut self) {
        self.loaded = Loaded::Absent;
        self.news = News::None;
    }

    /// Changes the session as a whole, where the client can still be told.
    pub(crate) fn intend(&mut self, change: impl FnOnce(&mut Intent)) -> Result<(), SessionError> {
        if self.sealed != Seal::Open {
            return Err(SessionError::Sealed);
        }
        change(&mut self.intent);
        Ok(())
    }

    /// Whether anything may be changed.
    pub(crate) const fn check_open(&self) -> Result<(), SessionError> {
        match self.sealed {
            Seal::Open | Seal::Unsealed => Ok(()),
            Seal::Sealed => Err(SessionError::Sealed),
        }
    }
}

impl Change {
    /// Whether nothing is to become of anything.
    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.set.is_empty() && self.removed.is_empty()
    }

    /// What comes out of `older` followed by this.
    pub(crate) fn after(mut self, older: Self) -> Self {
        if self.cleared {
            return self;
        }
        let Self { cleared, set, removed } = older;
        for (name, value) in set {
            if !self.removed.contains(&name) {
                self.set.entry(name).or_insert(value);
            }
        }
        for name in removed {
            if !self.set.contains_key(&name) {
                self.removed.insert(name);
            }
        }
        self.cleared = cleared;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn data() -> impl Strategy<Value = Data> {
        let value = prop::collection::vec(any::<u8>(), 0..3).prop_map(Bytes::from);
        prop::collection::btree_map("[a-d]".prop_map(Into::into), value, 0..4)
    }

    fn change() -> impl Strategy<Value = Change> {
        let removed = prop::collection::btree_set("[a-d]".prop_map(Into::into), 0..4);
        (any::<bool>(), data(), removed).prop_map(|(cleared, set, removed)| {
            let removed: BTreeSet<Box<str>> = removed;
            let removed = removed.into_iter().filter(|name| !set.contains_key(name)).collect();
            Change { cleared, set, removed }
        })
    }

    proptest! {
        #[test]
        fn two_changes_make_one(before in data(), first in change(), second in change()) {
            let mut one_by_one = before.clone();
            apply::change(&mut one_by_one, &first);
            apply::change(&mut one_by_one, &second);
            let both = second.after(first);
            prop_assert!(both.removed.iter().all(|name| !both.set.contains_key(name)));
            let mut at_once = before;
            apply::change(&mut at_once, &both);
            prop_assert_eq!(at_once, one_by_one);
        }
    }

    #[test]
    fn what_would_be_too_much_leaves_all_as_it_was() {
        let mut state = State::new(None);
        let bytes = |length| Bytes::from(vec![0; length]);
        state.set("a", bytes(5), 10, 0).unwrap();
        assert!(state.set("a", bytes(20), 10, 0).is_err());
        assert!(state.set("b", bytes(2), 10, 4).is_err(), "what sealing adds counts too");
        assert_eq!(state.see("a"), Seen::Own(bytes(5)));
        state.loaded = Loaded::Unknown;
        state.remove("b").unwrap();
        assert!(state.set("b", bytes(20), 10, 0).is_err());
        assert_eq!(state.see("b"), Seen::Nothing, "it is still to be removed");
        assert!(state.change.removed.contains("b"));
    }

    #[test]
    fn what_ends_takes_everything_along() {
        let mut state = State::new(None);
        state.set("a", Bytes::new(), 10, 0).unwrap();
        state.intend(|intent| intent.user = Some(UserId::new("u").unwrap())).unwrap();
        state.end();
        assert_eq!((state.change.is_empty(), &state.intent.user), (true, &None));
        state.restore(Change::default(), Intent { renews: true, ..Intent::default() });
        assert!(!state.intent.renews, "what failed is not wanted any more");
        state.sealed = Seal::Unsealed;
        assert!(state.intend(|_| ()).is_err());
        assert!(state.check_open().is_ok());
    }
}
