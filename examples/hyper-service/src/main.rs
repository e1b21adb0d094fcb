//! Tenants and rate limits on a bare hyper server: `cargo run -p hyper-service`.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};
use tower::{ServiceBuilder, service_fn};
use tower_keep::{BoxError, Keep, PrincipalLayer};
use tracing_subscriber::EnvFilter;

mod routes;
mod server;
mod settings;

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
    let service = ServiceBuilder::new() // outermost first
        .map_request(routes::tell)
        .layer(PrincipalLayer::fixed("public").build()?)
        .layer(keep.rate_limit().build()?)
        .service(service_fn(routes::answer));
    let listener = settings::listen().await?;
    let stop = stop()?;
    welcome(&keep, listener.local_addr()?);
    server::serve(listener, service, stop).await;
    tracing::info!("stopped");
    Ok(())
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
        "tower-keep's hyper-service, keeping state in {store}: http://{address}
  curl -i http://{address}/hello
  curl -i http://{address}/items/1
"
    );
    // Nobody may be listening; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
