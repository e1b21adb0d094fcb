//! Where the program listens and how it answers, from its environment.

use std::time::Duration;

use mock_llm::Settings;
use tokio::net::TcpListener;

#[expect(clippy::disallowed_methods, reason = "the program's own command line")]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let Some(text) = text(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name} is no number: {text}"))
}

/// `MOCK_WAIT_MS` before an answer begins, `MOCK_PAUSE_MS` between its pieces, `MOCK_BYTES` in each.
pub(crate) fn mock() -> Result<Settings, String> {
    let time = |name| Ok::<_, String>(Duration::from_millis(number(name)?.unwrap_or_default()));
    let bytes = number("MOCK_BYTES")?.and_then(|bytes| usize::try_from(bytes).ok());
    Ok(Settings { wait: time("MOCK_WAIT_MS")?, pause: time("MOCK_PAUSE_MS")?, bytes })
}

/// Listens on `HOST` and `PORT`.
pub(crate) async fn listen() -> Result<TcpListener, String> {
    let host = text("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = text("PORT").unwrap_or_else(|| "4010".to_owned());
    let address = format!("{host}:{port}");
    TcpListener::bind(&address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; HOST and PORT choose another address")
    })
}
