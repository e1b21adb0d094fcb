//! What is heard on the bus, and by whom.

use std::{
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{runtime::Handle, task::AbortHandle};
use tower_keep_core::key::BUS_CACHES;
use tower_keep_redis::{Bus, BusEvent, BusEvents};

use crate::store::Listener;

/// Tells listeners what is heard, in a task that ends with this.
pub(super) struct Ears {
    told: Arc<Told>,
    task: Mutex<Option<AbortHandle>>,
}

/// Who is told, and how far that has come.
struct Told {
    listeners: Mutex<Vec<Weak<dyn Listener>>>,
    /// The link of the bus whose first gap they were told of, so that they have missed nothing
    /// since; 0 for none.
    link: AtomicU64,
}

impl Ears {
    pub(super) fn new() -> Self {
        let told = Told { listeners: Mutex::default(), link: AtomicU64::new(0) };
        Self { told: Arc::new(told), task: Mutex::default() }
    }

    /// Whether what is said on the bus comes here now, and all that was missed before was told.
    pub(super) fn hear(&self, bus: &Bus) -> bool {
        bus.link().is_some_and(|link| self.told.link.load(Ordering::Acquire) == link.get())
    }

    /// Tells this listener from now on, for as long as it is there.
    pub(super) fn tell(&self, bus: &Bus, listener: Weak<dyn Listener>) {
        lock(&self.told.listeners).push(listener);
        let mut task = lock(&self.task);
        let (None, Ok(runtime)) = (&*task, Handle::try_current()) else { return };
        let events = bus.events();
        // Whatever is said on it from now on is among the events, and before there was nobody.
        self.told.heard(bus.link());
        let told = Arc::clone(&self.told);
        *task = Some(runtime.spawn(async move { told.pass_on(events).await }).abort_handle());
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        if let Some(task) = &*lock(&self.task) {
            task.abort();
        }
    }
}

impl Told {
    async fn pass_on(&self, mut events: BusEvents) {
        let deaf = Deaf(self);
        loop {
            match events.recv().await {
                BusEvent::Message(message) if message.kind == BUS_CACHES => {
                    self.each(|listener| listener.message(&message.payload));
                }
                BusEvent::Message(_) => {}
                BusEvent::Gap => {
                    // Asked before they are told: one that is made meanwhile tells of its own.
                    let link = events.bus().link();
                    self.each(|listener| listener.gap());
                    deaf.0.heard(link);
                }
            }
        }
    }

    fn each(&self, tell: impl Fn(&dyn Listener)) {
        lock(&self.listeners).retain(|listener| {
            let listener = listener.upgrade();
            if let Some(listener) = &listener {
                tell(&**listener);
            }
            listener.is_some()
        });
    }

    fn heard(&self, link: Option<NonZeroU64>) {
        self.link.store(link.map_or(0, NonZeroU64::get), Ordering::Release);
    }
}

/// However the task ends, nothing is heard any more.
struct Deaf<'a>(&'a Told);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.heard(None);
    }
}

/// Nothing in it can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
