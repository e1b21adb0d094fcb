//! One request's session: what its clones share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tower_keep_core::{
    Answer, ClientAddr, ErrorClass, StoreError, TenantId, UserId, Vault, VerifyUser,
    time::UnixMillis,
};

use crate::{
    busy::Busy,
    carried::Carried,
    carrier::Via,
    error::SessionError,
    lifetime::{Lifetimes, Touch},
    opened::Known,
    policy::{self, Plan},
    record::Record,
    settings::{OnStoreFailure, Settings},
    state::{Intent, Loaded, News, Seal, Seen, State},
    store::{Change, Place},
    token::{Opened, Token},
};

/// When the request was first looked at, and the token that it came with.
type Looked = (UnixMillis, Option<(Via, Arc<Known>)>);

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    pub(crate) tenant: TenantId,
    pub(crate) address: Option<ClientAddr>,
    pub(crate) carried: Carried,
    /// The token that the request came with, opened when somebody asks for it, and when that was.
    opened: OnceLock<Looked>,
    state: Mutex<Slot>,
    /// Held while the store is asked, so that it is asked once.
    pub(crate) busy: Busy,
    verified: OnceLock<UserId>,
    accessed: AtomicBool,
}

/// What a request has done, if it has done anything.
#[derive(Debug, Default)]
struct Slot {
    state: Option<State>,
    /// The answer has begun.
    answered: bool,
}

impl Inner {
    pub(crate) fn new(
        settings: Arc<Settings>,
        tenant: TenantId,
        address: Option<ClientAddr>,
        carried: Carried,
    ) -> Self {
        Self {
            settings,
            tenant,
            address,
            carried,
            opened: OnceLock::new(),
            state: Mutex::default(),
            busy: Busy::new(),
            verified: OnceLock::new(),
            accessed: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.settings.clock.now()
    }

    /// The token that the request came with: one of ours, whose time is not over.
    pub(crate) fn opened(&self) -> Option<&Opened> {
        self.came().map(|(_, opened)| &***opened)
    }

    /// Which way the next token goes to the client.
    pub(crate) fn way(&self) -> Via {
        let via = self.came().map(|(via, _)| *via);
        self.settings.carrier.answer(via, self.carried.dialect)
    }

    fn came(&self) -> Option<&(Via, Arc<Known>)> {
        self.first_look().1.as_ref()
    }

    fn first_look(&self) -> &Looked {
        let open = || {
            let Settings { ring, tokens, cookie, carrier, lifetimes, .. } = &*self.settings;
            // Times are compared that are seconds long at least.
            let (name, now) = (cookie.cookie_name(), self.settings.clock.lately());
            let came = self
                .carried
                .candidates(*carrier, name)
                .filter_map(|(via, text)| Some((via, tokens.open(text, ring, &self.tenant, name)?)))
                .find(|(_, opened)| !lifetimes.is_over(&opened.token, now));
            (now, came)
        };
        self.opened.get_or_init(open)
    }

    /// What the request has done so far.
    pub(crate) fn state(&self) -> StateGuard<'_> {
        let mut slot = self.slot();
        if slot.state.is_none() {
            let mut state = State::new(self.opened().map(|opened| opened.token.clone()));
            if slot.answered {
                state.sealed = Seal::Sealed;
            }
            slot.state = Some(state);
        }
        StateGuard(slot)
    }

