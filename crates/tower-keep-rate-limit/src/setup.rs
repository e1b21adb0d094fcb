//! What can be exchanged while a layer runs: its rules and its lists.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{access::AccessList, rules::Rules};

/// Whom a layer lets pass and whom it refuses before any rule is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) allow: AccessList,
    pub(crate) deny: AccessList,
}

impl Lists {
    /// Whether the client's address is of interest.
    pub(crate) fn has_networks(&self) -> bool {
        self.allow.has_networks() || self.deny.has_networks()
    }
}

/// What a request is decided by, from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) rules: Arc<Rules>,
    pub(crate) lists: Arc<Lists>,
    version: u64,
}

/// The newest setup. Every service holds one, and looks at a number to see whether it is still
/// the newest: that costs less than to count one more holder for each request.
#[derive(Debug)]
pub(crate) struct Newest {
    setup: Mutex<Arc<Setup>>,
    version: AtomicU64,
}

impl Newest {
    pub(crate) fn new(rules: Rules, lists: Lists) -> Self {
        let setup = Setup { rules: Arc::new(rules), lists: Arc::new(lists), version: 0 };
        Self { setup: Mutex::new(Arc::new(setup)), version: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self) -> Arc<Setup> {
        Arc::clone(&self.lock())
    }

    /// Puts the newest in the place of `held`, unless that is it.
    #[inline]
    pub(crate) fn refresh(&self, held: &mut Arc<Setup>) {
        if self.version.load(Ordering::Acquire) != held.version {
            *held = self.get();
        }
    }

    /// Exchanges some of it, one caller after another; nothing if `change` fails.
    pub(crate) fn exchange<E>(
        &self,
        change: impl FnOnce(&mut Setup) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut newest = self.lock();
        let mut setup = Setup::clone(&newest);
        change(&mut setup)?;
        setup.version += 1;
        let version = setup.version;
        *newest = Arc::new(setup);
        self.version.store(version, Ordering::Release);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Setup>> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
