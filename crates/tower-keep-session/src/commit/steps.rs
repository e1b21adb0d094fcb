//! What is done to a session that is there.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tower_keep_core::{ErrorClass, time::millis};

use super::{Committed, Work};
use crate::{
    apply,
    error::SessionError,
    id::SessionId,
    inner::Inner,
    record::Header,
    state::{Drawn, Loaded, News, State},
    store::{Change, How, Save, Saved},
    token::Token,
};

impl Inner {
    pub(super) async fn touch(&self, work: &Work) -> Result<Committed, SessionError> {
        let Some(token) = &work.token else { return Ok(Committed::Nothing) };
        let bounds = self.settings.bounds(token.idle);
        match self.settings.store.touch(token.place(&self.tenant), bounds).await {
            Ok(Some(header)) => {
                self.used(header);
                Ok(Committed::Touched)
            }
            Ok(None) => Ok(Committed::Gone),
            // Nothing is lost by it but a little of the session's time.
            Err(_) => Ok(Committed::Nothing),
        }
    }

    pub(super) async fn write(&self, work: Work) -> Result<Committed, SessionError> {
        let Some(token) = &work.token else { return Ok(Committed::Nothing) };
        let change = work.differences.clone();
        match self.write_in_place(token, change, &BTreeMap::new(), work.idle).await? {
            Saved::Done(header) => {
                let lives = token.idle;
                if let Some(remember) = work.intent.remember {
                    let mut state = self.state();
                    if let Some(token) = &mut state.token {
                        token.transient = !remember;
                    }
                    state.news = state.news.max(News::Kept);
                }
                self.used(header);
                if work.idle.is_some_and(|idle| idle != lives) {
                    let mut state = self.state();
                    state.news = state.news.max(News::Kept);
                }
                Ok(Committed::Written)
            }
            // Nobody had looked, and nobody was logged in: what a visitor chooses is kept in a new
            // session. A user's is not brought back, and what was written for them is not shown to
            // whoever comes after.
            Saved::Gone if token.user.is_none() && work.loaded == Loaded::Unknown && work.tells => {
                let set = !work.change.set.is_empty();
                if set { self.create(&work, None, false, false).await } else { Ok(Committed::Gone) }
            }
            _ => Ok(Committed::Gone),
        }
    }

    /// Changes what is there, if that is as expected. Whoever calls it holds `busy`.
    pub(crate) async fn write_in_place(
        &self,
        token: &Token,
        change: Change,
        expect: &BTreeMap<Box<str>, Option<Bytes>>,
        idle: Option<Duration>,
    ) -> Result<Saved, SessionError> {
        let change = self.seal(change, token.origin.0);
        let save = Save {
            place: token.place(&self.tenant),
            how: How::Write,
            change: &change,
            expect,
            idle_ms: idle.map(millis),
            bounds: self.settings.bounds(idle.unwrap_or(token.idle)),
        };
        let saved = self.save(save).await?;
        if let Saved::Done(header) = saved {
            self.apply(&change, header);
        }
        Ok(saved)
    }

    pub(super) async fn rotate(&self, work: Work, login: bool) -> Result<Committed, SessionError> {
        let Some(old) = &work.token else { return Ok(Committed::Nothing) };
        let change = self.seal(work.differences.clone(), old.origin.0);
        let idle = work.idle.unwrap_or(old.idle);
        let from = old.id.public();
        // The same once more, if it was tried before.
        let drawn = self.state().drawn.take_if(|drawn| drawn.from == from);
        let tried = drawn.is_some();
        let id = drawn.map_or_else(SessionId::random, |drawn| drawn.token.id);
        let mut token = Token { id, ..self.token(&work, old.user.clone(), old.origin, idle) };
        let save = Save {
            place: token.place(&self.tenant),
            how: How::Rotate { from, anew: login },
            change: &change,
            expect: &BTreeMap::new(),
            idle_ms: work.idle.map(millis),
            bounds: self.settings.bounds(idle),
        };
        let header = match self.rename(save, &token).await {
            Ok(header) => header,
            Err(error) => {
                if tried || is_unknown(&error) {
                    self.state().drawn = Some(Drawn { token, from });
                }
                return Err(error);
            }
        };
        match header {
            Some(header) => {
                self.apply(&change, header);
                token.idle = Duration::from_millis(header.idle_ms);
                let mut state = self.state();
                state.token = Some(token);
                state.created = Some(header.created);
                state.news = News::Token;
                state.touched = true;
                Ok(Committed::Written)
            }
            // Who logs in is somebody, whatever became of the session they had.
            None if login => self.create(&work, old.user.clone(), false, false).await,
            None => Ok(Committed::Gone),
        }
    }

    /// Gives a session the id of this token. If it is not known whether it was done, it is looked for:
    /// then the old id is nobody's, and the client must have the new one.
    async fn rename(&self, save: Save<'_>, token: &Token) -> Result<Option<Header>, SessionError> {
        match self.save(save).await {
            Ok(Saved::Done(header)) => Ok(Some(header)),
            // An attempt whose answer was lost has done it.
            Ok(Saved::Exists) => self.look(token).await,
            Ok(_) => Ok(None),
            Err(error) if is_unknown(&error) => match self.look(token).await {
                Ok(Some(header)) => Ok(Some(header)),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Whether the session of this token is there, and is its own.
    async fn look(&self, token: &Token) -> Result<Option<Header>, SessionError> {
        let found = self.settings.store.load(token.place(&self.tenant)).await?;
        let own = found.filter(|record| record.header.origin == token.origin);
        Ok(own.map(|record| record.header))
    }

    /// The store has noted that the session is used: the client is told so by a new token, if that
    /// is due.
    pub(crate) fn used(&self, header: Header) {
        let now = self.now();
        let by_older = self.opened().is_some_and(|opened| opened.renew);
        let mut state = self.state();
        state.created = Some(header.created);
        state.touched = true;
        let Some(token) = &mut state.token else { return };
        let idle = Duration::from_millis(header.idle_ms);
        if by_older || token.idle != idle || self.settings.lifetimes.is_stale(token, now) {
            token.idle = idle;
            token.touched = now;
            state.news = state.news.max(News::Renewed);
        }
    }

    /// The store has taken this change of what it had.
    fn apply(&self, change: &Change, header: Header) {
        let mut state = self.state();
        let State { loaded: Loaded::Here(record), .. } = &mut *state else { return };
        let record = std::sync::Arc::make_mut(record);
        record.header = header;
        apply::change(&mut record.data, change);
    }

    pub(super) async fn save(&self, save: Save<'_>) -> Result<Saved, SessionError> {
        let limit = save.bounds.bytes;
        match self.settings.store.save(save).await? {
            Saved::TooLarge => Err(SessionError::TooLarge { limit }),
            saved => Ok(saved),
        }
    }
}

/// Whether what failed may have been done, or be done yet.
pub(super) fn is_unknown(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(error) if error.class() == ErrorClass::Unknown)
}
