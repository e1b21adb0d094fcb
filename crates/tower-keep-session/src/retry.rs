//! Sessions that should be gone and could not be removed: it is tried again, for a while.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::sleep};
use tower_keep_core::TenantId;

use crate::{store::SessionStore, token::Token};

/// How many may wait; further ones take the place of those that have waited longest, whose life
/// ends them.
const MOST: usize = 1024;
/// Between two attempts at first, doubled up to the last.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(30);
/// How often one is tried.
const TRIES: u32 = 20;

/// Removes sessions in the background. The session's own life is the backstop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removals(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Removal>,
    /// Who works on it, until there is nothing left or the runtime ends.
    worker: Option<AbortHandle>,
    /// Whether it was said that some are lost.
    warned: bool,
}

#[derive(Clone, Debug)]
struct Removal {
    tenant: TenantId,
    token: Token,
    tries: u32,
}

impl Removals {
    /// Removes the session of this token, soon.
    pub(crate) fn add(&self, store: &Arc<dyn SessionStore>, tenant: &TenantId, token: Token) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.len() >= MOST {
            queue.waiting.pop_front();
            queue.lose();
        }
        queue.waiting.push_back(Removal { tenant: tenant.clone(), token, tries: 0 });
        // Outside a runtime, which is the end of the program, nobody is left to do it.
        let works = queue.worker.as_ref().is_some_and(|worker| !worker.is_finished());
        if let (false, Ok(runtime)) = (works, Handle::try_current()) {
            let working = runtime.spawn(work(self.clone(), Arc::clone(store)));
            queue.worker = Some(working.abort_handle());
        }
    }

    /// The next, or the end of the work.
    fn next(&self) -> Option<Removal> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = queue.waiting.pop_front();
        if next.is_none() {
            (queue.worker, queue.warned) = (None, false);
        }
        next
    }

    /// Takes one back that could not be removed.
    fn again(&self, removal: Removal) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if removal.tries >= TRIES {
            queue.lose();
        } else {
            queue.waiting.push_back(removal);
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

async fn work(removals: Removals, store: Arc<dyn SessionStore>) {
    let mut pause = FIRST;
    while let Some(mut removal) = removals.next() {
        let removed = store.remove(removal.token.place(&removal.tenant)).await;
        if removed.is_ok() {
            pause = FIRST;
            continue;
        }
        removal.tries += 1;
        removals.again(removal);
        sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}
