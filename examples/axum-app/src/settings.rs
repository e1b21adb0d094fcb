//! Where the program listens, and where its data are.

use std::str::FromStr as _;

use http::{HeaderValue, Uri};
use sqlx::sqlite::SqliteConnectOptions;
use tower_keep::ConfigError;

/// The program's own variables, beside those of [`tower_keep::Config`].
pub(crate) struct Settings {
    host: String,
    port: u16,
    /// `None` for a database of its own, for as long as it runs.
    pub(crate) database: Option<SqliteConnectOptions>,
    pub(crate) model: Model,
}

/// The language model that is asked.
#[derive(Clone, Default)]
pub(crate) struct Model {
    /// Where it is, without a `/` at the end; `None` for a mock in this process.
    pub(crate) url: Option<String>,
    /// The `Authorization` that it wants.
    pub(crate) key: Option<HeaderValue>,
}

impl Settings {
    /// Reads `HOST` (default `127.0.0.1`), `PORT` (default 3000; 0 takes a free one),
    /// `DATABASE_URL`, `AI_UPSTREAM_URL` and `AI_UPSTREAM_KEY`.
    #[expect(clippy::disallowed_methods, reason = "the program's own command line")]
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        // What is no text is no host and no port either; it is refused as what it looks like.
        let text = |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        let host = text("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = text("PORT").unwrap_or_else(|| "3000".to_owned());
        let mut errors = ConfigError::default();
        let port = port.parse().unwrap_or_else(|_| {
            let message = format!("`{}` is not a port from 0 to 65535", port.escape_debug());
            errors.push("PORT", message);
            0
        });
        let database = text("DATABASE_URL").and_then(|url| {
            let file = sqlite_file(&url);
            if file.is_none() {
                errors.push("DATABASE_URL", "it is not like `sqlite:///var/lib/app.db`");
            }
            file
        });
        let mut model = Model::default();
        if let Some(url) = text("AI_UPSTREAM_URL") {
            model.url = http_url(&url);
            if model.url.is_none() {
                errors.push(
                    "AI_UPSTREAM_URL",
                    "it is not like `https://host` or `http://127.0.0.1:4010`",
                );
            }
        }
        if let Some(key) = text("AI_UPSTREAM_KEY") {
            model.key = HeaderValue::from_str(&format!("Bearer {key}")).ok();
            match &mut model.key {
                Some(key) => key.set_sensitive(true),
                None => errors.push("AI_UPSTREAM_KEY", "no header can hold it"),
            }
        }
        errors.into_result(Self { host, port, database, model })
    }

    /// Host and port, as `bind` takes it.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// Where something is that is asked over HTTP, with TLS or without.
fn http_url(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let parsed: Uri = url.parse().ok()?;
    let asked = matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.query().is_none();
    let host = parsed.authority().is_some_and(|it| !it.as_str().contains('@'));
    (asked && host).then(|| url.to_owned())
}

/// What is in memory is no file: each connection would have one of its own.
fn sqlite_file(url: &str) -> Option<SqliteConnectOptions> {
    let file = url.strip_prefix("sqlite:")?.trim_start_matches('/');
    let in_memory = file.is_empty() || file.starts_with(":memory:") || url.contains("mode=memory");
    (!in_memory).then(|| SqliteConnectOptions::from_str(url).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_asked_over_http() {
        for (url, kept) in [
            ("http://127.0.0.1:4010", Some("http://127.0.0.1:4010")),
            ("http://host/openai/", Some("http://host/openai")),
            ("https://host", Some("https://host")),
            ("https://host:8443/openai/", Some("https://host:8443/openai")),
            ("ftp://host", None),
            ("https://user:password@host", None),
            ("http://user:password@host", None),
            ("http://host?x=1", None),
            ("host:80", None),
            ("", None),
        ] {
            assert_eq!(http_url(url).as_deref(), kept, "{url}");
        }
    }

    #[test]
    fn a_database_is_a_file() {
        for (url, file) in [
            ("sqlite:///var/lib/app.db", Some("/var/lib/app.db")),
            ("sqlite:app.db", Some("app.db")),
            ("sqlite://app.db?mode=rw", Some("app.db")),
            ("sqlite::memory:", None),
            ("sqlite://:memory:", None),
            ("sqlite:a?mode=memory", None),
            ("sqlite:", None),
            ("sqlite://", None),
            ("sqlite:a?mode=perhaps", None),
            ("postgres://user:hunter2@host/db", None),
            ("/var/lib/app.db", None),
        ] {
            let options = sqlite_file(url);
            let named = options.as_ref().map(|options| options.get_filename().to_str().unwrap());
            assert_eq!(named, file, "{url}");
        }
    }
}
