//! How a session is made, and takes another's place.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tower_keep_core::{Admitted, StoreError, UserId, time::millis};

use super::{Committed, Work, steps::is_unknown};
use crate::{
    error::SessionError,
    id::{Origin, SessionId},
    inner::Inner,
    record::{Data, Header, Record},
    state::{Loaded, News},
    store::{Change, How, Moved, Save, Saved},
    token::Token,
};

/// How often a new id is tried; that one is taken happens never.
const TRIES: usize = 3;
/// How often others are followed who write to a session while it moves.
const FOLLOWS: usize = 100;

impl Inner {
    /// Makes a session, and ends the one that it takes the place of; `ended` says that one was ended
    /// already.
    pub(super) async fn create(
        &self,
        work: &Work,
        user: Option<UserId>,
        carries: bool,
        ended: bool,
    ) -> Result<Committed, SessionError> {
        let before = if carries { self.carried(work).await? } else { None };
        // Of one that was not there any more nothing takes the place.
        let replaces = ended || before.is_some();
        let origin = match (&before, &work.token) {
            (Some(_), Some(old)) => old.origin,
            _ => Origin::random(),
        };
        let set = Change { set: work.change.set.clone(), ..Change::default() };
        let mut change = self.seal(set, origin.0);
        // Of a visitor the same session goes on; who logs in begins one.
        let goes_on = before.as_ref().map(|record| record.header).filter(|_| user.is_none());
        let before = before.filter(|_| !work.change.cleared);
        for (name, value) in before.iter().flat_map(|record| &record.data) {
            if !work.change.removed.contains(name) {
                change.set.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        if user.is_none() && change.set.is_empty() && !work.intent.exists {
            return Ok(Committed::Gone);
        }
        if user.is_none() && !replaces {
            if self.has_another(work).await? {
                return Ok(Committed::Gone);
            }
            self.admit().await?;
        }
        let made = self.make(work, user, origin, goes_on, &change).await?;
        let Some((token, header)) = made else { return Ok(Committed::Gone) };
        // One that was logged out is ended already.
        let left = if work.intent.ends { Ok(true) } else { self.leave(work, &token, before).await };
        let as_made = match left {
            Ok(as_made) => as_made,
            Err(error) => {
                // The client never hears of the new one, so nobody may have it.
                self.remove_later(token);
                return Err(error);
            }
        };
        let made = Loaded::Here(Arc::new(Record { header, data: change.set }));
        let mut state = self.state();
        state.token = Some(token);
        state.created = Some(header.created);
        state.loaded = if as_made { made } else { Loaded::Unknown };
        state.news = News::Token;
        state.touched = true;
        Ok(Committed::Created)
    }

    /// Makes a session; nothing, if it is to go on for another whose time is over.
    async fn make(
        &self,
        work: &Work,
        user: Option<UserId>,
        origin: Origin,
        goes_on: Option<Header>,
        change: &Change,
    ) -> Result<Option<(Token, Header)>, SessionError> {
        let before = goes_on.map(|header| Duration::from_millis(header.idle_ms));
        let idle = work.idle.or(before);
        let idle = idle.unwrap_or_else(|| self.idle(&work.intent, user.is_some()));
        let how = match goes_on {
            Some(Header { created, .. }) => How::Continue { origin, created },
            None => How::Create(origin),
        };
        for _ in 0..TRIES {
            let token = self.token(work, user.clone(), origin, idle);
            let save = Save {
                place: token.place(&self.tenant),
                how,
                change,
                expect: &BTreeMap::new(),
                idle_ms: Some(millis(idle)),
                bounds: self.settings.bounds(idle),
            };
            match self.save(save).await {
                Ok(Saved::Done(header)) => return Ok(Some((token, header))),
                Ok(Saved::Gone) => return Ok(None),
                Ok(_) => {}
                Err(error) => {
                    // It may have been made all the same.
                    if is_unknown(&error) {
                        self.remove_later(token);
                    }
                    return Err(error);
                }
            }
        }
        Err(StoreError::refused("no id was free for a session").into())
    }

    /// A token for a session of these.
    pub(super) fn token(
        &self,
        work: &Work,
        user: Option<UserId>,
        origin: Origin,
        idle: Duration,
    ) -> Token {
        let before = work.token.as_ref().map(|token| token.transient);
        let transient = match work.intent.remember {
            Some(remember) => !remember,
            None => before.unwrap_or(self.settings.transient),
        };
        Token { id: SessionId::random(), origin, user, touched: self.now(), idle, transient }
    }

    /// The old session as it is now, if it is there: with what others have written meanwhile too.
    async fn carried(&self, work: &Work) -> Result<Option<Arc<Record>>, SessionError> {
        let Some(old) = &work.token else { return Ok(None) };
        let found = self.settings.store.load(old.place(&self.tenant)).await?;
        Ok(found.filter(|record| record.header.origin == old.origin))
    }

    /// Ends the old session. What others have written to it since it was carried over goes to the new
    /// one, of this token, first. Whether there was nothing.
    async fn leave(
        &self,
        work: &Work,
        token: &Token,
        carried: Option<Arc<Record>>,
    ) -> Result<bool, SessionError> {
        let mut as_made = true;
        if let Some(mut seen) = carried {
            for _ in 0..FOLLOWS {
                let version = Some(seen.header.version);
                let Moved::Changed(now) = self.move_old(work, version).await? else {
                    return Ok(as_made);
                };
                as_made = false;
                self.follow(work, token, &seen.data, &now.data).await?;
                seen = now;
            }
            // What was acknowledged to others is not lost.
            return Err(StoreError::refused("a session was written to each time it moved").into());
        }
        self.remove_old(work).await?;
        Ok(as_made)
    }

    /// Does to the session of this token what others have done to the old one, but for what the
    /// request itself has changed.
    async fn follow(
        &self,
        work: &Work,
        token: &Token,
        before: &Data,
        after: &Data,
    ) -> Result<(), SessionError> {
        let is_free =
            |name: &str| !work.change.set.contains_key(name) && !work.change.removed.contains(name);
        let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let change = Change {
            cleared: false,
            set: set
                .filter(|(name, _)| is_free(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            removed: gone.filter(|name| is_free(name)).cloned().collect(),
        };
        if change.is_empty() {
            return Ok(());
        }
        let save = Save {
            place: token.place(&self.tenant),
            how: How::Write,
            // Sealed already, for the same origin.
            change: &change,
            expect: &BTreeMap::new(),
            idle_ms: None,
            bounds: self.settings.bounds(token.idle),
        };
        self.save(save).await.map(drop)
    }

    /// Whether the client was given another session a moment ago, by a request that has overtaken
    /// this one: its cookie must not be replaced. Who asks for a form's token, or has logged out
    /// first, means to have a new one.
    async fn has_another(&self, work: &Work) -> Result<bool, SessionError> {
        match &work.token {
            Some(old) if !work.intent.ends && !work.intent.exists => {
                let place = old.place(&self.tenant);
                Ok(self.settings.store.has_moved(place, old.origin).await?)
            }
            _ => Ok(false),
        }
    }

    /// Whether the client may have one more session.
    async fn admit(&self) -> Result<(), SessionError> {
        let Some(admission) = &self.settings.admission else { return Ok(()) };
        match admission.admit(&self.tenant, self.address).await? {
            Admitted::Yes => Ok(()),
            Admitted::No { retry_after } => Err(SessionError::TooMany { retry_after }),
        }
    }
}
