//! Changes that depend on what is there: saved at once, and only if it is still so.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tower_keep_core::StoreError;

use super::Session;
use crate::{
    error::SessionError,
    record::Data,
    running::Running,
    state::{Loaded, State},
    store::{Change, Saved},
    value,
};

/// How often others may be faster. Each time one of them has got its change through.
const TRIES: usize = 1000;

/// Which values a change depends on.
#[derive(Clone, Copy)]
pub(crate) enum Names<'a> {
    /// This one.
    One(&'a str),
    /// All whose names begin so, of those that the store has and this request has not changed.
    Stored(&'a str),
    /// All whose names begin so, of those that this request has set.
    Own(&'a str),
}

impl Names<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Stored(beginning) | Self::Own(beginning) => name.starts_with(beginning),
        }
    }
}

/// What the session has of them.
enum View {
    /// As the store has them. They can be changed at once.
    Stored { raw: BTreeMap<Box<str>, Option<Bytes>>, plain: Data },
    /// As this request has them: they are saved with all else.
    Own(Data),
    /// What this request has is being saved now: they are known when that is done.
    Saving,
}

impl Session {
    /// Changes the value `name` by what it is. It is saved at once, and only if nobody else has
    /// changed it meanwhile; else `change` is asked again with what it has become. So a hundred
    /// requests that count one up at the same time count a hundred.
    ///
    /// In a session that is not saved yet, it is saved with it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`set`](Self::set); [`SessionError::Gone`] when the session has
    /// ended meanwhile; [`SessionError::Contended`] when others were faster a thousand times.
    pub async fn update<T, F>(&self, name: &str, mut change: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        value::check_name(name)?;
        self.depending(Names::One(name), |values| {
            let before = values.get(name).map(|value| value::decode(name, value)).transpose()?;
            let after = change(before);
            let set = Data::from([(name.into(), value::encode(&after)?)]);
            Ok((Change { set, ..Change::default() }, after))
        })
        .await
    }

    /// Takes the value `name` out: it is removed at once, and of several requests that take it at
    /// the same time one gets it.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update). A value of another type stays where it is.
    pub async fn take<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        value::check_name(name)?;
        let taken = self
            .depending(Names::One(name), |values| {
                let taken = values.get(name).map(|value| value::decode(name, value)).transpose()?;
                Ok((removing(values), taken))
            })
            .await;
        match taken {
            // With the session, all that it held.
            Err(SessionError::Gone) => Ok(None),
            other => other,
        }
    }

    /// Makes a change that depends on these values.
    pub(crate) async fn depending<R>(
        &self,
        names: Names<'_>,
        mut decide: impl FnMut(&Data) -> Result<(Change, R), SessionError>,
    ) -> Result<R, SessionError> {
        self.inner.access();
        for _ in 0..TRIES {
            self.inner.load().await?;
            let view = self.view(&self.inner.state(), names);
            let (raw, plain) = match view {
                View::Saving => {
                    drop(self.inner.busy.hold().await);
                    continue;
                }
                View::Own(values) => {
                    let (change, result) = decide(&values)?;
                    if self.change_own(names, &values, change)? {
                        return Ok(result);
                    }
                    continue;
                }
                View::Stored { raw, plain } => (raw, plain),
            };
            let (mut change, result) = decide(&plain)?;
            change.set.retain(|name, value| plain.get(name) != Some(value));
            change.removed.retain(|name| plain.contains_key(name));
            if change.set.is_empty() && change.removed.is_empty() {
                return Ok(result);
            }
            match self.save_if(change, raw).await? {
                Tried::Done => return Ok(result),
                Tried::Again => {}
                Tried::Gone => return Err(SessionError::Gone),
            }
        }
        Err(SessionError::Contended)
    }

    fn view(&self, state: &State, names: Names<'_>) -> View {
        if state.saving.is_some() {
            return View::Saving;
        }
        let touched =
            |name: &str| state.change.set.contains_key(name) || state.change.removed.contains(name);
        let (is_own, has_own) = match names {
            Names::One(name) => (touched(name), true),
            Names::Stored(_) => (false, false),
            Names::Own(_) => (true, true),
        };
        let is_wanted = |name: &str| match names {
            Names::One(one) => one == name,
            Names::Stored(_) => names.has(name) && !touched(name),
            Names::Own(_) => false,
        };
        let stored = state.kept().map(|record| {
            let of_names = record.data.iter().filter(|(name, _)| is_wanted(name));
            of_names.map(|(name, value)| (name.clone(), value.clone())).collect::<Data>()
        });
        let open = |data: &Data| -> Data {
            let opened = data.iter().filter_map(|(name, value)| {
                Some((name.clone(), self.inner.open_in(state, name, value)?))
            });
            opened.collect()
        };
        match stored {
            Some(raw) if !is_own => {
                let plain = open(&raw);
                let mut raw: BTreeMap<_, _> =
                    raw.into_iter().map(|(name, value)| (name, Some(value))).collect();
                if let Names::One(name) = names {
                    raw.entry(name.into()).or_insert(None);
                }
                View::Stored { raw, plain }
            }
            stored => {
                let mut values = stored.as_ref().map(open).unwrap_or_default();
                values.retain(|name, _| !state.change.removed.contains(name));
                let set = state.change.set.iter();
                let own = set.filter(|(name, _)| has_own && names.has(name));
                values.extend(own.map(|(name, value)| (name.clone(), value.clone())));
                View::Own(values)
            }
        }
    }

    /// Changes what this request has, if that is as it was seen.
    fn change_own(
        &self,
        names: Names<'_>,
        seen: &Data,
        change: Change,
    ) -> Result<bool, SessionError> {
        let limit = self.inner.settings.max_bytes;
        let mut state = self.inner.state();
        if !matches!(self.view(&state, names), View::Own(now) if now == *seen) {
            return Ok(false);
        }
        for name in change.removed {
            state.remove(&name)?;
        }
        for (name, value) in change.set {
            state.set(&name, value, limit, self.inner.overhead())?;
        }
        Ok(true)
    }

    async fn save_if(
        &self,
        change: Change,
        expect: BTreeMap<Box<str>, Option<Bytes>>,
    ) -> Result<Tried, SessionError> {
        let inner = Arc::clone(&self.inner);
        let id = self.id();
        let saving = async move {
            let _alone = inner.busy.hold().await;
            let token = inner.state().token.clone();
            // It has got another id meanwhile: what is there is looked at anew.
            let Some(token) = token.filter(|token| Some(token.id.public()) == id) else {
                return Ok(Tried::Again);
            };
            let saved = inner.write_in_place(&token, change, &expect, None).await?;
            Ok(match saved {
                Saved::Done(header) => {
                    inner.used(header);
                    Tried::Done
                }
                Saved::Conflict(record) => {
                    inner.state().loaded = Loaded::Here(record);
                    Tried::Again
                }
                _ => {
                    inner.state().is_gone();
                    Tried::Gone
                }
            })
        };
        let ended = || StoreError::unknown("the runtime has ended").into();
        Running::new(saving).await.unwrap_or_else(|| Err(ended()))
    }
}

/// What came of one try.
enum Tried {
    Done,
    /// Others were faster.
    Again,
    Gone,
}

/// The change that takes all of these out.
pub(crate) fn removing(values: &Data) -> Change {
    Change { removed: values.keys().cloned().collect(), ..Change::default() }
}
