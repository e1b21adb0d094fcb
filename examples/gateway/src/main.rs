//! A reverse proxy that carries tower-keep's layers to any upstream:
//! `cargo run --release -p gateway -- --upstream http://127.0.0.1:8000 --layers rate-limit`.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower_keep::{BoxError, Keep};
use tracing_subscriber::EnvFilter;

mod ai_cache;
mod connector;
mod door;
mod failure;
mod forwarding;
mod health;
mod hop;
mod layers;
mod origin;
mod sending;
mod server;
mod settings;
mod target;
mod tunnel;
mod upstream;

use crate::{door::Rules, settings::Settings, upstream::Upstream};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => {
            // Help that was asked for is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,fred=error")),
        )
        .init();
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), BoxError> {
    let config = settings.config()?;
    let proxies = config.trusted_proxies.clone();
    let keep = Keep::new(config)?;
    let upstream = Upstream::new(&settings, proxies.header())?;
    let stack = layers::stack(&keep, &settings, upstream)?;
    // Held while the program runs, so that processes hear of each other.
    let _bus = keep.bus()?;
    // Redis may come later: until then state is kept as each layer's policy says.
    let wait = Duration::from_secs(1);
    match tokio::time::timeout(wait, keep.require_connection()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("starting without Redis: {error}"),
        Err(_) => tracing::warn!("starting without Redis: no answer within {wait:?}"),
    }
    let listener = TcpListener::bind(&settings.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", settings.listen))?;
    let stop = stop()?;
    welcome(&keep, &settings, listener.local_addr()?);
    let rules = Arc::new(Rules::new(keep, settings.clone()));
    server::serve(listener, stack, (rules, &proxies, &settings), stop).await;
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
fn welcome(keep: &Keep, settings: &Settings, address: SocketAddr) {
    let (store, upstream) = (keep.health().store, &settings.upstream);
    let layers: Vec<String> = settings.layers.iter().map(ToString::to_string).collect();
    let layers = if layers.is_empty() { "no layers".to_owned() } else { layers.join(", ") };
    let text = format!(
        "tower-keep's gateway to {upstream}, with {layers}, keeping state in {store}: http://{address}\n"
    );
    // Nobody may be listening; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
