//! A relay before a server whose connections go bad for good, as they do on a real link: what was
//! lost stays lost, and whoever waits for it waits for ever.

use std::net::Ipv4Addr;

use tokio::{
    io::{copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// Nobody reads them: what is sent fills the sockets.
    Stalled,
    /// What is sent is taken, and nothing comes of it.
    Swallowed,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Connections older than this have met their fate.
    doomed: u64,
    fate: Fate,
    /// Whether new ones meet it as well.
    new_ones: bool,
}

/// On loopback, on a port of its own; gone with its last connection when it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    port: u16,
    state: watch::Sender<State>,
    task: AbortHandle,
}

impl Relay {
    pub(super) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) =
            watch::channel(State { doomed: 0, fate: Fate::Stalled, new_ones: false });
        let task = tokio::spawn(accept(listener, target, seen)).abort_handle();
        Self { port, state, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Those that are open meet this fate, now and for ever; new ones work.
    pub(super) fn doom_open(&self, fate: Fate) {
        self.doom(fate, false);
    }

    /// Those that are open meet this fate for ever, and so do new ones until [`Relay::heal`].
    pub(super) fn doom_all(&self, fate: Fate) {
        self.doom(fate, true);
    }

    /// New ones meet this fate until [`Relay::heal`]; those that are open go on.
    pub(super) fn doom_new(&self, fate: Fate) {
        self.state.send_modify(|state| (state.fate, state.new_ones) = (fate, true));
    }

    /// New ones work from here on.
    pub(super) fn heal(&self) {
        self.state.send_modify(|state| state.new_ones = false);
    }

    fn doom(&self, fate: Fate, new_ones: bool) {
        self.state.send_modify(|state| {
            *state = State { doomed: state.doomed + 1, fate, new_ones };
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(serve(client, target, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    let born = *state.borrow_and_update();
    let _ = client.set_nodelay(true);
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let _ = server.set_nodelay(true);
    let fate = if born.new_ones {
        born.fate
    } else {
        tokio::select! {
            biased;
            Ok(now) = state.wait_for(|now| now.doomed > born.doomed) => now.fate,
            _ = copy_bidirectional(&mut client, &mut server) => return,
        }
    };
    if fate == Fate::Swallowed {
        // Until the client closes: the server sees its connection open, and silent.
        let _ = tokio::io::copy(&mut client, &mut sink()).await;
        return;
    }
    std::future::pending::<()>().await;
}
