//! The mock as a program: `cargo run -p mock-llm`. It listens on `HOST` (default `127.0.0.1`) and
//! `PORT` (default 4010; 0 takes a free one) and says where.

use std::{io::Write as _, process::ExitCode};

use mock_llm::Mock;
use tokio::signal::unix::{SignalKind, signal};

mod settings;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mock = Mock::new(settings::mock()?);
    let listener = settings::listen().await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut term = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let _ = writeln!(std::io::stdout(), "mock-llm listens on http://{address}");
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
    };
    let served = axum::serve(listener, mock.router()).with_graceful_shutdown(stop).await;
    served.map_err(|error| error.to_string())
}
