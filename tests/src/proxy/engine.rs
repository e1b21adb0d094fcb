//! The thread behind a proxy.

use std::{
    io,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
};

use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};

use super::{
    Cut,
    connection::{Context, serve},
    counters::Counters,
    door::Door,
    link::Link,
    segments::Segments,
};

/// What a proxy can be told. Each is in force, for every byte not yet passed on, when it is
/// acknowledged.
#[derive(Debug)]
pub(super) enum Order {
    Link(Link),
    Cut(Cut),
    Refuse,
    Fill,
    Accept,
}

type Post = (Order, std_mpsc::Sender<()>);

/// The handle of the thread; it ends with it.
#[derive(Debug)]
pub(super) struct Engine {
    orders: Option<mpsc::UnboundedSender<Post>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Listens on the port, in a thread and a runtime of its own: a busy test cannot hold it up.
    pub(super) fn start(port: u16, target: u16, counters: Arc<Counters>) -> io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (listening, opened) = std_mpsc::channel();
        let body = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(listening.send(Err(error))),
            };
            runtime.block_on(async {
                match Hub::open(port, target, counters) {
                    Ok(hub) => {
                        let _ = listening.send(Ok(()));
                        hub.run(inbox).await;
                    }
                    Err(error) => drop(listening.send(Err(error))),
                }
            });
        };
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(body)?;
        opened.recv().map_err(io::Error::other)??;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Gives an order and waits until it is in force.
    pub(super) fn order(&self, order: Order) {
        let (done, acknowledged) = std_mpsc::channel();
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send((order, done)).is_ok());
        assert!(sent && acknowledged.recv().is_ok(), "the proxy has died");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What lives in the thread.
struct Hub {
    door: Door,
    link: watch::Sender<Link>,
    cut: watch::Sender<Option<Cut>>,
    context: Context,
}

impl Hub {
    fn open(port: u16, target: u16, counters: Arc<Counters>) -> io::Result<Self> {
        let door = Door::open(port)?;
        let (link, link_seen) = watch::channel(Link::default());
        let (cut, cut_seen) = watch::channel(None);
        let segments = match Segments::open() {
            Ok(segments) => Some(Arc::new(segments)),
            Err(why) => {
                let _ = counters.blind.set(why.to_string());
                None
            }
        };
        let context = Context { target, link: link_seen, cut: cut_seen, counters, segments };
        Ok(Self { door, link, cut, context })
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Post>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                post = inbox.recv() => {
                    let Some((order, done)) = post else { return };
                    self.obey(order, &mut connections).await;
                    let _ = done.send(());
                }
                Some(ended) = connections.join_next() => check(ended),
                Ok(client) = self.door.next() => self.admit(client, &mut connections),
            }
        }
    }

    fn admit(&self, client: TcpStream, connections: &mut JoinSet<()>) {
        self.context.counters.accepted.add(1);
        connections.spawn(serve(client, self.context.clone()));
    }

    async fn obey(&mut self, order: Order, connections: &mut JoinSet<()>) {
        // To whoever has connected a connection is open, whether or not it is known here.
        if matches!(order, Order::Cut(_) | Order::Refuse | Order::Fill) {
            self.door.waiting().into_iter().for_each(|client| self.admit(client, connections));
        }
        match order {
            Order::Link(link) => drop(self.link.send_replace(link)),
            Order::Cut(how) => {
                self.cut.send_replace(Some(how));
                while let Some(ended) = connections.join_next().await {
                    check(ended);
                }
                (self.cut, self.context.cut) = watch::channel(None);
            }
            Order::Refuse => self.door.refuse(),
            Order::Fill => self.door.fill().await,
            Order::Accept => self.door.accept().await,
        }
    }
}

/// A fault of the proxy itself ends it: whoever gives the next order is told.
fn check(ended: Result<(), JoinError>) {
    if let Err(panicked) = ended {
        panic!("{panicked}");
    }
}
