//! Tenants and rate limits on a tonic server: `cargo run -p tonic-service`.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use http::Request;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tonic::transport::{
    Server,
    server::{TcpConnectInfo, TcpIncoming},
};
use tower::ServiceBuilder;
use tower_keep::{BoxError, Keep, PeerAddr, PrincipalLayer};
use tracing_subscriber::EnvFilter;

mod greeter;
mod messages;
mod settings;

/// How long calls under way may take once the program is to stop.
const FINISH: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,fred=error")),
        )
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let keep = Keep::from_env()?; // REDIS_URL decides; nothing set = memory
    let stack = ServiceBuilder::new() // outermost first
        .map_request(pass_on_peer)
        .layer(PrincipalLayer::fixed("public").build()?)
        // Without the list all methods would count as one endpoint.
        .layer(keep.rate_limit().grpc_methods(messages::METHODS).build()?);
    let listener = settings::listen().await?;
    let stop = stop()?;
    welcome(&keep, listener.local_addr()?);
    let (stopping, mut stopped) = watch::channel(false);
    let server = Server::builder()
        .layer(stack)
        .add_service(greeter::Greeter)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), async move {
            drop(stopped.wait_for(|stopping| *stopping).await);
        });
    let mut server = pin!(server);
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop => {}
    }
    tracing::info!("stopping: finishing the calls under way, for {FINISH:?} at most");
    stopping.send_replace(true);
    if let Ok(ended) = tokio::time::timeout(FINISH, server).await {
        ended?;
    } else {
        tracing::warn!("some calls were not finished in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Whoever has no user is counted by the address that tonic's accept loop saw.
fn pass_on_peer<B>(mut request: Request<B>) -> Request<B> {
    let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddr(peer));
    }
    request
}

/// Waits for SIGTERM or Ctrl-C. From here on neither ends the program by itself.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    })
}

/// What the program says to whoever started it.
fn welcome(keep: &Keep, address: SocketAddr) {
    let store = keep.health().store;
    let text = format!(
        "tower-keep's tonic-service, keeping state in {store}: http://{address}
  greeter.v1.Greeter has the methods Greet and Part
"
    );
    // Nobody may be listening; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
