//! Where the program listens.

use tokio::net::TcpListener;

/// Listens on `HOST` (default `127.0.0.1`) and `PORT` (default 3000; 0 takes a free one).
#[expect(clippy::disallowed_methods, reason = "the program's own command line")]
pub(crate) async fn listen() -> Result<TcpListener, String> {
    let text = |name, otherwise: &str| match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => otherwise.to_owned(),
    };
    let address = format!("{}:{}", text("HOST", "127.0.0.1"), text("PORT", "3000"));
    TcpListener::bind(&address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; HOST and PORT choose another address")
    })
}
