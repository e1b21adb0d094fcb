//! The tower-keep stack in an axum application: `cargo run --release -p axum-app`.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tower_keep::{Config, ConfigError, Keep};
use tracing_subscriber::EnvFilter;

mod app;
mod health;
mod settings;
mod tenants;

use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,fred=error")),
        )
        .init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let (settings, config) = match (Settings::from_env(), Config::from_env()) {
        (Ok(settings), Ok(config)) => (settings, config),
        // Everything that is wrong, at once.
        (settings, config) => {
            let mut error = ConfigError::default();
            settings.err().into_iter().chain(config.err()).for_each(|found| error.merge(found));
            return Err(error.into());
        }
    };
    let keep = Keep::new(config)?;
    let app = app::router(&keep)?;
    // Held while the program runs, so that health tells how it is.
    let _bus = keep.bus()?;
    // Redis may come later: until then requests are counted in this process.
    let wait = Duration::from_secs(1);
    match tokio::time::timeout(wait, keep.require_connection()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("starting without Redis: {error}"),
        Err(_) => tracing::warn!("starting without Redis: no answer within {wait:?}"),
    }
    let listener = TcpListener::bind(settings.address()).await.map_err(|error| {
        format!(
            "cannot listen on {}: {error}; HOST and PORT choose another address",
            settings.address()
        )
    })?;
    // From here on a signal ends the program in good order.
    let mut stop = Stop::listen()?;
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    welcome(&keep, listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(async move { drop(stopped.wait_for(|stopping| *stopping).await) });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop.asked() => {}
    }
    tracing::info!("stopping: finishing the requests under way, for {FINISH:?} at most");
    stopping.send_replace(true);
    if let Ok(ended) = tokio::time::timeout(FINISH, server).await {
        ended?;
    } else {
        // Somebody keeps a connection open without saying what they want.
        tracing::warn!("some requests were not finished in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// How long requests under way may take once the program is to stop.
const FINISH: Duration = Duration::from_secs(10);

/// SIGTERM or Ctrl-C.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What the program says to whoever started it.
fn welcome(keep: &Keep, address: SocketAddr) {
    let store = keep.health().store;
    let text = format!(
        "tower-keep's axum-app, keeping state in {store}: http://{address}
  curl -i http://{address}/api/test/ratelimit
  curl -s http://{address}/api/health
  for i in $(seq 105); do curl -s -o /dev/null -w '%{{http_code}}\\n' \
         -H 'X-Tenant-Id: acme' http://{address}/api/test/ratelimit; done | sort | uniq -c
"
    );
    // Nobody may be listening; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
