//! Publish and subscribe: what processes that share a Redis tell each other.

mod link;
mod message;
mod shared;
mod task;

use std::{
    fmt,
    future::pending,
    hash::{BuildHasher, RandomState},
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use fred::types::Value;
use tokio::{
    runtime::Handle,
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
};
use tower_keep_core::{ConfigError, StoreError, key::BUS};

pub use self::{message::BusMessage, shared::SharedBus};
use crate::connection::Connection;

/// Events that wait for a user who does not take them, before it is told of a gap instead.
const WAITING: usize = 1024;

/// What it means not to listen, for the log.
const LATE: &str = "what they change is noticed late";

/// What processes that share a Redis tell each other, over the channel `keep:bus`.
///
/// A message reaches everybody who listens at that moment, its publisher included, and nobody
/// else: Redis keeps none. So whoever acts on messages must also act on [`BusEvent::Gap`], which
/// says that some may have been missed, and must be right, if later, where the bus is not
/// [`Live`](BusState::Live).
///
/// 1. It has one connection of its own, which ends with the last handle. Of a cluster it is to one
///    node.
/// 2. A connection that is lost, or silent for a second, is replaced by a new one. A gap is
///    told at once when it is lost, and again before the first message of the new one. If new ones
///    keep dying within moments, they are made less and less often, down to every 10 s.
/// 3. A user who falls more than 1024 events behind is told of a gap in their place.
/// 4. Publishing is a command like any other: guarded, and over at its deadline.
/// 5. A server that forbids to subscribe, or to ask whether it is still there, is asked again
///    every 30 s, without a word. An ACL user needs `&keep:bus +subscribe +publish`, and
///    `+cluster|info` in a cluster.
/// 6. What is not this version of message is ignored and counted.
/// 7. The state changes with one log line, `WARN` or `INFO`; a message logs nothing.
///
/// ```no_run
/// # async fn example(connection: tower_keep_redis::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_keep_redis::{Bus, BusEvent};
///
/// const PURGED: u8 = 1;
/// let bus = Bus::new(&connection)?;
/// let mut events = bus.events();
/// bus.publish(PURGED, b"acme").await?;
/// match events.recv().await {
///     BusEvent::Message(message) if message.kind == PURGED => { /* forget message.payload */ }
///     BusEvent::Gap => { /* forget everything */ }
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    connection: Connection,
    /// Tells our own messages from all others.
    sender: u64,
    /// Whether it may be used at all.
    on: bool,
    /// Its end tells the background task to end.
    state: watch::Sender<BusState>,
    events: broadcast::Sender<BusEvent>,
    ignored: AtomicU64,
    /// How many links have been made.
    links: AtomicU64,
    /// Which of them is live; 0 for none.
    link: AtomicU64,
}

/// Whether messages come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusState {
    /// None will, for this reason: it is switched off, or the server forbids it.
    Off {
        /// Why.
        reason: Arc<str>,
    },
    /// The first attempt to listen is under way.
    Connecting,
    /// They do.
    Live,
    /// None does until there is a connection again.
    Lost {
        /// Why.
        reason: Arc<str>,
    },
}

impl BusState {
    /// The state as a short label for logs and answers.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Off { .. } => "off",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Lost { .. } => "lost",
        }
    }

    /// Why none come in, in the words of the server or of the client; `None` where they do, or
    /// may soon.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Off { reason } | Self::Lost { reason } => Some(reason),
            Self::Connecting | Self::Live => None,
        }
    }
}

/// What a user of the bus is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// Somebody has published this.
    Message(BusMessage),
    /// Messages may have been missed up to now.
    Gap,
}

impl Bus {
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = message::LONGEST;

    /// A bus beside this connection, with a subscriber of its own; [`SharedBus`] is for several
    /// users of one. Does not wait.
    ///
    /// # Errors
    ///
    /// When no tokio runtime is running here.
    pub fn new(connection: &Connection) -> Result<Self, ConfigError> {
        let runtime = Handle::try_current()
            .map_err(|_| ConfigError::new("runtime", "a bus needs a running tokio runtime"))?;
        let bus = Self::with(connection, BusState::Connecting);
        let (inner, states) = (Arc::downgrade(&bus.inner), bus.inner.state.subscribe());
        runtime.spawn(task::run(inner, states));
        Ok(bus)
    }

    fn with(connection: &Connection, state: BusState) -> Self {
        let inner = Inner {
            connection: connection.clone(),
            sender: RandomState::new().hash_one(std::process::id()),
            on: state == BusState::Connecting,
            state: watch::Sender::new(state),
            events: broadcast::Sender::new(WAITING),
            ignored: AtomicU64::new(0),
            links: AtomicU64::new(0),
            link: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tells everybody who listens. Without an answer nothing is known of who heard it.
    ///
    /// # Errors
    ///
    /// As any command, see the crate's "When Redis fails"; `NotSent` when the bus is switched off
    /// or the payload is over [`Bus::MAX_PAYLOAD`].
    pub fn publish(
        &self,
        kind: u8,
        payload: &[u8],
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let message = message::encode(kind, self.inner.sender, payload);
        let inner = Arc::clone(&self.inner);
        async move {
            if !inner.on {
                return Err(StoreError::not_sent("publishing is switched off"));
            }
            let message = message.ok_or_else(|| {
                StoreError::not_sent(format!("over {} bytes to publish", Self::MAX_PAYLOAD))
            })?;
            let args = vec![Value::from_static_str(BUS), Value::Bytes(message)];
            inner.connection.command("PUBLISH", None, args).await.map(drop)
        }
    }

    /// What [`publish`](Self::publish) would send, for a script that does it itself: `PUBLISH` on
    /// the channel [`key::BUS`](tower_keep_core::key::BUS). `None` when the bus is switched off or
    /// the payload is over [`Bus::MAX_PAYLOAD`].
    pub fn message(&self, kind: u8, payload: &[u8]) -> Option<Bytes> {
        message::encode(kind, self.inner.sender, payload).filter(|_| self.inner.on)
    }

    /// What happens from now on.
    pub fn events(&self) -> BusEvents {
        BusEvents { events: self.inner.events.subscribe(), bus: self.clone() }
    }

    /// Whether messages come in. Does not wait.
    pub fn state(&self) -> BusState {
        self.inner.state()
    }

    /// The number of the connection by which messages come in, if they do. It is another one after
    /// each that was lost, so whoever finds the one from which it has seen the first
    /// [`BusEvent::Gap`] knows that it was told of all that was missed before. Costs next to
    /// nothing.
    pub fn link(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.inner.link.load(Ordering::Acquire))
    }

    /// How many messages were ignored: another program's, or a later version's.
    pub fn ignored(&self) -> u64 {
        self.inner.ignored.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn state(&self) -> BusState {
        self.state.borrow().clone()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What one user of the bus is told, in order. It keeps the bus alive.
#[derive(Debug)]
pub struct BusEvents {
    events: broadcast::Receiver<BusEvent>,
    bus: Bus,
}

impl BusEvents {
    /// The next event. Never returns while there is none. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> BusEvent {
        match self.events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => BusEvent::Gap,
            // Not while we hold the bus.
            Err(RecvError::Closed) => pending().await,
        }
    }

    /// The bus.
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }
}
