//! Carries out what the policy decided, once, whoever asks for it.

use std::{sync::Arc, time::Duration};

use tower_keep_core::StoreError;

use crate::{
    error::SessionError,
    inner::Inner,
    policy::{Plan, Step},
    retry::Amends,
    settings::OnStoreFailure,
    state::{Drawn, Intent, Loaded, News},
    store::{Change, Moved, Place},
    token::Token,
};

mod make;
mod steps;

/// How often a session is followed that is given one new id after the other.
const TRIES: usize = 3;

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// There was nothing to do.
    Nothing,
    /// The session was touched.
    Touched,
    /// It was changed, or given another id.
    Written,
    /// One was made.
    Created,
    /// It was ended.
    Ended,
    /// It had ended meanwhile, and was left so.
    Gone,
}

/// What is taken out of the state to be carried out.
struct Work {
    plan: Plan,
    token: Option<Token>,
    loaded: Loaded,
    /// All that was changed, and what of it makes a difference to what is there.
    change: Change,
    differences: Change,
    intent: Intent,
    /// How long the session may lie unused from now on; as it was if `None`.
    idle: Option<Duration>,
    /// Whether the client can still be told of a token.
    tells: bool,
}

impl Inner {
    /// Carries out what is due. If the store fails, it is due still. `tells` says whether the
    /// client can be told of a token: the answer has not begun.
    pub(crate) async fn commit(self: Arc<Self>, tells: bool) -> Result<Committed, SessionError> {
        let _alone = self.busy.hold().await;
        let Some(work) = self.take_work(tells)? else { return Ok(Committed::Nothing) };
        let (change, intent) = (work.change.clone(), work.intent.clone());
        let done = self.carry_out(work).await;
        let mut state = self.state();
        state.saving = None;
        state.failed = matches!(&done, Err(SessionError::Store(_)));
        match &done {
            Ok(Committed::Gone) => state.is_gone(),
            Err(SessionError::Store(_)) => state.restore(change, intent),
            _ => {}
        }
        done
    }

    fn take_work(&self, tells: bool) -> Result<Option<Work>, SessionError> {
        let mut state = self.state();
        let plan = self.plan(&state);
        let differences = self.differences(&state);
        let change = std::mem::take(&mut state.change);
        let intent = std::mem::take(&mut state.intent);
        if let Some(lost) = state.lost.clone() {
            return self.without_store(&mut state, &plan, &intent, lost.into());
        }
        if !plan.removes && plan.step == Step::None {
            return Ok(None);
        }
        let makes = matches!(plan.step, Step::Create { .. } | Step::Rotate { .. });
        if makes && !tells {
            return Err(SessionError::Gone);
        }
        state.saving = Some(change.clone());
        let had = state.token.as_ref().and_then(|token| token.user.as_ref());
        let is_users = match &plan.step {
            Step::Create { user, .. } => user.is_some(),
            _ => had.is_some(),
        };
        let own = intent.idle.is_some() || intent.remember.is_some();
        // A visitor's session that is given another id stays as it was made.
        let login = match &plan.step {
            Step::Create { user, carries } => user.is_some() || !carries,
            step => *step == Step::Rotate { login: true },
        };
        let idle = (own || login).then(|| self.idle(&intent, is_users));
        let (token, loaded) = (state.token.clone(), state.loaded.clone());
        Ok(Some(Work { plan, token, loaded, change, differences, intent, idle, tells }))
    }

    /// What there is to do where the program wants to go on without a store: nothing can be saved,
    /// and who logs out is to be gone all the same.
    fn without_store(
        &self,
        state: &mut crate::state::State,
        plan: &Plan,
        intent: &Intent,
        lost: SessionError,
    ) -> Result<Option<Work>, SessionError> {
        if intent.ends {
            if let Some(old) = state.token.take() {
                self.remove_later(old);
                state.news = News::Ended;
            }
            return Ok(None);
        }
        if plan.removes || plan.step != Step::None { Err(lost) } else { Ok(None) }
    }

    async fn carry_out(&self, work: Work) -> Result<Committed, SessionError> {
        match work.plan.step.clone() {
            Step::None => self.end(&work).await,
            Step::Touch => self.touch(&work).await,
            Step::Write => self.write(work).await,
            Step::Rotate { login } => self.rotate(work, login).await,
            Step::Create { user, carries } => {
                let ended = work.intent.ends && self.remove_old(&work).await?;
                self.create(&work, user, carries, ended).await
            }
        }
    }

    async fn end(&self, work: &Work) -> Result<Committed, SessionError> {
        let removed = self.remove_old(work).await;
        // Where the program goes on without a store it is ended later, and the client's token now.
        if self.settings.on_store_failure == OnStoreFailure::Refuse {
            removed?;
        }
        let mut state = self.state();
        state.token = None;
        state.loaded = Loaded::Absent;
        state.news = News::Ended;
        Ok(Committed::Ended)
    }

    /// Ends the session that the client has, and says whether it was there. What cannot be done now
    /// is tried later.
    async fn remove_old(&self, work: &Work) -> Result<bool, SessionError> {
        if !work.intent.ends {
            return Ok(self.move_old(work, None).await? == Moved::Done);
        }
        let Some(old) = work.token.as_ref().filter(|_| work.plan.removes) else { return Ok(false) };
        let mut removed = self.settings.store.remove(old.place(&self.tenant)).await;
        if matches!(removed, Ok(false)) {
            removed = self.remove_renamed(old).await;
        }
        if removed.is_err() {
            self.remove_later(old.clone());
        }
        removed.map_err(SessionError::from)
    }

    /// The same because the client has another one now; if it is still of this version, where one
    /// is given.
    async fn move_old(&self, work: &Work, version: Option<u64>) -> Result<Moved, SessionError> {
        let Some(old) = work.token.as_ref().filter(|_| work.plan.removes) else {
            return Ok(Moved::Gone);
        };
        let moved = self.settings.store.move_away(old.place(&self.tenant), version).await;
        if moved.is_err() {
            self.remove_later(old.clone());
        }
        moved.map_err(SessionError::from)
    }

    /// A session that was logged out while another request gave it a new id ends under that id: it
    /// is known by its origin. One without a user has gone to a key that nobody here knows.
    async fn remove_renamed(&self, old: &Token) -> Result<bool, StoreError> {
        let place = old.place(&self.tenant);
        for _ in 0..TRIES {
            let all = match &old.user {
                Some(_) => self.settings.store.list(place.key).await?,
                None => return Ok(false),
            };
            let renamed = all.into_iter().find(|(_, record)| record.header.origin == old.origin);
            let Some((id, _)) = renamed else { return Ok(false) };
            if self.settings.store.remove(Place { id, ..place }).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the session of this token when the store can.
    fn remove_later(&self, token: Token) {
        self.amend_later(token, Amends::Remove);
    }

    fn amend_later(&self, token: Token, amends: Amends) {
        self.settings.amendments.add(&self.settings.store, &self.tenant, token, amends);
    }
}

impl Drop for Inner {
    /// A rotation may have been carried out whose id no client was told: nobody may have it. The
    /// old id is good again, if the client still has that.
    fn drop(&mut self) {
        let Some(mut state) = self.begun() else { return };
        let Some(Drawn { token, from }) = state.drawn.take() else { return };
        let has_old = state.token.as_ref().is_some_and(|token| token.id.public() == from);
        drop(state);
        let bounds = self.settings.bounds(token.idle);
        let amends = if has_old { Amends::Undo { to: from, bounds } } else { Amends::Remove };
        self.amend_later(token, amends);
    }
}
