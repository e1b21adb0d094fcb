//! The tower-keep stack in an axum application: `cargo run --release -p axum-app`.

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
use tower_keep::{BoxError, Config, ConfigError, Keep};
use tracing_subscriber::EnvFilter;

mod app;
mod assistant;
mod auth;
mod body;
mod cache_test;
mod clinic;
mod database;
mod health;
mod page;
mod problem;
mod products;
mod purge;
mod settings;
mod tenants;

use crate::{
    auth::{AccountKey, Auth, Users},
    database::Database,
    settings::Settings,
};

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

async fn serve() -> Result<(), BoxError> {
    let (settings, config) = match (Settings::from_env(), Config::from_env()) {
        (Ok(settings), Ok(config)) => (settings, config),
        // Everything that is wrong, at once.
        (settings, config) => {
            let mut error = ConfigError::default();
            settings.err().into_iter().chain(config.err()).for_each(|found| error.merge(found));
            return Err(error.into());
        }
    };
    let key = Arc::new(AccountKey::new(&config.session.secrets)?);
    let keep = Keep::new(config)?;
    let users = Arc::new(Users::seeded().await?);
    let database = Database::open(settings.database.clone()).await?;
    let app = app::router(&keep, Auth { users, key }, &database, &settings.model)?;
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
    let stop = stop()?;
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    welcome(&keep, listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(async move { drop(stopped.wait_for(|stopping| *stopping).await) });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop => {}
    }
    tracing::info!("stopping: finishing the requests under way, for {FINISH:?} at most");
    stopping.send_replace(true);
    if let Ok(ended) = tokio::time::timeout(FINISH, server).await {
        ended?;
    } else {
        // Somebody keeps a connection open without saying what they want.
        tracing::warn!("some requests were not finished in time");
    }
    // Those who are not finished keep it open.
    let _ = tokio::time::timeout(Duration::from_secs(1), database.close()).await;
    tracing::info!("stopped");
    Ok(())
}

/// How long requests under way may take once the program is to stop.
const FINISH: Duration = Duration::from_secs(10);

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
        "tower-keep's axum-app, keeping state in {store}: http://{address}
  curl -i http://{address}/api/test/ratelimit
  curl -s http://{address}/api/health
  curl -i http://{address}/api/products
  curl -i 'http://{address}/api/patients?search=smith' -H 'Authorization: Bearer TOKEN'
  curl -s http://{address}/api/auth/login -H 'Content-Type: application/json' \
       -d '{{\"email\":\"test@example.com\",\"password\":\"password\"}}'
  curl -i http://{address}/api/ai/query -H 'Authorization: Bearer TOKEN' \
       -H 'Content-Type: application/json' -d '{{\"query\":\"What is glaucoma?\"}}'
  curl -s http://{address}/api/auth/me -H 'Authorization: Bearer TOKEN'
  for i in $(seq 105); do curl -s -o /dev/null -w '%{{http_code}}\\n' \
         -H 'X-Tenant-Id: acme' http://{address}/api/test/ratelimit; done | sort | uniq -c
"
    );
    // Nobody may be listening; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
