//! Where the program listens.

use tower_keep::ConfigError;

/// The program's own variables, beside those of [`tower_keep::Config`].
pub(crate) struct Settings {
    host: String,
    port: u16,
}

impl Settings {
    /// Reads `HOST` (default `127.0.0.1`) and `PORT` (default 3000; 0 takes a free one).
    #[expect(clippy::disallowed_methods, reason = "the program's own command line")]
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        // What is no text is no host and no port either; it is refused as what it looks like.
        let text = |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        let host = text("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = text("PORT").unwrap_or_else(|| "3000".to_owned());
        let Ok(port) = port.parse() else {
            let message = format!("`{}` is not a port from 0 to 65535", port.escape_debug());
            return Err(ConfigError::new("PORT", message));
        };
        Ok(Self { host, port })
    }

    /// Host and port, as `bind` takes it.
    pub(crate) fn address(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}
