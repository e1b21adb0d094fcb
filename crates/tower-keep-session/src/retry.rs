//! What could not be done about sessions: those that should be gone are removed, and those that may
//! have got an id that nobody was told get their old one back. It is tried again, for a while.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::sleep};
use tower_keep_core::{ErrorClass, StoreError, TenantId};

use crate::{
    id::PublicId,
    store::{Bounds, Change, How, Place, Save, Saved, SessionStore},
    token::Token,
};

/// How many may wait; further ones take the place of those that have waited longest, whose life
/// ends them.
const MOST: usize = 1024;
/// Between two attempts at first, doubled up to the last.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(30);
/// How often one is tried. A try that was never sent is none: an outage may last, and the store is
/// asked nothing meanwhile.
const TRIES: u32 = 20;

/// What is to become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amends {
    /// It ends.
    Remove,
    /// It gets back the id that it had, which its client still has.
    Undo {
        /// That id.
        to: PublicId,
        /// What holds of it.
        bounds: Bounds,
    },
}

/// Amends sessions in the background. The session's own life is the backstop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Amendments(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Amendment>,
    /// Who works on it, until there is nothing left or the runtime ends.
    worker: Option<AbortHandle>,
    /// Whether it was said that some are lost.
    warned: bool,
}

#[derive(Clone, Debug)]
struct Amendment {
    tenant: TenantId,
    token: Token,
    amends: Amends,
    tries: u32,
}

impl Amendment {
    async fn carry_out(&self, store: &dyn SessionStore) -> Result<(), StoreError> {
        let place = self.token.place(&self.tenant);
        if let Amends::Undo { to, bounds } = self.amends {
            let (change, expect) = (Change::default(), BTreeMap::new());
            let save = Save {
                place: Place { id: to, ..place },
                how: How::Rotate { from: place.id, anew: false },
                change: &change,
                expect: &expect,
                idle_ms: None,
                bounds,
            };
            // Where the old id is there still, nobody has taken it away.
            if store.save(save).await? != Saved::Exists {
                return Ok(());
            }
        }
        store.remove(place).await.map(drop)
    }
}

impl Amendments {
    /// Does this about the session of this token, soon.
    pub(crate) fn add(
        &self,
        store: &Arc<dyn SessionStore>,
        tenant: &TenantId,
        token: Token,
        amends: Amends,
    ) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.len() >= MOST {
            queue.waiting.pop_front();
            queue.lose();
        }
        queue.waiting.push_back(Amendment { tenant: tenant.clone(), token, amends, tries: 0 });
        // Outside a runtime, which is the end of the program, nobody is left to do it.
        let works = queue.worker.as_ref().is_some_and(|worker| !worker.is_finished());
        if let (false, Ok(runtime)) = (works, Handle::try_current()) {
            let working = runtime.spawn(work(self.clone(), Arc::clone(store)));
            queue.worker = Some(working.abort_handle());
        }
    }

    /// The next, or the end of the work.
    fn next(&self) -> Option<Amendment> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = queue.waiting.pop_front();
        if next.is_none() {
            (queue.worker, queue.warned) = (None, false);
        }
        next
    }

    /// Takes one back that could not be carried out.
    fn again(&self, amendment: Amendment) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if amendment.tries >= TRIES {
            queue.lose();
        } else {
            queue.waiting.push_back(amendment);
        }
    }
}

impl Queue {
    /// One is left to the end of its life. Said once an outage.
    fn lose(&mut self) {
        metrics::counter!("tower_keep_removals_lost_total", "layer" => "session").increment(1);
        if !self.warned {
            self.warned = true;
            tracing::warn!("session: what should be gone is left to the end of its life");
        }
    }
}

async fn work(amendments: Amendments, store: Arc<dyn SessionStore>) {
    let mut pause = FIRST;
    while let Some(mut amendment) = amendments.next() {
        let Err(error) = amendment.carry_out(&*store).await else {
            pause = FIRST;
            continue;
        };
        amendment.tries += u32::from(error.class() != ErrorClass::NotSent);
        amendments.again(amendment);
        sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}

#[cfg(test)]
mod tests;
