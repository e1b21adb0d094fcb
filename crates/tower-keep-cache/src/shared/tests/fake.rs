//! A server in this process, and connections to it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tower_keep_core::{Answer, StoreError, TenantId};

use crate::{
    found::Place,
    generation::Generations,
    stamp::Stamp,
    store::{Ask, Listener, PurgeStep, SharedStore, Told, ToldEntry, ToldGenerations},
};

/// What all have in common.
#[derive(Default)]
pub(crate) struct Server {
    state: Mutex<State>,
    epochs: AtomicU64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) generations: HashMap<TenantId, Generations>,
    connections: Vec<Weak<Wire>>,
    /// Leases that were renewed, and for how long.
    pub(crate) renewed: Vec<(String, Duration)>,
}

/// One process's connection.
#[derive(Clone)]
pub(crate) struct Fake {
    server: Arc<Server>,
    pub(crate) wire: Arc<Wire>,
}

pub(crate) struct Wire {
    listener: Mutex<Option<Weak<dyn Listener>>>,
    live: AtomicBool,
    /// How many times a round trip was made.
    trips: AtomicUsize,
    /// Reads that ask for generations, and those that are told the whole.
    rereads: AtomicUsize,
    wholes: AtomicUsize,
    failing: AtomicBool,
    /// What is asked is carried out, and the answer lost.
    losing: AtomicBool,
    /// Answers wait for a place here, after they were made.
    gate: Semaphore,
    delaying: AtomicBool,
    /// Messages that were published and not heard yet, if they are held back.
    held: Mutex<Option<Vec<Vec<u8>>>>,
}

impl Server {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn connect(self: &Arc<Self>) -> Fake {
        let wire = Arc::new(Wire {
            listener: Mutex::new(None),
            live: AtomicBool::new(true),
            trips: AtomicUsize::new(0),
            rereads: AtomicUsize::new(0),
            wholes: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            losing: AtomicBool::new(false),
            gate: Semaphore::new(0),
            delaying: AtomicBool::new(false),
            held: Mutex::new(None),
        });
        self.lock().connections.push(Arc::downgrade(&wire));
        Fake { server: Arc::clone(self), wire }
    }

    fn epoch(&self) -> u64 {
        100 + self.epochs.fetch_add(1, Ordering::SeqCst)
    }

    /// In the order in which it is called, which is under the lock.
    fn publish(state: &State, message: &[u8]) {
        for wire in state.connections.iter().filter_map(Weak::upgrade) {
            let mut held = wire.held.lock().unwrap();
            match &mut *held {
                Some(held) => held.push(message.to_vec()),
                None => wire.hear(message),
            }
        }
    }
}

impl Wire {
    fn hear(&self, message: &[u8]) {
        if self.live.load(Ordering::SeqCst) {
            self.listener().message(message);
        }
    }

    pub(crate) fn listener(&self) -> Arc<dyn Listener> {
        self.listener.lock().unwrap().as_ref().unwrap().upgrade().unwrap()
    }

    /// The bus is lost, or there again.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::SeqCst);
        self.listener().gap();
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    pub(crate) fn set_losing(&self, losing: bool) {
        self.losing.store(losing, Ordering::SeqCst);
    }

    pub(crate) fn hold_back(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    pub(crate) fn let_go(&self, which: impl Fn(usize) -> bool) {
        let held = self.held.lock().unwrap().take().unwrap();
        for (number, message) in held.iter().enumerate() {
            if which(number) {
                self.hear(message);
            }
        }
    }

    /// Answers are made, and stay on their way until they are released.
    pub(crate) fn delay(&self) {
        self.delaying.store(true, Ordering::SeqCst);
    }

    /// Those that are made from now on do not; the others still do.
    pub(crate) fn delay_no_more(&self) {
        self.delaying.store(false, Ordering::SeqCst);
    }

    pub(crate) fn release(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    /// Round trips, reads of generations and of whole ones since this was asked last.
    pub(crate) fn trips(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.trips), take(&self.rereads), take(&self.wholes))
    }

    fn check(&self) -> Result<(), StoreError> {
        self.trips.fetch_add(1, Ordering::SeqCst);
        if self.failing.load(Ordering::SeqCst) {
            Err(StoreError::unknown("failing"))
        } else {
            Ok(())
        }
    }
}