    /// The answer begins. The state, unless there is nothing to be done with it.
    pub(crate) fn seal_state(&self) -> Option<StateGuard<'_>> {
        let mut slot = self.slot();
        slot.answered = true;
        if slot.state.is_some() {
            return Some(StateGuard(slot));
        }
        drop(slot);
        let touches = self.settings.lifetimes.touch == Touch::OnRequest;
        touches.then(|| self.state())
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the request has done so far, if it has done anything at all.
    pub(crate) fn begun(&self) -> Option<StateGuard<'_>> {
        let slot = self.slot();
        slot.state.is_some().then_some(StateGuard(slot))
    }

    /// The answer depends on the session from now on.
    pub(crate) fn access(&self) {
        self.accessed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_accessed(&self) -> bool {
        self.accessed.load(Ordering::Relaxed)
    }

    /// Whether a session that is used must be touched: by the time when the request was first
    /// looked at, so that the answer stays the same, and the clock need not be asked again.
    pub(crate) fn is_touch_due(&self, state: &State) -> bool {
        let lifetimes = &self.settings.lifetimes;
        let used = self.is_accessed() || lifetimes.touch == Touch::OnRequest;
        let due = |token| lifetimes.touch_due(token, self.first_look().0);
        used && !state.touched && state.token.as_ref().is_some_and(due)
    }

    /// Looks whether the session is there, unless that is known.
    pub(crate) async fn load(&self) -> Result<(), SessionError> {
        if self.state().loaded != Loaded::Unknown {
            return Ok(());
        }
        let _alone = self.busy.hold().await;
        self.load_alone().await
    }

    /// The same, for who holds `busy`.
    pub(crate) async fn load_alone(&self) -> Result<(), SessionError> {
        let (user, id, idle, touch) = {
            let state = self.state();
            let unknown = state.token.as_ref().filter(|_| state.loaded == Loaded::Unknown);
            let Some(token) = unknown else { return Ok(()) };
            (token.user.clone(), token.id.public(), token.idle, self.is_touch_due(&state))
        };
        let store = &self.settings.store;
        let place = Place::of(&self.tenant, user.as_ref(), id);
        let (found, touched) = if touch {
            match store.touch_and_load(place, self.settings.bounds(idle)).await {
                // A server that takes no writes now may still be read.
                Err(error) if error.class() == ErrorClass::Refused => {
                    (store.load(place).await, false)
                }
                found => (found, true),
            }
        } else {
            (store.load(place).await, false)
        };
        match found {
            Ok(record) => self.found(record, touched),
            Err(error) => self.lose(error)?,
        }
        Ok(())
    }

    fn found(&self, record: Option<Arc<Record>>, touched: bool) {
        let mut state = self.state();
        // What is not bound to this token is not its session.
        let bound = |record: &Arc<Record>| {
            state.token.as_ref().is_some_and(|token| token.origin == record.header.origin)
        };
        let Some(record) = record.filter(bound) else {
            state.loaded = Loaded::Absent;
            return;
        };
        let renew = self.opened().is_some_and(|opened| opened.renew);
        if let Some(token) = &mut state.token {
            token.idle = Duration::from_millis(record.header.idle_ms);
            if touched {
                token.touched = self.now();
            }
            if let Some(user) = &token.user {
                let _ = self.verified.set(user.clone());
            }
        }
        if touched || renew {
            state.news = state.news.max(News::Renewed);
        }
        state.touched |= touched;
        state.created = Some(record.header.created);
        state.loaded = Loaded::Here(record);
    }

    /// What a failed store means.
    pub(crate) fn lose(&self, error: StoreError) -> Result<(), SessionError> {
        match self.settings.on_store_failure {
            OnStoreFailure::Refuse => Err(error.into()),
            OnStoreFailure::Anonymous => {
                let mut state = self.state();
                state.loaded = Loaded::Absent;
                state.lost = Some(error);
                Ok(())
            }
        }
    }

    /// The value `name` in the clear, after looking if need be.
    pub(crate) async fn see(&self, name: &str) -> Result<Option<Bytes>, SessionError> {
        self.access();
        let mut seen = self.state().see(name);
        if seen == Seen::Unknown {
            let _alone = self.busy.hold().await;
            self.load_alone().await?;
            seen = self.state().see(name);
        }
        Ok(match seen {
            Seen::Own(value) => Some(value),
            Seen::Stored(value) => self.open(name, &value),
            Seen::Nothing | Seen::Unknown => None,
        })
    }

    /// What of the change makes a difference to the session as it is known.
    pub(crate) fn differences(&self, state: &State) -> Change {
        let mut change = state.change.clone();
        if let Loaded::Here(record) = &state.loaded {
            change.cleared &= !record.data.is_empty();
            if !change.cleared {
                change.set.retain(|name, value| self.is_new(state, record, name, value));
                change.removed.retain(|name| record.data.contains_key(name));
            }
        }
        change
    }

    /// Whether there are any.
    fn differs(&self, state: &State) -> bool {
        let change = &state.change;
        let Loaded::Here(record) = &state.loaded else { return !change.is_empty() };
        (change.cleared && !record.data.is_empty())
            || change.set.iter().any(|(name, value)| self.is_new(state, record, name, value))
            || change.removed.iter().any(|name| record.data.contains_key(name))
    }

    /// Whether the session has not this value under this name.
    fn is_new(&self, state: &State, record: &Record, name: &str, value: &Bytes) -> bool {
        let stored = record.data.get(name);
        stored.and_then(|stored| self.open_in(state, name, stored)).as_ref() != Some(value)
    }

    /// What is to be carried out.
    pub(crate) fn plan(&self, state: &State) -> Plan {
        policy::plan(state, self.differs(state), self.is_touch_due(state))
    }

    /// How many bytes sealing adds to a value.
    pub(crate) fn overhead(&self) -> usize {
        self.settings.vault.as_ref().map_or(0, Vault::overhead)
    }

    /// A stored value in the clear; `None` where it is not this session's.
    pub(crate) fn open(&self, name: &str, value: &Bytes) -> Option<Bytes> {
        if self.settings.vault.is_none() {
            return Some(value.clone());
        }
        self.open_in(&self.state(), name, value)
    }

    pub(crate) fn open_in(&self, state: &State, name: &str, value: &Bytes) -> Option<Bytes> {
        let Some(vault) = &self.settings.vault else { return Some(value.clone()) };
        let origin = state.token.as_ref()?.origin;
        let opened = vault.open(value, &sealed_for(&self.tenant, origin.0, name));
        if opened.is_none() {
            metrics::counter!("tower_keep_session_unopened_total").increment(1);
        }
        opened
    }

    /// The change as a store is to have it.
    pub(crate) fn seal(&self, mut change: Change, origin: [u8; 16]) -> Change {
        if let Some(vault) = &self.settings.vault {
            for (name, value) in &mut change.set {
                *value = vault.seal(value, &sealed_for(&self.tenant, origin, name));
            }
        }
        change
    }

    /// How long the session may lie unused, given what the program said of it.
    pub(crate) fn idle(&self, intent: &Intent, user: bool) -> Duration {
        let lifetimes = &self.settings.lifetimes;
        lifetimes.idle_for(user, intent.remember == Some(true), intent.idle)
    }

    /// How long the client is to keep its token.
    pub(crate) fn max_age(&self, state: &State, token: &Token) -> Option<Duration> {
        let absolute = self.settings.lifetimes.absolute_for(token.idle);
        let deadline = state.created.zip(absolute).map(|(created, life)| created.plus(life));
        Lifetimes::max_age(token.transient, token.idle, deadline, self.now())
    }
}

