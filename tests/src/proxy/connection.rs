//! One connection through a proxy.

use std::{io, net::Ipv4Addr, sync::Arc};

use rustix::net::{Shutdown, shutdown};
use tokio::{net::TcpStream, select, sync::watch};

use super::{
    Cut,
    counters::Counters,
    link::{Link, Mode},
    pump::{Pump, Shared, Way},
    segments::Segments,
};

/// What a connection needs to know of its proxy.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) target: u16,
    pub(super) link: watch::Receiver<Link>,
    pub(super) cut: watch::Receiver<Option<Cut>>,
    pub(super) counters: Arc<Counters>,
    pub(super) segments: Option<Arc<Segments>>,
}

/// Serves one client to the end.
pub(super) async fn serve(client: TcpStream, mut context: Context) {
    let mut cut = context.cut.clone();
    let cut = select! {
        biased;
        how = ordered(&mut cut) => how,
        ended = pass(&client, &mut context) => match ended {
            Ok(()) => Cut::Close,
            Err(_) => Cut::Reset,
        },
    };
    context.counters.closed.add(1);
    match cut {
        Cut::Reset => reset(&client),
        // Said first: closing a socket with bytes unread would be a reset only.
        Cut::Close => drop(shutdown(&client, Shutdown::Write)),
    }
}

/// Passes bytes both ways until both ends have closed.
async fn pass(client: &TcpStream, context: &mut Context) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = match TcpStream::connect((Ipv4Addr::LOCALHOST, context.target)).await {
        Ok(server) => server,
        Err(error) => {
            // No news of the server comes through a dead link.
            let dead = |link: &Link| link.mode == Mode::HalfOpen;
            let _ = context.link.wait_for(|link| !dead(link)).await;
            return Err(error);
        }
    };
    server.set_nodelay(true)?;
    let shared = Shared::of(client)?;
    let pump = |way| Pump::new(way, [client, &server], context, &shared).run();
    let passed = select! {
        passed = pump(Way::ToServer) => passed,
        passed = pump(Way::ToClient) => passed,
    };
    if passed.is_err() {
        reset(&server);
    }
    passed
}

/// The order to end the connection; pending until there is one.
async fn ordered(cut: &mut watch::Receiver<Option<Cut>>) -> Cut {
    match cut.wait_for(Option::is_some).await.map(|how| *how) {
        Ok(Some(how)) => how,
        _ => Cut::Reset,
    }
}

/// Dropping the socket now says RST.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