impl Fake {
    /// Does it at once, and answers when the wire lets it.
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Answer<Result<T, StoreError>> {
        let (server, wire) = (Arc::clone(&self.server), Arc::clone(&self.wire));
        Answer::pending(async move {
            wire.check()?;
            let done = work(&mut server.lock());
            if wire.delaying.load(Ordering::SeqCst) {
                wire.gate.acquire().await.unwrap().forget();
            }
            if wire.losing.load(Ordering::SeqCst) {
                return Err(StoreError::unknown("lost"));
            }
            Ok(done)
        })
    }
}

impl SharedStore for Fake {
    fn read(&self, ask: Ask<'_>) -> Answer<Result<Told, StoreError>> {
        let entry = ask.entry.map(|entry| (entry.key.to_owned(), entry.lease));
        let generations = ask.generations.map(|asked| (asked.tenant.clone(), asked.known));
        let (server, wire) = (Arc::clone(&self.server), Arc::clone(&self.wire));
        self.answer(move |state| {
            let entry = entry.map(|(key, lease)| {
                let blob = state.blobs.get(&key).cloned();
                let leased = blob.is_none() && lease.is_some();
                if let Some(lease) = lease.filter(|_| leased) {
                    state.blobs.insert(key, lease.blob);
                }
                ToldEntry { blob, leased }
            });
            let generations = generations.map(|(tenant, known)| {
                wire.rereads.fetch_add(1, Ordering::SeqCst);
                let there = state.generations.entry(tenant);
                let there = there.or_insert_with(|| Generations::new(server.epoch()));
                if known == Some(there.stamp()) {
                    return ToldGenerations::Unchanged;
                }
                wire.wholes.fetch_add(1, Ordering::SeqCst);
                ToldGenerations::Whole(there.clone())
            });
            Told { entry, generations }
        })
    }

    fn write(&self, key: &str, blob: Bytes, _: Duration) -> Answer<Result<(), StoreError>> {
        let key = key.to_owned();
        self.answer(move |state| drop(state.blobs.insert(key, blob)))
    }

    fn remove(&self, key: &str, message: Vec<u8>) -> Answer<Result<(), StoreError>> {
        let key = key.to_owned();
        self.answer(move |state| {
            state.blobs.remove(&key);
            Server::publish(state, &message);
        })
    }

    fn claim(
        &self,
        key: &str,
        place: &Place,
        lease: Bytes,
        _: Duration,
    ) -> Answer<Result<bool, StoreError>> {
        let (key, seen) = (key.to_owned(), place.beginning());
        self.answer(move |state| {
            let free = state.blobs.get(&key).is_none_or(|blob| blob.starts_with(&seen));
            if free {
                state.blobs.insert(key, lease);
            }
            free
        })
    }

    fn release(&self, key: &str, lease: Bytes) -> Answer<Result<(), StoreError>> {
        let key = key.to_owned();
        self.answer(move |state| {
            if state.blobs.get(&key) == Some(&lease) {
                state.blobs.remove(&key);
            }
        })
    }

    fn renew(&self, key: &str, lease: Bytes, lasting: Duration) -> Answer<Result<(), StoreError>> {
        let key = key.to_owned();
        self.answer(move |state| {
            if state.blobs.get(&key) == Some(&lease) {
                state.renewed.push((key, lasting));
            }
        })
    }

    fn purge(&self, step: PurgeStep<'_>) -> Answer<Result<Stamp, StoreError>> {
        let PurgeStep { tenant, soft, tags, mut message } = step;
        let (tenant, tags) = (tenant.clone(), tags.map(<[_]>::to_vec));
        let server = Arc::clone(&self.server);
        self.answer(move |state| {
            let there = state.generations.entry(tenant);
            let there = there.or_insert_with(|| Generations::new(server.epoch()));
            *there = there.purged(tags.as_deref(), soft);
            let stamp = there.stamp();
            message.truncate(message.len() - 16);
            message.extend(stamp.epoch.to_be_bytes());
            message.extend(stamp.version.to_be_bytes());
            Server::publish(state, &message);
            stamp
        })
    }

    fn is_live(&self) -> bool {
        self.wire.live.load(Ordering::SeqCst)
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        *self.wire.listener.lock().unwrap() = Some(listener);
    }
}