/// What binds a sealed value to its place: the tenant, the session's origin, the name.
fn sealed_for(tenant: &TenantId, origin: [u8; 16], name: &str) -> Vec<u8> {
    let (kind, tenant) = tenant.name().map_or((0, ""), |name| (1, name));
    let length = u32::try_from(tenant.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind][..], &length, tenant.as_bytes(), &origin, name.as_bytes()].concat()
}

impl VerifyUser for Inner {
    fn claimed_user(&self) -> Option<&UserId> {
        self.opened()?.token.user.as_ref()
    }

    fn verified_user(&self) -> Option<&UserId> {
        self.verified.get()
    }

    fn verify_user(self: Arc<Self>) -> Answer<Result<Option<UserId>, StoreError>> {
        if self.claimed_user().is_none() || self.verified.get().is_some() {
            return Answer::ready(Ok(self.verified.get().cloned()));
        }
        Answer::pending(async move {
            match self.load().await {
                Ok(()) => Ok(self.verified.get().cloned()),
                Err(SessionError::Store(error)) => Err(error),
                Err(other) => Err(StoreError::refused(other.to_string())),
            }
        })
    }

    fn is_personal(&self) -> bool {
        self.is_accessed() || self.verified.get().is_some()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The state, while nobody else has it.
pub(crate) struct StateGuard<'a>(MutexGuard<'a, Slot>);

impl std::ops::Deref for StateGuard<'_> {
    type Target = State;

    #[expect(clippy::expect_used, reason = "a guard is made only once there is a state")]
    fn deref(&self) -> &State {
        self.0.state.as_ref().expect("there is a state")
    }
}

impl std::ops::DerefMut for StateGuard<'_> {
    #[expect(clippy::expect_used, reason = "a guard is made only once there is a state")]
    fn deref_mut(&mut self) -> &mut State {
        self.0.state.as_mut().expect("there is a state")
    }
}
