//! A set of fred clients: whose turn it is, who owns it, and how it ends.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fred::{clients::Client, interfaces::ClientLike, types::ConnectHandle};
use tokio::{runtime::Handle, task::JoinHandle};

/// How long saying goodbye may take.
const QUIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Clients {
    first: Client,
    more: Vec<Client>,
    turn: AtomicUsize,
    /// Whether it gives up attempts to connect early.
    hasty: bool,
    /// What runs ours; unset for a client that belongs to the caller.
    tasks: OnceLock<(Handle, Vec<ConnectHandle>)>,
    abandoned: AtomicBool,
}

impl Clients {
    /// Clients that begin to connect with [`Clients::connect`]; `None` if there are none.
    pub(crate) fn own(clients: Vec<Client>, hasty: bool) -> Option<Self> {
        let mut clients = clients.into_iter();
        let mut set = Self::borrow(clients.next()?);
        set.more = clients.collect();
        set.hasty = hasty;
        Some(set)
    }

    /// A client that belongs to the caller.
    pub(crate) fn borrow(client: Client) -> Self {
        Self {
            first: client,
            more: Vec::new(),
            turn: AtomicUsize::new(0),
            hasty: false,
            tasks: OnceLock::new(),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Starts the tasks that connect ours and stay connected. Needs a runtime.
    pub(crate) fn connect(&self, runtime: Handle) {
        self.tasks.get_or_init(|| (runtime, self.all().map(ClientLike::connect).collect()));
    }

    /// The next client in turn, a connected one if there is one.
    pub(crate) fn pick(&self) -> &Client {
        if self.more.is_empty() {
            return &self.first;
        }
        let count = self.more.len() + 1;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let mut in_turn = self.all().cycle().skip(turn).take(count).peekable();
        let next = in_turn.peek().copied().unwrap_or(&self.first);
        in_turn.find(|client| client.is_connected()).unwrap_or(next)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Client> + Clone {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Whether there are several.
    pub(crate) fn is_pool(&self) -> bool {
        !self.more.is_empty()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.all().all(ClientLike::is_connected)
    }

    pub(crate) fn is_hasty(&self) -> bool {
        self.hasty
    }

    /// Whether fred has given up for good on one of them, as it does when told of a cluster where
    /// there is none.
    pub(crate) fn has_ended(&self) -> bool {
        self.tasks.get().is_some_and(|(_, tasks)| tasks.iter().any(JoinHandle::is_finished))
    }

    /// Ends ours at once and without a word: one that is stuck would not say it. What they had in
    /// flight or queued is told `Unknown`, and none of it is sent from now on.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        if let Some((_, tasks)) = self.tasks.get() {
            tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let Some((runtime, tasks)) = self.tasks.take() else { return };
        if self.abandoned.load(Ordering::Relaxed) {
            return;
        }
        for (client, task) in self.all().cloned().zip(tasks) {
            runtime.spawn(async move {
                // Says QUIT if it is connected. A client that is not cannot be asked to stop.
                let _ = tokio::time::timeout(QUIT, client.quit()).await;
                task.abort();
            });
        }
    }
}
